package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"berth/bench/table"
)

// start compares the command lines' --version with a Go program that does nothing.
func (b *bench) start(ctx context.Context) error {
	source, empty := filepath.Join(b.dir, "empty.go"), filepath.Join(b.dir, "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", empty, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build an empty program: %w: %s", err, out)
	}
	var rows []*table.Row
	for _, r := range b.runtimes {
		rows = append(rows, &table.Row{Name: r.name + " --version", Ours: r.ours, Command: func(int) *exec.Cmd { return r.command("--version") }})
	}
	rows = append(rows,
		&table.Row{Name: "an empty Go program", Command: func(int) *exec.Cmd { return exec.Command(empty) }},
		&table.Row{Name: "busybox true", Command: func(int) *exec.Cmd { return exec.Command("busybox", "true") }})
	if err := table.Take(ctx, b.meter, 2*b.runs, b.on(rows)); err != nil {
		return err
	}
	table.Show(os.Stdout, "Start of a command line", rows, b.missing)
	return nil
}

// runRows are `run` of one bundle by every runtime.
func (b *bench) runRows(bundle string) []*table.Row {
	var rows []*table.Row
	for _, r := range b.runtimes {
		rows = append(rows, &table.Row{Name: r.name, Ours: r.ours, Command: func(i int) *exec.Cmd {
			return r.command("run", "--bundle", filepath.Join(r.bundles, bundle), "run-"+strconv.Itoa(i))
		}})
	}
	return b.on(rows)
}

// run compares a whole run, and shows what the kernel takes for it at least.
func (b *bench) run(ctx context.Context) error {
	floor, err := b.floor()
	if err != nil {
		return err
	}
	rows := append(b.runRows(bundleTrue), &table.Row{
		Name: "the kernel's floor: clone, the same mounts, pivot_root, cgroup, execve", On: b.view.Thread,
		Command: func(int) *exec.Cmd { return exec.Command(floor) },
	})
	if err := table.Take(ctx, b.meter, b.runs, rows); err != nil {
		return err
	}
	table.Show(os.Stdout, "`run`", rows, b.missing)
	return nil
}

// floor writes the floor's program.
func (b *bench) floor() (string, error) {
	file := filepath.Join(b.dir, "floor")
	spec, err := newSpec(filepath.Join(b.dir, "rootfs"), variant{args: []string{"/bin/true"}, memory: memoryLimit})
	if err != nil {
		return "", err
	}
	l, err := b.layout()
	if err != nil {
		return "", err
	}
	return file, writeFloor(file, spec, l.At("/berth-bench-floor"))
}

func (b *bench) userns(ctx context.Context) error {
	rows := b.runRows(bundleUserns)
	if err := table.Take(ctx, b.meter, b.runs, rows); err != nil {
		return err
	}
	table.Show(os.Stdout, "`run` with a user namespace", rows, b.missing)
	return nil
}

// steps are the commands of a container's life.
var steps = []string{"create", "start", "delete"}

// cycle compares create, start and delete: together, then each.
func (b *bench) cycle(ctx context.Context) error {
	var rows []*table.Row
	for _, r := range b.runtimes {
		id := func(i int) string { return "cycle-" + strconv.Itoa(i) }
		rows = append(rows, &table.Row{
			Name: r.name, Ours: r.ours,
			Command: func(i int) *exec.Cmd {
				return r.command("create", "--bundle", filepath.Join(r.bundles, bundleTrue), id(i))
			},
			Then: []func(int) *exec.Cmd{
				func(i int) *exec.Cmd { return r.command("start", id(i)) },
				func(i int) *exec.Cmd { return r.command("delete", id(i)) },
			},
		})
	}
	if err := table.Take(ctx, b.meter, b.runs, b.on(rows)); err != nil {
		return err
	}
	table.Show(os.Stdout, "`create`, `start`, `delete`, together", rows, b.missing)
	for k, step := range steps {
		var parts []*table.Row
		for _, r := range rows {
			part := &table.Row{Name: r.Name, Ours: r.Ours, Failed: r.Failed}
			if r.Failed == nil {
				part.Series = r.Parts[k]
			}
			parts = append(parts, part)
		}
		fmt.Printf("\nOf these, `%s`:\n\n", step)
		table.Rows(os.Stdout, parts)
	}
	return nil
}

// exec compares what is done with a running container.
func (b *bench) exec(ctx context.Context) (err error) {
	var rows, states []*table.Row
	for _, r := range b.runtimes {
		if err := b.sleeper(r); err != nil {
			rows = append(rows, &table.Row{Name: r.name, Failed: err})
			continue
		}
		defer func() { err = errors.Join(err, b.endSleeper(r)) }()
		rows = append(rows, &table.Row{Name: r.name, Ours: r.ours, Command: func(int) *exec.Cmd { return r.command("exec", sleeperID, "/bin/true") }})
		states = append(states, &table.Row{Name: r.name, Ours: r.ours, Command: func(int) *exec.Cmd { return r.command("state", sleeperID) }})
	}
	b.meter.Settle()
	if err := table.Take(ctx, b.meter, b.runs, b.on(rows)); err != nil {
		return err
	}
	table.Show(os.Stdout, "`exec` in a running container", rows, b.missing)
	if err := table.Take(ctx, b.meter, b.runs, b.on(states)); err != nil {
		return err
	}
	table.Show(os.Stdout, "`state`", states, nil)
	return nil
}

// sleeperID is the container in which exec is measured.
const sleeperID = "sleeper"

// withSleeper has a container run while f does.
func (b *bench) withSleeper(r *ociRuntime, f func() error) (err error) {
	if err := b.sleeper(r); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.endSleeper(r)) }()
	return f()
}

func (b *bench) sleeper(r *ociRuntime) error {
	return b.quietly(r.command("run", "--detach", "--bundle", filepath.Join(r.bundles, bundleSleep), sleeperID))
}

func (b *bench) endSleeper(r *ociRuntime) error {
	return b.quietly(r.command("delete", "--force", sleeperID))
}
