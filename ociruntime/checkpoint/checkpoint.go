// Package checkpoint writes processes to disk and back, with CRIU.
//
// Level: R.
// Owns: how CRIU is called, and descriptors.json and cgroup among its images.
// May import: internal/linux, internal/jsonscan, internal/fault, errdefs, ociruntime/plan/mountoption, runtime-spec.
// Must not know: state directories, cgroups.
//
// CRIU is a program that must be installed; it does what needs a look into other
// processes, or all their memory. A log of each call is among the images.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"berth/internal/fault"
	"berth/internal/jsonscan"
	"berth/ociruntime/plan/mountoption"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Args say how to write, or to read. What is for one direction only has no
// effect in the other.
type Args struct {
	ImagePath, WorkPath, ParentPath                   string
	LeaveRunning, TCPEstablished, ExtUnixSk, ShellJob bool
	TCPSkipInFlight, FileLocks, PreDump, LazyPages    bool
	AutoDedup, LinkRemap                              bool
	StatusFD                                          int    // -1: none
	PageServer                                        string // ADDRESS:PORT
	ManageCgroups                                     string // soft, full, strict, ignore
	EmptyNS                                           []string
	LSMProfile, LSMMountContext                       string
	// Criu is the program; empty is criu in $PATH.
	Criu string
}

// Beside CRIU's images lie descriptors, the names of the files that the first
// process had as 0, 1 and 2, and place, the cgroup that CRIU puts it into again.
const (
	descriptors = "descriptors.json"
	place       = "cgroup"
)

// Check says why a container can not be written or restored.
func Check(s *specs.Spec) error {
	if s.Process.Terminal {
		return fault.Errorf(errdefs.ErrNotImplemented, "a container with a terminal cannot be checkpointed: its terminal belongs to another process")
	}
	if s.Linux.IntelRdt != nil || len(s.Linux.NetDevices) > 0 {
		return fault.Errorf(errdefs.ErrNotImplemented, "a container with intelRdt or netDevices cannot be checkpointed: CRIU would not give them back")
	}
	for _, n := range s.Linux.Namespaces {
		if n.Path != "" {
			return fault.Errorf(errdefs.ErrNotImplemented, "a container that shares a %s namespace (%s) cannot be checkpointed: CRIU would write that of the others too", n.Type, n.Path)
		}
	}
	if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace }) {
		return fault.Errorf(errdefs.ErrNotImplemented, "a container without a mount namespace cannot be checkpointed: CRIU would write the host's mounts")
	}
	return nil
}

// CheckPlace refuses images of processes of another cgroup: CRIU would put them
// there again, and the limits of the new one would hold nobody.
func CheckPlace(cgroup string, a Args) error {
	was, err := os.ReadFile(filepath.Join(a.ImagePath, place))
	if err != nil {
		return fmt.Errorf("%s holds no checkpoint: %w", a.ImagePath, err)
	}
	if string(was) != cgroup {
		return fault.Errorf(errdefs.ErrFailedPrecondition, "the checkpoint is of cgroup %s, not %s: give the container the same id, or linux.cgroupsPath", was, cgroup)
	}
	return nil
}

// Dump writes the process tree of pid, whose cgroup has that path.
func Dump(ctx context.Context, pid int, cgroup string, s *specs.Spec, a Args) error {
	verb := "dump"
	if a.PreDump {
		verb = "pre-dump"
	}
	args := []string{verb, "--tree", strconv.Itoa(pid)}
	args = append(args, a.shared()...)
	for _, f := range []struct {
		on   bool
		flag string
	}{
		{a.LeaveRunning && !a.PreDump, "--leave-running"},
		{a.TCPSkipInFlight, "--skip-in-flight"},
		{a.LinkRemap, "--link-remap"},
		{a.PreDump || a.ParentPath != "", "--track-mem"},
	} {
		if f.on {
			args = append(args, f.flag)
		}
	}
	if a.ParentPath != "" {
		args = append(args, "--prev-images-dir", a.ParentPath)
	}
	if a.StatusFD >= 0 {
		args = append(args, "--status-fd", strconv.Itoa(a.StatusFD))
	}
	if i := strings.LastIndexByte(a.PageServer, ':'); i > 0 {
		args = append(args, "--page-server", "--address", a.PageServer[:i], "--port", a.PageServer[i+1:])
	}
	for _, m := range binds(s) {
		args = append(args, "--external", "mnt["+m.Destination+"]:"+m.Destination)
	}
	if err := writeDescriptors(a.ImagePath, pid); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(a.ImagePath, place), []byte(cgroup), 0o600); err != nil {
		return err
	}
	return a.run(ctx, verb, args, func(cmd *exec.Cmd) error { return cmd.Start() })
}

