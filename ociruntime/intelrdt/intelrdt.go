// Package intelrdt puts a container into a group of Intel's Resource Director
// Technology: a directory of the resctrl file system with shares of the CPU's
// caches and memory bandwidth (config-linux.md, "IntelRdt").
//
// Level: R.
// Owns: groups in resctrl.
// May import: internal/linux, moby/sys/mountinfo.
// Must not know: how a container is made.
package intelrdt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Group is where a container's processes are put.
type Group struct{ dirs []string }

// resctrl is a mounted file system of that type.
type resctrl struct {
	root  string
	mkdir func(string, os.FileMode) error
}

func find() (resctrl, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("resctrl"))
	if err != nil {
		return resctrl{}, fmt.Errorf("find resctrl: %w", err)
	}
	if len(mounts) == 0 {
		return resctrl{}, fmt.Errorf("linux.intelRdt needs resctrl: run mount -t resctrl resctrl /sys/fs/resctrl, on a CPU that has it: %w", errdefs.ErrFailedPrecondition)
	}
	return resctrl{root: mounts[0].Mountpoint, mkdir: os.Mkdir}, nil
}

// Create makes what the spec asks for, for the container id. Delete undoes it.
func Create(l *specs.LinuxIntelRdt, id string) (*Group, error) {
	r, err := find()
	if err != nil {
		return nil, err
	}
	return r.create(l, id)
}

// Join puts a process into the group.
func (g *Group) Join(pid int) error {
	for _, dir := range g.dirs {
		if err := linux.WriteControl(dir+"/tasks", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("join the resctrl group %s: %w", dir, err)
		}
	}
	return nil
}

// Delete removes what Create made for a container. It may be repeated.
func Delete(l *specs.LinuxIntelRdt, id string) error {
	r, err := find()
	if errors.Is(err, errdefs.ErrFailedPrecondition) {
		return nil // and so are the groups
	}
	if err != nil {
		return err
	}
	return r.delete(l, id)
}

func (r resctrl) create(l *specs.LinuxIntelRdt, id string) (_ *Group, err error) {
	if err := check(l); err != nil {
		return nil, err
	}
	var schemata []string
	for _, s := range append([]string{l.L3CacheSchema, l.MemBwSchema}, l.Schemata...) {
		if s != "" {
			schemata = append(schemata, s)
		}
	}
	dir, made := r.dir(l, id), false
	err = r.mkdirFor(l, dir, len(schemata) > 0)
	switch {
	case err == nil && dir != r.root:
		made = true
	case err != nil && !(l.ClosID != "" && errors.Is(err, fs.ErrExist)):
		return nil, fmt.Errorf("make the resctrl group %s: %w", dir, err)
	}
	defer func() {
		if err != nil && made {
			err = errors.Join(err, os.Remove(dir))
		}
	}()
	if !made && l.ClosID != "/" {
		if err := compare(dir, schemata); err != nil {
			return nil, err
		}
	} else if len(schemata) > 0 {
		if err := linux.WriteControl(dir+"/schemata", strings.Join(schemata, "\n")+"\n"); err != nil {
			return nil, fmt.Errorf("set schemata %q of the resctrl group %s: see info/last_cmd_status there: %w", schemata, dir, err)
		}
	}
	g := &Group{dirs: []string{dir}}
	if l.EnableMonitoring {
		mon := monitor(dir, id)
		if err := r.mkdir(mon, 0o755); err != nil {
			return nil, fmt.Errorf("make the resctrl monitoring group: %w", err)
		}
		g.dirs = append(g.dirs, mon)
	}
	return g, nil
}

// mkdirFor makes the group's directory. The default group is there; one that is
// named without schemata must be.
func (r resctrl) mkdirFor(l *specs.LinuxIntelRdt, dir string, hasSchemata bool) error {
	if dir == r.root {
		return nil
	}
	if l.ClosID == "" || hasSchemata {
		return r.mkdir(dir, 0o755)
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("closID %s without a schema names a group that must be there: %w", l.ClosID, err)
	}
	return fs.ErrExist
}

func (r resctrl) dir(l *specs.LinuxIntelRdt, id string) string {
	switch l.ClosID {
	case "":
		return filepath.Join(r.root, id)
	case "/":
		return r.root
	}
	return filepath.Join(r.root, l.ClosID)
}

func monitor(dir, id string) string { return filepath.Join(dir, "mon_groups", id) }

// delete removes the groups that are the container's own.
func (r resctrl) delete(l *specs.LinuxIntelRdt, id string) error {
	dir := r.dir(l, id)
	var own []string
	if l.EnableMonitoring {
		own = append(own, monitor(dir, id))
	}
	if l.ClosID == "" {
		own = append(own, dir)
	}
	for _, d := range own {
		if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the resctrl group: %w", err)
		}
	}
	return nil
}

// check refuses what is not in the spec's form.
func check(l *specs.LinuxIntelRdt) error {
	if c := l.ClosID; c == "." || c == ".." || c != "/" && strings.ContainsAny(c, "/\n") {
		return fmt.Errorf("linux.intelRdt.closID %q is no name of a directory: %w", c, errdefs.ErrInvalidArgument)
	}
	for _, s := range append([]string{l.L3CacheSchema, l.MemBwSchema}, l.Schemata...) {
		if strings.Contains(s, "\n") {
			return fmt.Errorf("linux.intelRdt has schema %q of more than one line: %w", s, errdefs.ErrInvalidArgument)
		}
	}
	if s := l.MemBwSchema; s != "" && !strings.HasPrefix(s, "MB:") {
		return fmt.Errorf("linux.intelRdt.memBwSchema %q does not start with MB: (%w)", s, errdefs.ErrInvalidArgument)
	}
	return nil
}

// compare sees whether a group that exists has the shares that the spec says.
func compare(dir string, schemata []string) error {
	if len(schemata) == 0 {
		return nil
	}
	text, err := linux.ReadControl(dir + "/schemata")
	if err != nil {
		return fmt.Errorf("read the schemata of resctrl group %s: %w", dir, err)
	}
	have := shares(strings.Split(text, "\n"))
	for share, want := range shares(schemata) {
		if got, ok := have[share]; !ok || got != want {
			return fmt.Errorf("resctrl group %s exists with %s=%s, the spec says %s: %w", dir, share, got, want, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}

// shares takes lines such as "L3:0=7f;1=7f" apart: "L3:0" is "7f". Zeros in
// front mean nothing.
func shares(lines []string) map[string]string {
	found := map[string]string{}
	for _, line := range lines {
		resource, list, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		for part := range strings.SplitSeq(list, ";") {
			if id, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
				value = strings.TrimLeft(strings.ToLower(strings.TrimSpace(value)), "0")
				if value == "" {
					value = "0"
				}
				found[resource+":"+strings.TrimSpace(id)] = value
			}
		}
	}
	return found
}
