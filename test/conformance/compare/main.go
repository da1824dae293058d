// Command compare runs the validation suite with berth-oci and its peers, prints
// the results side by side, and fails if berth-oci is behind any of them.
//
// Level: L5.
// Owns: nothing.
// May import: test/conformance.
// Must not know: how the suite is run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"berth/test/conformance"
)

type options struct {
	bin      string
	programs *regexp.Regexp
	runtimes *regexp.Regexp
	output   bool
	beside   int
}

func main() {
	conformance.Stage()
	var o options
	programs := flag.String("programs", "", "run only the programs that match this regular `expression`")
	runtimes := flag.String("runtimes", "", "run only the runtimes whose names match this regular `expression`")
	flag.StringVar(&o.bin, "bin", "bin", "the `directory` of berth-oci")
	flag.BoolVar(&o.output, "output", false, "print the programs' whole output")
	flag.IntVar(&o.beside, "beside", 4, "run so many programs at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if o.programs, err = regexp.Compile(*programs); err == nil {
		if o.runtimes, err = regexp.Compile(*runtimes); err == nil {
			err = o.run(ctx, os.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, w io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("run it as root: it makes containers")
	}
	suite, err := conformance.OpenSuite(ctx, conformance.CacheDir())
	if err != nil {
		return err
	}
	runtimes, err := o.choose(ctx)
	if err != nil {
		return err
	}
	all, err := suite.Programs()
	if err != nil {
		return err
	}
	var programs []string
	for _, p := range all {
		if o.programs.MatchString(p) {
			programs = append(programs, p)
		}
	}
	runner := &conformance.Runner{Suite: suite, Limit: 3 * time.Minute, Beside: o.beside}
	var columns []conformance.Column
	for _, rt := range runtimes {
		start := time.Now()
		results, err := runner.Run(ctx, rt, programs)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %.0f s\n", rt.Name, time.Since(start).Seconds())
		columns = append(columns, conformance.Column{Runtime: rt, Results: results})
	}
	return o.report(w, columns)
}

const ours = "berth-oci"

// choose finds the runtimes, berth-oci last.
func (o *options) choose(ctx context.Context) ([]conformance.Runtime, error) {
	all, err := conformance.Peers(ctx, conformance.CacheDir())
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(filepath.Join(o.bin, ours))
	if err != nil {
		return nil, err
	}
	all = append(all, conformance.Runtime{Name: ours, Path: path})
	var chosen []conformance.Runtime
	for _, rt := range all {
		if o.runtimes.MatchString(rt.Name) {
			chosen = append(chosen, rt)
		}
	}
	for _, rt := range chosen {
		if _, err := os.Stat(rt.Path); err != nil {
			return nil, fmt.Errorf("find %s: %w: make build", rt.Name, err)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("choose runtimes: none matches %s", o.runtimes)
	}
	return chosen, nil
}

func (o *options) report(w io.Writer, columns []conformance.Column) error {
	for _, c := range columns {
		if o.output {
			for _, r := range c.Results {
				fmt.Fprintf(w, "=== %s, %s: exit code %d after %.1f s\n%s%s\n", c.Runtime.Name, r.Program, r.ExitCode, r.Took.Seconds(), r.Stdout, r.Stderr)
			}
		}
		if err := conformance.Explain(w, c); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "\nEach program's verdict, and its tests passed/failed/skipped (*: it complains without a test that fails):")
	if err := conformance.Table(w, columns); err != nil {
		return err
	}
	last := columns[len(columns)-1]
	if last.Runtime.Name != ours {
		return nil
	}
	n, err := conformance.Behind(w, last, columns[:len(columns)-1])
	if err == nil && n > 0 {
		err = fmt.Errorf("%s is behind its peers in %d places, listed above", ours, n)
	}
	return err
}
