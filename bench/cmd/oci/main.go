// Command oci measures berth-oci beside crun and runc on one bundle and prints
// tables: time, system calls, memory.
//
// Level: L5.
// Owns: the cases; the bundle; the kernel's floor.
// May import: bench/measure, bench/peer, bench/table, bench/timeline, ociruntime/cgroups, ociruntime/program, internal/linux, moby/profiles/seccomp.
// Must not know: how berth works inside.
//
// The cases of a table alternate, so that a busy minute hits all of them. Nothing
// here passes or fails: it prints what it saw.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"berth/bench/measure"
	"berth/bench/peer"
	"berth/bench/table"
)

func main() {
	var o options
	bin := flag.String("bin", "bin", "directory of berth-oci")
	flag.IntVar(&o.runs, "n", 40, "runs of each case, alternating")
	only := flag.String("only", ".", "tables to make, a pattern: start, run, cycle, exec, userns, calls, memory, limit, timeline")
	flag.Func("runtime", "NAME=PROGRAM: a further runtime", func(s string) error {
		name, program, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("it is NAME=PROGRAM")
		}
		o.more = append(o.more, further{name, program})
		return nil
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.only, err = regexp.Compile(*only); err == nil {
		o.bin, err = filepath.Abs(*bin)
	}
	if err == nil {
		err = compare(ctx, o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "oci: %v\n", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	bin  string
	runs int
	only *regexp.Regexp
	more []further
}

// further is a runtime that only the command line knows.
type further struct{ name, program string }

// bench is one run of the comparison.
type bench struct {
	options
	meter    *measure.Meter
	view     *peer.View // the same for all
	dir      string     // bundles and root file systems
	runDir   string     // states
	runtimes []*ociRuntime
	missing  []error
}

func compare(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("containers need root here: run make bench-oci as root")
	}
	// What else runs on the machine disturbs all runtimes less. Everything that
	// is started from here inherits it.
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, -15); err != nil {
		fmt.Fprintf(os.Stderr, "oci: priority stays as it is: %v\n", err)
	}
	b := &bench{options: o}
	if b.meter, err = measure.New(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.meter.Close()) }()
	if b.view, err = peer.OnlyCgroup1(); err != nil {
		return err
	}
	defer b.view.Close()
	if b.dir, err = os.MkdirTemp("", "berth-oci-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.runDir, err = os.MkdirTemp(volatile(), "berth-oci-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.runDir)) }()
	if err := os.Chmod(b.dir, 0o711); err != nil { // a user namespace's root passes it
		return err
	}
	table.Machine(os.Stdout)
	if err := b.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.removeCgroups()) }()
	return b.all(ctx)
}

func (b *bench) all(ctx context.Context) error {
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"start", b.start},
		{"run", b.run},
		{"cycle", b.cycle},
		{"exec", b.exec},
		{"userns", b.userns},
		{"calls", b.calls},
		{"memory", b.memory},
		{"limit", b.limit},
		{"timeline", b.timeline},
	} {
		if !b.only.MatchString(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// volatile is a directory in memory, as /run is on most machines. "" if there is none.
func volatile() string {
	const tmpfs = 0x01021994 // TMPFS_MAGIC, statfs(2)
	for _, dir := range []string{"/run", "/dev/shm"} {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err == nil && st.Type == tmpfs {
			return dir
		}
	}
	return ""
}
