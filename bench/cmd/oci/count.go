package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"berth/bench/table"
	"berth/ociruntime/cgroups"
)

// counted are the commands of which more is measured than time.
var counted = []string{"run", "exec"}

// perCommand prints a table with a number for each runtime and counted command.
func (b *bench) perCommand(title string, number func(cmd *exec.Cmd) (string, error)) (err error) {
	fmt.Printf("\n## %s\n\n| | run | exec |\n|---|---|---|\n", title)
	for _, r := range b.runtimes {
		cells := []string{r.name}
		err := b.withSleeper(r, func() error {
			for _, name := range counted {
				cell, err := number(b.counted(r, name))
				if err != nil {
					cell = table.Cell(err.Error())
				}
				cells = append(cells, cell)
			}
			return nil
		})
		if err != nil {
			cells = []string{r.name, table.Cell(err.Error()), ""}
		}
		fmt.Printf("| %s |\n", strings.Join(cells, " | "))
	}
	return nil
}

// counted is one of the commands of that name, where the sleeper runs.
func (b *bench) counted(r *ociRuntime, name string) *exec.Cmd {
	if name == "exec" {
		return r.command("exec", sleeperID, "/bin/true")
	}
	return r.command("run", "--bundle", filepath.Join(r.bundles, bundleTrue), "counted")
}

// calls counts the system calls of a command and of everything it sets in motion.
func (b *bench) calls(context.Context) error {
	const title = "System calls of the command and all it starts, the container's own included"
	strace, err := exec.LookPath("strace")
	if err != nil {
		table.Show(os.Stdout, title, nil, []error{errors.New("strace is not installed: apt-get install strace")})
		return nil
	}
	return b.perCommand(title, func(cmd *exec.Cmd) (string, error) {
		file := filepath.Join(b.dir, "calls")
		if err := b.quietly(exec.Command(strace, append([]string{"-f", "-c", "-o", file}, cmd.Args...)...)); err != nil {
			return "", err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		n, err := parseCalls(string(text))
		return strconv.Itoa(n), err
	})
}

// parseCalls reads the total of strace -c.
func parseCalls(text string) (int, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 5 && f[len(f)-1] == "total" {
			return strconv.Atoi(f[3])
		}
	}
	return 0, errors.New("read strace's summary: it has no total")
}

// memory measures what a runtime's own processes take at most: it runs in a
// cgroup, from which the container's process leaves for its own.
func (b *bench) memory(ctx context.Context) error {
	return b.perCommand("Peak memory of the runtime, kB (cgroup: all its processes, kernel memory included; median of 5)", func(cmd *exec.Cmd) (string, error) {
		var peaks []int
		for range 5 {
			n, err := b.peak(ctx, cmd)
			if err != nil {
				return "", err
			}
			peaks = append(peaks, n)
		}
		slices.Sort(peaks)
		return strconv.Itoa(peaks[len(peaks)/2] / 1024), nil
	})
}

func (b *bench) peak(ctx context.Context, cmd *exec.Cmd) (n int, err error) {
	c, err := cgroups.Create(ctx, "/berth-bench/peak", nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Delete(ctx)) }()
	dir, join, peak := "", "", ""
	for _, d := range c.Dirs() {
		switch d.Name {
		case "memory":
			dir, join, peak = d.Path, "tasks", "memory.max_usage_in_bytes"
		case "":
			dir, join, peak = d.Path, "cgroup.procs", "memory.peak"
		}
	}
	// The shell is smaller than all that it is replaced by.
	inside := exec.Command("sh", append([]string{"-c", `echo 0 >"$0" && exec "$@"`, filepath.Join(dir, join)}, cmd.Args...)...)
	if err := b.quietly(inside); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(dir, peak))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s: the kernel keeps no peak (Linux 6.5 does)", filepath.Join(dir, peak))
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// Bounds of the search for the smallest limit, and its step, in bytes.
const (
	leastLimit = 64 << 10
	mostLimit  = 64 << 20
	limitStep  = 64 << 10
)

// limit finds the smallest memory limit of a container with which it starts, ten
// times of ten.
func (b *bench) limit(ctx context.Context) error {
	fmt.Printf("\n## Smallest memory limit of a container with which `run` of `true` works, 10 times of 10\n\n| | kB | at 1024 kB |\n|---|---|---|\n")
	for _, r := range b.runtimes {
		works := func(bytes int) bool { return b.runsIn(r, bytes) == nil }
		small := "works"
		if err := b.runsIn(r, 1<<20); err != nil {
			small = table.Cell(err.Error())
		}
		n := smallest(leastLimit, mostLimit, limitStep, func(n int) bool { return ctx.Err() == nil && works(n) })
		fmt.Printf("| %s | %d | %s |\n", r.name, n/1024, small)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// smallest is the least n from low to high, in steps, that works: if one does,
// all above do. high if none works.
func smallest(low, high, step int, works func(int) bool) int {
	for low < high {
		middle := low + (high-low)/step/2*step
		if works(middle) {
			high = middle
		} else {
			low = middle + step
		}
	}
	return high
}

// runsIn runs a container with that much memory ten times.
func (b *bench) runsIn(r *ociRuntime, bytes int) error {
	dir := filepath.Join(r.bundles, bundleTight)
	v := variant{args: []string{"/bin/true"}, memory: int64(bytes), cgroup: r.cgroup + "/" + bundleTight}
	if err := writeConfig(dir, filepath.Join(b.dir, "rootfs"), v); err != nil {
		return err
	}
	for i := range 10 {
		id := "tight-" + strconv.Itoa(i)
		if err := b.quietly(r.command("run", "--bundle", dir, id)); err != nil {
			_ = b.quietly(r.command("delete", "--force", id)) // there may be none
			return err
		}
	}
	return nil
}
