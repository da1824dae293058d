// Package table takes the cases of a comparison in turn and prints them as a
// Markdown table.
//
// Level: L5.
// Owns: the order of runs; how a table looks.
// May import: bench/measure, internal/linux.
// Must not know: what is measured.
package table

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

// Row is one case of a table: a way to do the same thing.
type Row struct {
	Name string
	Ours bool // the others are compared with it
	// Command is the i-th run's.
	Command func(i int) *exec.Cmd
	// Then, if any, follow it and count too. What Command leaves running is the
	// first of Then's to end.
	Then    []func(i int) *exec.Cmd
	Daemons []int
	Times   int                // how often the command does it; 0 is once
	On      *linux.MountThread // where it is started; nil for anywhere

	Series measure.Series   // what it cost in all
	Parts  []measure.Series // what Command and each of Then cost, if there are several
	Failed error
}

// Take runs every case once to warm it, then n times in turn. A case that fails
// is left out from then on and says why.
func Take(ctx context.Context, m *measure.Meter, n int, rows []*Row) error {
	for i := range n + 1 {
		for _, r := range rows {
			if r.Failed != nil {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.take(m, i); err != nil {
				r.Failed = err
			}
		}
	}
	return nil
}

func (r *Row) take(m *measure.Meter, i int) error {
	commands := []*exec.Cmd{r.Command(i)}
	for _, then := range r.Then {
		commands = append(commands, then(i))
	}
	samples, err := m.RunAll(commands, measure.Options{Daemons: r.Daemons, On: r.On})
	if err != nil {
		return err
	}
	if r.Parts == nil {
		r.Parts = make([]measure.Series, len(commands))
	}
	var sum measure.Sample
	for k, s := range samples {
		if i > 0 {
			r.Parts[k] = append(r.Parts[k], s)
		}
		sum.Wall, sum.CPU = sum.Wall+s.Wall, sum.CPU+s.CPU
	}
	if n := time.Duration(r.Times); n > 1 {
		sum.Wall, sum.CPU = sum.Wall/n, sum.CPU/n
	}
	if i > 0 {
		r.Series = append(r.Series, sum)
	}
	return nil
}

// Show prints a table. The others are compared with berth's row.
func Show(w io.Writer, title string, rows []*Row, missing []error) {
	fmt.Fprintf(w, "\n## %s\n\n", title)
	Rows(w, rows)
	Missing(w, missing)
}

// Rows prints a table without its title. Without a daemon the median of the CPU
// time is shown, else the mean.
func Rows(w io.Writer, rows []*Row) {
	cpu := measure.Series.MedianCPU
	var ours measure.Series
	for _, r := range rows {
		if r.Ours {
			ours = r.Series
		}
		if len(r.Daemons) > 0 {
			cpu = measure.Series.MeanCPU
		}
	}
	fmt.Fprintf(w, "| | median ms | min ms | CPU ms | berth is (wall) | (CPU) |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		if r.Failed != nil {
			fmt.Fprintf(w, "| %s | %s | | | | |\n", r.Name, Cell(r.Failed.Error()))
			continue
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", r.Name, Millis(r.Series.Median()), Millis(r.Series.Min()), Millis(cpu(r.Series)),
			ratio(ours.Median(), r.Series.Median()), ratio(cpu(ours), cpu(r.Series)))
	}
}

// Cell makes a text fit for a table's cell.
func Cell(text string) string { return strings.NewReplacer("|", " ", "\n", " ").Replace(text) }

// Missing names what could not be measured.
func Missing(w io.Writer, missing []error) {
	for _, err := range missing {
		fmt.Fprintf(w, "\nNot measured: %v.\n", err)
	}
}

// Millis prints milliseconds with three digits.
func Millis(d time.Duration) string {
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

// Machine prints what the numbers were taken on.
func Machine(w io.Writer) {
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
