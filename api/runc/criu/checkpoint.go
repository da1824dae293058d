package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/api/runc/command"
	"berth/ociruntime/standalone"
)

// Checkpoint writes a container's processes to disk.
func Checkpoint() command.Command {
	return command.Command{
		Name: "checkpoint", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary: "Write a running container's processes to disk, with CRIU",
		Help: `CRIU must be installed. The container is removed when it is written, unless
--leave-running or --pre-dump is given.`,
		Examples: []string{
			"berth-oci checkpoint --image-path /var/tmp/web web",
			"berth-oci checkpoint --image-path /var/tmp/web --leave-running --tcp-established web",
		},
		Setup: func(f *command.Flags) command.Func {
			a := standalone.CheckpointArgs{StatusFD: -1}
			shared(f, &a)
			f.String(&a.ParentPath, "parent-path", "DIR", "images of an earlier --pre-dump, relative to --image-path")
			f.Bool(&a.LeaveRunning, "leave-running", "let the container run on")
			f.Bool(&a.TCPSkipInFlight, "tcp-skip-in-flight", "leave out connections that are being made")
			f.Bool(&a.LinkRemap, "link-remap", "give files without a name one, to find them again")
			f.Int(&a.StatusFD, "status-fd", "FD", "CRIU writes a zero byte to FD when lazy pages are ready")
			f.String(&a.PageServer, "page-server", "ADDRESS:PORT", "send the memory to a page server")
			f.Bool(&a.PreDump, "pre-dump", "write memory only and let the container run on")
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				if err := check(&a); err != nil {
					return 0, err
				}
				if err := os.MkdirAll(a.ImagePath, 0o700); err != nil {
					return 0, fmt.Errorf("make the directory of the images: %w", err)
				}
				if err := checkParent(a); err != nil {
					return 0, err
				}
				a.Criu = c.Global.Criu
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				return 0, rt.Checkpoint(ctx, args[0], a)
			}
		},
	}
}

// shared are the flags of both commands.
func shared(f *command.Flags, a *standalone.CheckpointArgs) {
	f.String(&a.ImagePath, "image-path", "DIR", "where the images are; ./checkpoint if it is left out")
	f.String(&a.WorkPath, "work-path", "DIR", "where CRIU puts its log and work files")
	f.Bool(&a.TCPEstablished, "tcp-established", "keep open TCP connections")
	f.Bool(&a.ExtUnixSk, "ext-unix-sk", "allow unix sockets to processes outside")
	f.Bool(&a.ShellJob, "shell-job", "allow the container to hold a terminal of the caller")
	f.Bool(&a.LazyPages, "lazy-pages", "move memory when it is used (userfaultfd)")
	f.Bool(&a.FileLocks, "file-locks", "keep file locks")
	f.String(&a.ManageCgroups, "manage-cgroups-mode", "MODE", "soft, full, strict or ignore; soft if it is left out")
	f.Strings(&a.EmptyNS, "empty-ns", "KIND", "make this kind of namespace, but restore nothing in it: network")
	f.Bool(&a.AutoDedup, "auto-dedup", "free the images' pages that are there twice")
}

// check checks the flags and makes paths absolute.
func check(a *standalone.CheckpointArgs) (err error) {
	if a.ImagePath == "" {
		a.ImagePath = "checkpoint"
	}
	for _, p := range []*string{&a.ImagePath, &a.WorkPath} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	switch a.ManageCgroups {
	case "", "soft", "full", "strict", "ignore":
	default:
		return fmt.Errorf("--manage-cgroups-mode %q is unknown: give soft, full, strict or ignore", a.ManageCgroups)
	}
	for _, kind := range a.EmptyNS {
		if kind != "network" {
			return fmt.Errorf("--empty-ns %q cannot be empty: only network can", kind)
		}
	}
	if a.PageServer == "" {
		return nil
	}
	colon := strings.LastIndexByte(a.PageServer, ':') // package net would cost time at each start
	if colon >= 0 {
		_, err = strconv.ParseUint(a.PageServer[colon+1:], 10, 16)
	}
	if err != nil || colon < 1 {
		return fmt.Errorf("--page-server %q is not ADDRESS:PORT", a.PageServer)
	}
	return nil
}

func checkParent(a standalone.CheckpointArgs) error {
	if a.ParentPath == "" {
		return nil
	}
	if filepath.IsAbs(a.ParentPath) {
		return errors.New("--parent-path must be relative to --image-path")
	}
	info, err := os.Stat(filepath.Join(a.ImagePath, a.ParentPath))
	if err != nil {
		return fmt.Errorf("--parent-path: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--parent-path %s is no directory", a.ParentPath)
	}
	return nil
}
