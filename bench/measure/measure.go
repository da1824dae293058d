// Package measure runs commands and says what they cost: wall time, and the
// processor time of everything they set in motion.
//
// Level: L5.
// Owns: how a cost is measured; medians.
// May import: the standard library, internal/linux.
// Must not know: what is measured.
//
// A container engine leaves work behind that its command line does not wait for:
// shims, monitors, clean-up processes. The measuring process therefore is the
// reaper of all its descendants, waits after each command until those that the
// command left are gone, and adds the time that daemons used meanwhile.
package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/internal/linux"
)

// Sample is what one command cost.
type Sample struct {
	Wall time.Duration // start to exit of the command itself
	CPU  time.Duration // of all processes, until the last one left behind was gone
}

// Series are the samples of one case.
type Series []Sample

// Median is the median wall time.
func (s Series) Median() time.Duration { return middle(s.walls()) }

// Min is the least wall time.
func (s Series) Min() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return s.walls()[0]
}

// MeanCPU is the mean processor time: a daemon's is counted in steps of 10 ms,
// which only a sum evens out.
func (s Series) MeanCPU() time.Duration {
	if len(s) == 0 {
		return 0
	}
	var sum time.Duration
	for _, x := range s {
		sum += x.CPU
	}
	return sum / time.Duration(len(s))
}

// MedianCPU is the median processor time, for what needs no daemon.
func (s Series) MedianCPU() time.Duration {
	return middle(s.sorted(func(x Sample) time.Duration { return x.CPU }))
}

func (s Series) walls() []time.Duration {
	return s.sorted(func(x Sample) time.Duration { return x.Wall })
}

func (s Series) sorted(of func(Sample) time.Duration) []time.Duration {
	all := make([]time.Duration, len(s))
	for i, x := range s {
		all[i] = of(x)
	}
	slices.Sort(all)
	return all
}

func middle(sorted []time.Duration) time.Duration {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Meter runs commands one at a time. There is one in a process.
type Meter struct {
	output  *os.File // of the command; a file, because a pipe would be waited for
	started []int    // processes of the caller's that are to stay
}

// New makes this process the reaper of its descendants. The caller closes it.
func New() (*Meter, error) {
	if err := linux.SetChildSubreaper(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "berth-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Meter{output: f}, nil
}

// Close forgets the commands' output.
func (m *Meter) Close() error { return m.output.Close() }

// settleTime bounds the wait for what a command leaves behind. What still runs
// then stays: a container that was started to stay.
const settleTime = 2 * time.Second

// Options say what belongs to a command.
type Options struct {
	// Daemons work for it meanwhile; their threads and reaped children count.
	Daemons []int
	// On is the thread that starts it, nil for any.
	On *linux.MountThread
}

// Run runs cmd. An exit status other than 0 is an error with the last output.
func (m *Meter) Run(cmd *exec.Cmd, o Options) (Sample, error) {
	all, err := m.RunAll([]*exec.Cmd{cmd}, o)
	if err != nil {
		return Sample{}, err
	}
	return all[0], nil
}

// RunAll runs commands that work on one thing. What the first leaves running is
// the second's to end: after that one it waits until nothing is left.
func (m *Meter) RunAll(commands []*exec.Cmd, o Options) ([]Sample, error) {
	present := append(children(), o.Daemons...)
	var all []Sample
	for i, cmd := range commands {
		before := spent(o.Daemons)
		wall, err := m.run(cmd, o.On)
		if err != nil {
			return nil, err
		}
		if i > 0 || len(commands) == 1 {
			m.settle(present)
		}
		all = append(all, Sample{Wall: wall, CPU: spent(o.Daemons) - before})
	}
	return all, nil
}

func (m *Meter) run(cmd *exec.Cmd, on *linux.MountThread) (wall time.Duration, err error) {
	if err := m.output.Truncate(0); err != nil {
		return 0, err
	}
	if _, err := m.output.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = m.output, m.output
	run := func() {
		start := time.Now()
		err = cmd.Run()
		wall = time.Since(start)
	}
	if on == nil {
		run()
	} else {
		on.Do(run)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, m.lastLine())
	}
	return wall, nil
}

// lastLine is the end of what the last command wrote.
func (m *Meter) lastLine() string {
	b := make([]byte, 4096)
	n, err := m.output.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b[:n])), "\n")
	return lines[len(lines)-1]
}

// settle reaps what was not there before, until nothing new is left.
func (m *Meter) settle(keep []int) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		left := 0
		for _, pid := range children() {
			if slices.Contains(keep, pid) || slices.Contains(m.started, pid) {
				continue
			}
			if got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err == nil && got == 0 {
				left++
			}
		}
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Settle waits for what earlier commands left behind and then takes what still
// runs as there to stay.
func (m *Meter) Settle() {
	m.settle(nil)
	m.started = children()
}

// children lists this process's children.
func children() []int {
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil // the pattern is right
	}
	var pids []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread is gone
		}
		for _, field := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// spent is the processor time of reaped descendants and of daemons so far.
func spent(daemons []int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return 0
	}
	sum := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	for _, pid := range daemons {
		sum += processTime(pid)
	}
	return sum
}

// processTime is a process's own time and that of its reaped children, in steps
// of 10 ms (proc_pid_stat(5), fields 14 to 17).
func processTime(pid int) time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 15 {
		return 0
	}
	var ticks time.Duration
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// Memory is what a process has resident, in bytes.
type Memory struct {
	PSS int64 // its own pages, and its share of those it shares
	RSS int64
}

// MemoryOf reads /proc/PID/smaps_rollup.
func MemoryOf(pid int) (Memory, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return Memory{}, err
	}
	return parseRollup(string(b))
}

func parseRollup(text string) (Memory, error) {
	var m Memory
	found := 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return m, fmt.Errorf("read memory line %q: %w", strings.TrimSpace(line), err)
		}
		switch f[0] {
		case "Pss:":
			m.PSS = n * 1024
			found++
		case "Rss:":
			m.RSS = n * 1024
			found++
		}
	}
	if found != 2 {
		return m, errors.New("no Pss and Rss in smaps_rollup")
	}
	return m, nil
}

// Parent is a process's parent and that one's name.
func Parent(pid int) (ppid int, name string, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", err
	}
	_, rest, ok := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 {
		return 0, "", fmt.Errorf("read the parent of process %d: unknown form", pid)
	}
	if ppid, err = strconv.Atoi(fields[1]); err != nil {
		return 0, "", fmt.Errorf("read the parent of process %d: %w", pid, err)
	}
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(ppid) + "/comm")
	return ppid, strings.TrimSpace(string(comm)), err
}
