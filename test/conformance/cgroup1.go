package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const cgroupRoot = "/sys/fs/cgroup"

// completeCgroup1 mounts the cgroup v1 controllers that the suite asks for and
// this host, if it uses v1 at all, lacks: hugetlb, without which crun does not
// work on a hybrid host, net_cls and net_prio. It happens in this process's mount
// namespace; dir becomes the place where the tree is put together.
func completeCgroup1(dir string) error {
	mounts, err := mountTable()
	if err != nil {
		return err
	}
	var trees []mount
	for _, m := range mounts {
		if m.point == cgroupRoot && m.kind != "tmpfs" {
			return nil // cgroup v2 alone
		}
		if strings.HasPrefix(m.point, cgroupRoot+"/") {
			trees = append(trees, m)
		}
	}
	// The host's own directory must stay as it is, so there is one of its own.
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("cgroup", dir, "tmpfs", 0, "mode=755"); err != nil {
		return &os.PathError{Op: "mount tmpfs", Path: dir, Err: err}
	}
	for _, m := range trees {
		if err := move(m.point, filepath.Join(dir, filepath.Base(m.point))); err != nil {
			return err
		}
	}
	if err := copySymlinks(cgroupRoot, dir); err != nil {
		return err
	}
	if err := mountMissing(dir, trees); err != nil {
		return err
	}
	if err := syscall.Unmount(cgroupRoot, syscall.MNT_DETACH); err != nil {
		return &os.PathError{Op: "unmount", Path: cgroupRoot, Err: err}
	}
	return move(dir, cgroupRoot)
}

func move(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(from, to, "", syscall.MS_MOVE, ""); err != nil {
		return &os.LinkError{Op: "move mount", Old: from, New: to, Err: err}
	}
	return nil
}

// copySymlinks copies links such as cpu -> cpu,cpuacct, but for those to a
// directory where nothing is mounted.
func copySymlinks(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(to, target)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.Symlink(target, filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func mountMissing(dir string, trees []mount) error {
	for _, controller := range []string{"hugetlb", "net_cls", "net_prio"} {
		if slices.ContainsFunc(trees, func(m mount) bool { return m.has(controller) }) {
			continue
		}
		path := filepath.Join(dir, controller)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		err := syscall.Mount("cgroup", path, "cgroup", 0, controller)
		if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EINVAL) {
			// In use by cgroup v2, or not in this kernel: the programs will say so.
			if err = os.Remove(path); err == nil && controller == "hugetlb" {
				err = hideCgroup2(dir, trees)
			}
		}
		if err != nil {
			return &os.PathError{Op: "mount cgroup", Path: path, Err: err}
		}
	}
	return nil
}

// hideCgroup2 removes the v2 tree of a hybrid host from view: Debian 12's crun
// works beside one only if no controller is left in it.
func hideCgroup2(dir string, trees []mount) error {
	for _, m := range trees {
		if m.kind == "cgroup2" {
			path := filepath.Join(dir, filepath.Base(m.point))
			if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
				return &os.PathError{Op: "unmount", Path: path, Err: err}
			}
			return os.Remove(path)
		}
	}
	return nil
}

// mount is a line of a mount table.
type mount struct {
	id, point, kind, super string
}

func (m mount) has(option string) bool {
	return m.kind == "cgroup" && slices.Contains(strings.Split(m.super, ","), option)
}

// mountTable reads this process's mounts: see proc_pid_mountinfo(5).
func mountTable() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var mounts []mount
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		place, what, ok := strings.Cut(lines.Text(), " - ")
		before, after := strings.Fields(place), strings.Fields(what)
		if !ok || len(before) < 6 || len(after) < 3 {
			return nil, fmt.Errorf("read a mount of %s: cannot read %q", f.Name(), lines.Text())
		}
		mounts = append(mounts, mount{id: before[0], point: before[4], kind: after[0], super: after[2]})
	}
	return mounts, lines.Err()
}
