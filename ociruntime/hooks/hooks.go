// Package hooks runs the programs that a spec wants run at moments of a
// container's life.
//
// Level: R.
// Owns: how one hook is run: its input, its time, its report.
// May import: internal/linux.
// Must not know: which moment it is, how a container is made.
package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Start starts a hook with these standard files.
type Start func(h specs.Hook, files [3]*os.File) (*os.Process, error)

// Here starts a hook in the namespaces of this process.
func Here(h specs.Hook, files [3]*os.File) (*os.Process, error) {
	p, err := os.StartProcess(h.Path, Argv(h), &os.ProcAttr{Dir: "/", Env: environ(h), Files: files[:]})
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the path
	}
	return p, nil
}

// Argv are the arguments of a hook, with its path for argv[0] if it has none.
func Argv(h specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

// environ is never nil, which would mean the environment of this process.
func environ(h specs.Hook) []string { return append([]string{}, h.Env...) }

// maxReport is how much of what a failed hook wrote is told.
const maxReport = 1024

// Run runs one hook with the container's state on its standard input and waits
// for it, at most for its timeout. kind and i name it in an error.
func Run(ctx context.Context, kind string, i int, h specs.Hook, state []byte, start Start) (err error) {
	name := fmt.Sprintf("%s hook %d, %s", kind, i, h.Path)
	in, err := linux.SealedMemfd("state", bytes.NewReader(state))
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(0, 0); err != nil {
		return err
	}
	out, err := linux.Memfd("hook-output")
	if err != nil {
		return err
	}
	defer out.Close()
	p, err := start(h, [3]*os.File{in, out, out})
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	if h.Timeout != nil {
		limit := time.Duration(*h.Timeout) * time.Second
		late := fmt.Errorf("it took longer than its timeout of %v and was killed", limit)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, late)
		defer cancel()
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() }) // it may have ended
	ps, err := p.Wait()
	switch {
	case !stop():
		err = context.Cause(ctx)
	case err == nil && !ps.Success():
		err = errors.New(ps.String() + said(out))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	return nil
}

// said is the end of what a hook wrote.
func said(out *os.File) string {
	st, err := out.Stat()
	if err != nil || st.Size() == 0 {
		return ""
	}
	b := make([]byte, min(st.Size(), maxReport))
	n, _ := out.ReadAt(b, st.Size()-int64(len(b))) // less is less
	return ": " + strings.Join(strings.Fields(string(b[:n])), " ")
}
