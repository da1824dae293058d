package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"berth/bench/measure"
	"berth/internal/linux"
)

// row is one case of a table: a way to do the same thing.
type row struct {
	name    string
	ours    bool
	command func(i int) *exec.Cmd // the i-th run's
	daemons []int
	times   int                // how often the command does it; 0 is once
	on      *linux.MountThread // where it is started; nil for anywhere
	series  measure.Series
	failed  error
}

// take runs every case once to warm it, then n times in turn. A case that fails
// is left out from then on and says why.
func (b *bench) take(ctx context.Context, rows []*row) error {
	for i := range b.runs + 1 {
		for _, r := range rows {
			if r.failed != nil {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := b.meter.Run(r.command(i), r.daemons, r.on)
			if err != nil {
				r.failed = err
				continue
			}
			if n := time.Duration(r.times); n > 1 {
				s.Wall, s.CPU = s.Wall/n, s.CPU/n
			}
			if i > 0 {
				r.series = append(r.series, s)
			}
		}
	}
	return nil
}

// show prints a table. The others are compared with berth's row.
func show(w io.Writer, title string, rows []*row, missing []error) {
	var ours measure.Series
	for _, r := range rows {
		if r.ours {
			ours = r.series
		}
	}
	fmt.Fprintf(w, "\n## %s\n\n| | median ms | min ms | CPU ms | berth is (wall) | (CPU) |\n|---|---|---|---|---|---|\n", title)
	for _, r := range rows {
		if r.failed != nil {
			fmt.Fprintf(w, "| %s | %s | | | | |\n", r.name, strings.ReplaceAll(r.failed.Error(), "|", " "))
			continue
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", r.name, millis(r.series.Median()), millis(r.series.Min()), millis(r.series.CPU()),
			ratio(ours.Median(), r.series.Median()), ratio(ours.CPU(), r.series.CPU()))
	}
	showMissing(w, missing)
}

func showMissing(w io.Writer, missing []error) {
	for _, err := range missing {
		fmt.Fprintf(w, "\nNot measured: %v.\n", err)
	}
}

func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.2f", ms)
}

func ratio(a, b time.Duration) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f x", float64(a)/float64(b))
}

// machine prints what the numbers were taken on.
func machine(w io.Writer) {
	var u syscall.Utsname
	release := "?"
	if err := syscall.Uname(&u); err == nil {
		var s strings.Builder
		for _, c := range u.Release {
			if c == 0 {
				break
			}
			s.WriteByte(byte(c))
		}
		release = s.String()
	}
	load := "?"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	fmt.Fprintf(w, "%s, Linux %s, %s, %d CPUs, load %s\n", time.Now().UTC().Format("2006-01-02"), release, runtime.GOARCH, runtime.NumCPU(), load)
}
