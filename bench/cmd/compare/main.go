// Command compare measures berth beside crun, runc, podman and docker in one
// run and prints tables: medians and ratios.
//
// Level: L5.
// Owns: the cases.
// May import: bench/measure, bench/peer, bench/table, image/toolbox.
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
	"syscall"

	"berth/bench/measure"
	"berth/bench/table"
)

func main() {
	var o options
	bin := flag.String("bin", "bin", "directory of berth and berthd")
	flag.IntVar(&o.runs, "n", 25, "runs of each case, alternating")
	only := flag.String("only", ".", "tables to make, a pattern: start, bundle, run, exec, memory")
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
		fmt.Fprintf(os.Stderr, "compare: %v\n", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	bin  string
	runs int
	only *regexp.Regexp
}

func compare(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("containers need root here: run make bench as root")
	}
	// What else runs on the machine disturbs all engines less. Everything that
	// is started from here inherits it.
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, -15); err != nil {
		fmt.Fprintf(os.Stderr, "compare: priority stays as it is: %v\n", err)
	}
	m, err := measure.New()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return err
	}
	run, err := os.MkdirTemp(volatile(), "berth-bench-")
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, m.Close(), os.RemoveAll(dir), os.RemoveAll(run)) }()
	archive, err := writeArchive(dir)
	if err != nil {
		return err
	}
	table.Machine(os.Stdout)
	b := bench{options: o, meter: m, dir: dir, runDir: run, archive: archive}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"start", b.start},
		{"bundle", b.bundle},
		{"engines", b.engines},
	} {
		if part.name != "engines" && !o.only.MatchString(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// volatile is a directory in memory, as /run is on most machines: what engines
// keep there costs less than on a disk. "" if there is none.
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
