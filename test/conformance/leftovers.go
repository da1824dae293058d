package conformance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// scene is what there is before a program runs.
type scene struct {
	mounts  map[string]bool // by id
	cgroups map[string]bool // by path
}

func survey() (*scene, error) {
	s := &scene{mounts: map[string]bool{}, cgroups: map[string]bool{}}
	mounts, err := mountTable()
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		s.mounts[m.id] = true
	}
	dirs, err := cgroupDirs()
	for _, dir := range dirs {
		s.cgroups[dir] = true
	}
	return s, err
}

// tidy removes what is left of the containers of a program, and names it. What
// others do on the machine meanwhile is left alone.
func (s *scene) tidy(r *stageRequest) (left []string, err error) {
	ids, err := noted(r.Dir)
	if err != nil {
		return nil, err
	}
	if _, _, err := reap(0); err != nil {
		return nil, err
	}
	processes, err := children()
	if err != nil {
		return nil, err
	}
	left = append(left, processes.names...)
	for _, id := range ids {
		state := exec.Command(r.Runtime.Path, "--root", filepath.Join(r.Dir, "state"), "state", id)
		if state.Run() != nil {
			continue
		}
		left = append(left, "container "+id)
		remove := exec.Command(r.Runtime.Path, "--root", filepath.Join(r.Dir, "state"), "delete", "--force", id)
		if out, err := remove.CombinedOutput(); err != nil {
			left = append(left, fmt.Sprintf("container %s, which cannot be deleted: %s", id, lastLine(string(out))))
		}
	}
	if err := endChildren(); err != nil {
		return left, err
	}
	if alone(filepath.Base(r.Program)) {
		ids = append(ids, suiteCgroups()...)
	}
	cgroups, err := s.tidyCgroups(ids)
	left = append(left, cgroups...)
	if err != nil {
		return left, err
	}
	mounts, err := s.tidyMounts()
	return append(left, mounts...), err
}

// noted reads the ids that runtimeStage has noted.
func noted(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "ids"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ids := strings.Fields(string(text))
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

type processes struct {
	pids  []int
	names []string
}

// children lists this process's children, which orphans of the program have
// become.
func children() (processes, error) {
	var found processes
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return found, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// "pid (name) state parent ...", and the name may have parentheses.
		open, end := strings.Index(string(text), "("), strings.LastIndex(string(text), ")")
		if open < 0 || end < open {
			continue
		}
		fields := strings.Fields(string(text[end+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) || fields[0] == "Z" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return found, err
		}
		found.pids = append(found.pids, pid)
		found.names = append(found.names, "process "+string(text[open+1:end]))
	}
	return found, nil
}

// endChildren kills all children, and theirs as they become its own.
func endChildren() error {
	for {
		alive, err := children()
		if err != nil {
			return err
		}
		for _, pid := range alive.pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return os.NewSyscallError("kill", err)
			}
		}
		if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
			return nil
		} else if err != nil && !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("wait4", err)
		}
	}
}

func cgroupDirs() ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(cgroupRoot, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil // somebody else has removed it
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	return dirs, err
}

// tidyCgroups removes new cgroups whose names contain one of names.
func (s *scene) tidyCgroups(names []string) (left []string, err error) {
	dirs, err := cgroupDirs()
	if err != nil {
		return nil, err
	}
	slices.Reverse(dirs) // children first
	for _, dir := range dirs {
		ours := slices.ContainsFunc(names, func(name string) bool { return strings.Contains(dir, name) })
		if s.cgroups[dir] || !ours {
			continue
		}
		left = append(left, "cgroup "+strings.TrimPrefix(dir, cgroupRoot))
		if err := os.Remove(dir); err != nil {
			return left, err
		}
	}
	return left, nil
}

// tidyMounts unmounts what is new, last first.
func (s *scene) tidyMounts() (left []string, err error) {
	mounts, err := mountTable()
	if err != nil {
		return nil, err
	}
	slices.Reverse(mounts)
	for _, m := range mounts {
		if s.mounts[m.id] {
			continue
		}
		left = append(left, "mount "+m.point)
		if err := syscall.Unmount(m.point, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			return left, &os.PathError{Op: "unmount", Path: m.point, Err: err}
		}
	}
	return left, nil
}
