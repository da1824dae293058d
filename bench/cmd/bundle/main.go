// Command bundle runs one OCI bundle with berth's runtime many times in one
// process, with keepers: what a start costs berthd, without images and the API.
//
// Level: L5.
// Owns: its command line.
// May import: ociruntime/lifecycle.
// Must not know: images, the engine, the API.
//
//	bundle RUNDIR BUNDLE ID TIMES
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"berth/ociruntime/lifecycle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	times := 0
	var err error
	if len(os.Args) == 5 {
		times, err = strconv.Atoi(os.Args[4])
	}
	if len(os.Args) != 5 || err != nil {
		fmt.Fprintln(os.Stderr, "usage: bundle RUNDIR BUNDLE ID TIMES")
		os.Exit(2)
	}
	code := 0
	for ; times > 0 && code == 0 && err == nil; times-- {
		code, err = run(context.Background(), os.Args[1], os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bundle: %v\n", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run starts the bundle's process, waits for it and removes the container.
func run(ctx context.Context, runDir, bundle, id string) (code int, err error) {
	b, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return 0, err
	}
	var spec specs.Spec
	if err := json.Unmarshal(b, &spec); err != nil {
		return 0, fmt.Errorf("read %s/config.json: %w", bundle, err)
	}
	if !filepath.IsAbs(spec.Root.Path) {
		spec.Root.Path = filepath.Join(bundle, spec.Root.Path)
	}
	dir := filepath.Join(runDir, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	runtime, err := lifecycle.New()
	if err != nil {
		return 0, err
	}
	c, err := runtime.Start(ctx, lifecycle.Args{ID: id, Spec: &spec, RunDir: dir})
	if err != nil {
		return 0, err
	}
	files := c.IO()
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(os.Stdout, files.Stdout) }) // as cat to a closed pipe: nobody reads it
	copying.Go(func() { _, _ = io.Copy(os.Stderr, files.Stderr) })
	exit, err := c.Wait(ctx)
	// The keeper's ends of the pipes close with it; then all output is here.
	err = errors.Join(err, c.Delete(ctx))
	copying.Wait()
	return exit.Code, err
}
