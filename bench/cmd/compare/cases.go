package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"berth/bench/measure"
	"berth/bench/peer"
	"berth/bench/table"
	"berth/image/toolbox"
)

// bench is one run of the comparison.
type bench struct {
	options
	meter   *measure.Meter
	dir     string // what the engines store
	runDir  string // what they need while they run
	archive string // the toolbox image
}

func writeArchive(dir string) (path string, err error) {
	from, err := toolbox.Open()
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "toolbox.tar"))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return to.Name(), errors.Join(err, to.Close())
}

func build(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return nil
}

// start compares the command lines' --version with a Go program that does
// nothing.
func (b *bench) start(ctx context.Context) error {
	source := filepath.Join(b.dir, "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return err
	}
	empty := filepath.Join(b.dir, "empty")
	if err := build(ctx, empty, source); err != nil {
		return err
	}
	rows := []*table.Row{
		{Name: "berth --version", Ours: true, Command: func(int) *exec.Cmd { return exec.Command(filepath.Join(b.bin, "berth"), "--version") }},
		{Name: "an empty Go program", Command: func(int) *exec.Cmd { return exec.Command(empty) }},
	}
	var missing []error
	for _, name := range []string{"crun", "runc", "podman", "docker"} {
		path, err := peer.Program(name)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		rows = append(rows, &table.Row{Name: name + " --version", Command: func(int) *exec.Cmd { return exec.Command(path, "--version") }})
	}
	if err := table.Take(ctx, b.meter, 4*b.runs, rows); err != nil { // they are short
		return err
	}
	table.Show(os.Stdout, "Start of a command line", rows, missing)
	return nil
}

// bundle compares runtimes on one bundle, without limits and with.
func (b *bench) bundle(ctx context.Context) error {
	dir := filepath.Join(b.dir, "bundle")
	if err := b.unpack(filepath.Join(dir, "rootfs")); err != nil {
		return err
	}
	ours := filepath.Join(b.dir, "bundle-program")
	if err := build(ctx, ours, "berth/bench/cmd/bundle"); err != nil {
		return err
	}
	view, err := peer.OnlyCgroup1()
	if err != nil {
		return err
	}
	defer view.Close()
	for _, limits := range []bool{false, true} {
		if err := writeSpec(filepath.Join(dir, "config.json"), limits); err != nil {
			return err
		}
		rows, missing := b.runtimes(ours, dir, view)
		if err := table.Take(ctx, b.meter, b.runs, rows); err != nil {
			return err
		}
		title := "A bundle, start to exit: `true` in six namespaces"
		if limits {
			title += ", memory, process and device limits"
		}
		table.Show(os.Stdout, title, rows, missing)
	}
	return nil
}

func (b *bench) runtimes(ours, dir string, view *peer.View) (rows []*table.Row, missing []error) {
	rows = []*table.Row{{Name: "berth-oci", Ours: true, Command: func(i int) *exec.Cmd {
		return exec.Command(filepath.Join(b.bin, "berth-oci"), "--root", filepath.Join(b.runDir, "oci"), "run", "--bundle", dir, "bench-oci-"+strconv.Itoa(i))
	}}}
	const times = 10
	rows = append(rows, &table.Row{Name: "berth's runtime in a process that runs, as in berthd", Times: times, Command: func(i int) *exec.Cmd {
		return exec.Command(ours, filepath.Join(b.runDir, "ours"), dir, "bench-berth-"+strconv.Itoa(i), strconv.Itoa(times))
	}})
	for _, name := range []string{"crun", "runc"} {
		path, err := peer.Program(name)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		root := filepath.Join(b.runDir, name)
		r := &table.Row{Name: name, Command: func(i int) *exec.Cmd {
			return exec.Command(path, "--root", root, "run", "--bundle", dir, "bench-"+name+"-"+strconv.Itoa(i))
		}}
		if name == "crun" {
			r.On, r.Name = view.Thread, name+view.Note
		}
		rows = append(rows, r)
	}
	return rows, missing
}

// unpack writes the image's only layer to rootfs.
func (b *bench) unpack(rootfs string) error {
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return err
	}
	var manifest []struct{ Layers []string }
	out, err := exec.Command("tar", "-xOf", b.archive, "manifest.json").Output()
	if err != nil {
		return fmt.Errorf("read the image's manifest: %w", err)
	}
	if err := json.Unmarshal(out, &manifest); err != nil {
		return fmt.Errorf("read the image's manifest: %w", err)
	}
	for _, layer := range manifest[0].Layers {
		if out, err := exec.Command("tar", "-xf", b.archive, "-C", b.dir, layer).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack the image: %w: %s", err, out)
		}
		if out, err := exec.Command("tar", "-xzf", filepath.Join(b.dir, layer), "-C", rootfs).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack the layer: %w: %s", err, out)
		}
	}
	return nil
}

