package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"berth/bench/peer"
	"berth/bench/table"
	"berth/ociruntime/cgroups"
)

// ociRuntime is a program with runc's command line.
type ociRuntime struct {
	name    string // as in tables
	program string
	ours    bool
	root    string // of its states
	bundles string // directory of its bundles
	cgroup  string // of all its containers
}

// Names of the bundles, each for one variant.
const (
	bundleTrue   = "true"
	bundleSleep  = "sleep"
	bundleUserns = "userns"
	bundleTight  = "tight"
)

// prepare finds the runtimes and makes each its bundles, which differ in the
// cgroup's name alone.
func (b *bench) prepare() error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return errors.New("busybox is not installed: apt-get install busybox-static")
	}
	if out, err := exec.Command(busybox, "true").CombinedOutput(); err != nil {
		return fmt.Errorf("try busybox: %w: %s", err, out)
	}
	for name, userns := range map[string]bool{"rootfs": false, "rootfs-userns": true} {
		if err := writeRootfs(filepath.Join(b.dir, name), busybox, userns); err != nil {
			return err
		}
	}
	b.add("berth-oci", filepath.Join(b.bin, "berth-oci")).ours = true
	for _, name := range []string{"crun", "runc"} {
		program, err := peer.Program(name)
		if err != nil {
			b.missing = append(b.missing, err)
			continue
		}
		b.add(name, program)
	}
	for _, f := range b.more {
		b.add(f.name, f.program)
	}
	for _, r := range b.runtimes {
		if err := b.writeBundles(r); err != nil {
			return err
		}
	}
	fmt.Printf("\nAll runtimes get the same bundle: busybox, Docker's default seccomp profile, capabilities, mounts, masks and device rules, new mount, network, pid, "+
		"ipc, uts and cgroup namespaces, limits of memory, CPU and processes%s.\n", strings.Replace(b.view.Note, "from it", "from all of them", 1))
	return nil
}

func (b *bench) add(name, program string) *ociRuntime {
	if out, err := exec.Command(program, "--version").Output(); err == nil {
		if f := strings.Fields(string(out)); len(f) > 2 && name != "berth-oci" {
			name = f[0] + " " + f[2]
		}
	}
	id := "bench-" + strconv.Itoa(len(b.runtimes))
	r := &ociRuntime{
		name: name, program: program, root: filepath.Join(b.runDir, id), bundles: filepath.Join(b.dir, id), cgroup: "/berth-bench/" + id,
	}
	b.runtimes = append(b.runtimes, r)
	return r
}

func (b *bench) writeBundles(r *ociRuntime) error {
	plain := filepath.Join(b.dir, "rootfs")
	for _, x := range []struct {
		name, rootfs string
		v            variant
	}{
		{bundleTrue, plain, variant{args: []string{"/bin/true"}}},
		{bundleSleep, plain, variant{args: []string{"/bin/sleep", "1000000"}}},
		{bundleUserns, plain + "-userns", variant{args: []string{"/bin/true"}, userns: true}},
	} {
		x.v.memory, x.v.cgroup = memoryLimit, r.cgroup+"/"+x.name
		if err := writeConfig(filepath.Join(r.bundles, x.name), x.rootfs, x.v); err != nil {
			return err
		}
	}
	return nil
}

// command is one of the runtime's.
func (r *ociRuntime) command(args ...string) *exec.Cmd {
	return exec.Command(r.program, append([]string{"--root", r.root}, args...)...)
}

// on has every runtime's command started where crun works.
func (b *bench) on(rows []*table.Row) []*table.Row {
	for _, r := range rows {
		r.On = b.view.Thread
	}
	return rows
}

// quietly runs a command outside of any measurement. An error has its output.
func (b *bench) quietly(cmd *exec.Cmd) (err error) {
	// To a file, not a pipe: a container that stays would hold that open.
	f, err := os.CreateTemp(b.dir, "output-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	cmd.Stdout, cmd.Stderr = f, f
	if err := b.inView(cmd.Run); err != nil {
		out, rerr := os.ReadFile(f.Name())
		return errors.Join(fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out))), rerr)
	}
	return nil
}

// inView runs f where the runtimes are started.
func (b *bench) inView(f func() error) (err error) {
	if b.view.Thread == nil {
		return f()
	}
	b.view.Thread.Do(func() { err = f() })
	return err
}

// layout is what the runtimes see of the cgroup hierarchies.
func (b *bench) layout() (cgroups.Layout, error) {
	l, err := cgroups.Detect()
	if b.view.Thread != nil {
		l.Unified, l.UnifiedControllers = "", nil
	}
	return l, err
}

// removeCgroups removes the parents of the containers' cgroups.
func (b *bench) removeCgroups() error {
	l, err := cgroups.Detect()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range l.At("/berth-bench").Dirs() {
		if err := peer.RemoveCgroup(d.Path); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
