package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"berth/bench/table"
	"berth/bench/timeline"
)

// timeline shows what every process of berth-oci's run and exec, and of the
// others' for comparison, spends its time with.
func (b *bench) timeline(context.Context) (err error) {
	dir, err := os.MkdirTemp(b.dir, "tracing-")
	if err != nil {
		return err
	}
	var tracer *timeline.Tracer
	if err := b.inView(func() (err error) { tracer, err = timeline.Open(dir); return err }); err != nil {
		table.Show(os.Stdout, "Where the time goes", nil, []error{err})
		return nil
	}
	defer func() { err = errors.Join(err, b.inView(tracer.Close)) }()
	for _, r := range b.runtimes {
		if err := b.withSleeper(r, func() error { return b.timelines(tracer, r) }); err != nil {
			table.Missing(os.Stdout, []error{fmt.Errorf("%s: %w", r.name, err)})
		}
	}
	return nil
}

func (b *bench) timelines(tracer *timeline.Tracer, r *ociRuntime) error {
	for _, name := range counted {
		fmt.Printf("\n## Where the time of %s %s goes\n\n", r.name, name)
		if err := b.showTimeline(tracer, r, name); err != nil {
			return err
		}
	}
	return nil
}

// showTimeline prints the run with the median CPU time out of several.
func (b *bench) showTimeline(tracer *timeline.Tracer, r *ociRuntime, name string) error {
	var all [][]*timeline.Process
	for i := range 11 {
		var rec timeline.Record
		err := b.inView(func() (err error) {
			rec, err = tracer.Record(b.counted(r, name))
			return err
		})
		if err != nil {
			return err
		}
		if i > 0 { // the first warms up
			all = append(all, rec.Merged())
		}
	}
	slices.SortFunc(all, func(x, y []*timeline.Process) int { return cmp.Compare(total(x), total(y)) })
	showProcesses(all[len(all)/2])
	return nil
}

func total(all []*timeline.Process) (sum time.Duration) {
	for _, p := range all {
		sum += p.CPU
	}
	return sum
}

// showProcesses prints a row for each process.
func showProcesses(all []*timeline.Process) {
	fmt.Printf("| process | from us | to us | CPU us | outside of calls | page faults | switches | threads | system calls: number, CPU us; the most expensive |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range all {
		name := p.Name
		if len(p.Execs) > 1 {
			var names []string
			for _, e := range p.Execs {
				names = append(names, e.Name)
			}
			name = strings.Join(names, ", then ")
		}
		calls, cpu := 0, time.Duration(0)
		for _, c := range p.Calls {
			calls, cpu = calls+c.Count, cpu+c.CPU
		}
		zero := all[0].Start
		fmt.Printf("| %s | %d | %d | %d | %d | %d | %d | %d | %d, %d: %s |\n", name, (p.Start - zero).Microseconds(), (p.End - zero).Microseconds(), p.CPU.Microseconds(),
			p.User.Microseconds(), p.Faults, p.Switches, p.Threads+1, calls, cpu.Microseconds(), strings.Join(dearest(p.Calls, 12), ", "))
	}
}

// dearest names the n calls that took the most.
func dearest(calls map[string]timeline.Call, n int) []string {
	names := slices.SortedFunc(maps.Keys(calls), func(x, y string) int {
		return cmp.Or(cmp.Compare(calls[y].CPU, calls[x].CPU), cmp.Compare(x, y))
	})
	var out []string
	for _, name := range names[:min(n, len(names))] {
		c := calls[name]
		out = append(out, fmt.Sprintf("%s %d x %d", name, c.Count, c.CPU.Microseconds()))
	}
	return out
}