// engines compares whole engines, each with a daemon and a store of its own.
func (b *bench) engines(ctx context.Context) (err error) {
	wanted := false
	for _, name := range []string{"run", "exec", "memory"} {
		wanted = wanted || b.only.MatchString(name)
	}
	if !wanted {
		return nil
	}
	var all []*peer.Engine
	var missing []error
	defer func() {
		for _, e := range all {
			err = errors.Join(err, e.Close())
		}
	}()
	for _, s := range []struct {
		name  string
		start func(d peer.Dirs) (*peer.Engine, error)
	}{
		{"berth", func(d peer.Dirs) (*peer.Engine, error) { return peer.Berth(ctx, b.bin, d) }},
		{"docker", func(d peer.Dirs) (*peer.Engine, error) { return peer.Docker(ctx, d, b.archive) }},
		{"podman", func(d peer.Dirs) (*peer.Engine, error) { return peer.Podman(ctx, d, b.archive) }},
	} {
		d := peer.Dirs{Store: filepath.Join(b.dir, s.name), Run: filepath.Join(b.runDir, s.name)}
		if err := errors.Join(os.MkdirAll(d.Store, 0o700), os.MkdirAll(d.Run, 0o700)); err != nil {
			return err
		}
		e, err := s.start(d)
		if err != nil {
			missing = append(missing, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		table.Missing(os.Stdout, missing)
		return nil
	}
	b.meter.Settle()
	if b.only.MatchString("run") {
		if err := b.wholeRuns(ctx, all, missing); err != nil {
			return err
		}
	}
	return b.inRunning(ctx, all, missing)
}

// wholeRuns compares a whole run of a container that does nothing.
func (b *bench) wholeRuns(ctx context.Context, all []*peer.Engine, missing []error) error {
	var rows []*table.Row
	for _, e := range all {
		rows = append(rows, &table.Row{Name: e.Name + ": " + e.Version, Ours: e.Ours, On: e.On, Daemons: e.Daemons, Command: func(int) *exec.Cmd {
			return e.Command(e.RunArgs("--rm", "--network", "none", e.Image, "true")...)
		}})
	}
	if err := table.Take(ctx, b.meter, b.runs, rows); err != nil {
		return err
	}
	table.Show(os.Stdout, "`run --rm --network none toolbox true`", rows, missing)
	return nil
}

// inRunning compares what is done with a running container, and what it costs
// to have one.
func (b *bench) inRunning(ctx context.Context, all []*peer.Engine, missing []error) (err error) {
	var rows []*table.Row
	type parent struct {
		engine string
		pid    int
	}
	var parents []parent
	for _, e := range all {
		id, err := e.Output(e.RunArgs("-d", "--network", "none", e.Image, "sleep", "infinity")...)
		if err != nil {
			rows = append(rows, &table.Row{Name: e.Name, Failed: err})
			continue
		}
		defer func() { err = errors.Join(err, e.Remove(id)) }()
		rows = append(rows, &table.Row{Name: e.Name, Ours: e.Ours, On: e.On, Daemons: e.Daemons, Command: func(int) *exec.Cmd {
			return e.Command("exec", id, "true")
		}})
		text, err := e.Output("inspect", "--format", "{{.State.Pid}}", id)
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("%s inspect: %w", e.Name, err)
		}
		parents = append(parents, parent{e.Name, pid})
	}
	b.meter.Settle()
	if b.only.MatchString("exec") {
		if err := table.Take(ctx, b.meter, b.runs, rows); err != nil {
			return err
		}
		table.Show(os.Stdout, "`exec CONTAINER true`", rows, missing)
	}
	if !b.only.MatchString("memory") {
		return nil
	}
	fmt.Printf("\n## Resident memory with one container running\n\n| | process | PSS kB | RSS kB |\n|---|---|---|---|\n")
	for _, p := range parents {
		ppid, name, err := measure.Parent(p.pid)
		if err != nil {
			return err
		}
		if err := showMemory(p.engine+", the container's parent", ppid, name); err != nil {
			return err
		}
	}
	for _, e := range all {
		for _, pid := range e.Daemons {
			if err := showMemory(e.Name+", a daemon", pid, processName(pid)); err != nil {
				return err
			}
		}
	}
	table.Missing(os.Stdout, missing)
	return nil
}

func showMemory(title string, pid int, name string) error {
	m, err := measure.MemoryOf(pid)
	if err != nil {
		return err
	}
	fmt.Printf("| %s | %s | %d | %d |\n", title, name, m.PSS/1024, m.RSS/1024)
	return nil
}

func processName(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
}