// Restore starts the processes again, the first as a child of this process.
// root is a mount point for their root; start starts the program where it is
// seen. It returns the first one's pid.
func Restore(ctx context.Context, root string, s *specs.Spec, a Args, start func(*exec.Cmd) error) (pid int, err error) {
	work := a.ImagePath
	if a.WorkPath != "" {
		work = a.WorkPath
	}
	pidFile := filepath.Join(work, fmt.Sprintf("restore-%d.pid", os.Getpid()))
	defer func() { err = errors.Join(err, removeIfThere(pidFile)) }()
	args := append([]string{"restore", "--root", root, "--pidfile", pidFile, "--restore-detached", "--restore-sibling"}, a.shared()...)
	for _, m := range binds(s) {
		args = append(args, "--external", "mnt["+m.Destination+"]:"+m.Source)
	}
	if a.LSMProfile != "" {
		args = append(args, "--lsm-profile", a.LSMProfile)
	}
	if a.LSMMountContext != "" {
		args = append(args, "--lsm-mount-context", a.LSMMountContext)
	}
	names, err := readDescriptors(a.ImagePath)
	if err != nil {
		return 0, err
	}
	for fd, name := range names {
		// Two of one name are one pipe; CRIU takes it once.
		if inode, ok := strings.CutPrefix(name, "pipe:"); ok && slices.Index(names, name) == fd {
			args = append(args, "--inherit-fd", fmt.Sprintf("fd[%d]:pipe%s", fd, inode))
		}
	}
	err = a.run(ctx, "restore", args, func(cmd *exec.Cmd) error {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return start(cmd)
	})
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, fmt.Errorf("read what criu restored: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// shared are the options of both directions.
func (a Args) shared() []string {
	mode := a.ManageCgroups
	if mode == "" {
		mode = "soft"
	}
	// What lies in a new network namespace is the engine's to make again.
	args := []string{"--images-dir", a.ImagePath, "--manage-cgroups=" + mode, "--empty-ns", "net", "-v2"}
	if a.WorkPath != "" {
		args = append(args, "--work-dir", a.WorkPath)
	}
	for _, f := range []struct {
		on   bool
		flag string
	}{
		{a.TCPEstablished, "--tcp-established"},
		{a.ExtUnixSk, "--ext-unix-sk"},
		{a.ShellJob, "--shell-job"},
		{a.FileLocks, "--file-locks"},
		{a.AutoDedup, "--auto-dedup"},
		{a.LazyPages, "--lazy-pages"},
	} {
		if f.on {
			args = append(args, f.flag)
		}
	}
	return args
}

// binds are the mounts that CRIU leaves to the caller.
func binds(s *specs.Spec) (list []specs.Mount) {
	for _, m := range s.Mounts {
		if m.Type == "bind" || mountoption.Parse(m.Options).Bind {
			list = append(list, m)
		}
	}
	return list
}

// run runs CRIU and words its failure with the last line of its log that tells of one.
func (a Args) run(ctx context.Context, verb string, args []string, start func(*exec.Cmd) error) error {
	program := a.Criu
	if program == "" {
		program = "criu"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return fault.Errorf(errdefs.ErrFailedPrecondition, "%s needs CRIU, and there is no %s: install the package criu", verb, program)
	}
	dir := a.ImagePath
	if a.WorkPath != "" {
		dir = a.WorkPath
	}
	log := filepath.Join(dir, verb+".log")
	cmd := exec.CommandContext(ctx, path, append(args, "--log-file", verb+".log")...)
	if err := start(cmd); err != nil {
		return fmt.Errorf("start criu: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("criu %s: %w: %s; more is in %s", verb, err, lastError(log), log)
	}
	return nil
}

func lastError(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return "it wrote no log"
	}
	found := "no reason is in its log"
	for line := range strings.Lines(string(text)) {
		// The last line says only that it failed.
		if _, reason, ok := strings.Cut(line, "Error ("); ok && !strings.Contains(reason, "FAILED") {
			found = strings.TrimSpace(reason)
		}
	}
	return strings.TrimSuffix(found, ")")
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// writeDescriptors notes what the process has as standard files.
func writeDescriptors(dir string, pid int) error {
	var w jsonscan.Writer
	w.Begin('[')
	for fd := range 3 {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if err != nil {
			name = "" // closed
		}
		w.Text(name)
	}
	w.End(']')
	return os.WriteFile(filepath.Join(dir, descriptors), w.Bytes(), 0o600)
}

func readDescriptors(dir string) (names []string, err error) {
	data, err := os.ReadFile(filepath.Join(dir, descriptors))
	if err != nil {
		return nil, fmt.Errorf("%s holds no checkpoint: %w", dir, err)
	}
	r := jsonscan.New(data)
	jsonscan.Strings(r, &names)
	if err := r.End(); err != nil || len(names) > 3 {
		return nil, fmt.Errorf("read %s/%s: %d names: %w", dir, descriptors, len(names), errors.Join(err, errdefs.ErrInvalidArgument))
	}
	return names, nil
}
