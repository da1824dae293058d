package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// children are the processes that the shell waits for itself. As PID 1 it gets
// everyone's orphans too and must reap those, but never one of its own: their
// status belongs to exec.Cmd.
type children struct {
	mu  sync.Mutex
	own map[int]bool // guarded by mu; held while a child starts
}

func newChildren() *children { return &children{own: map[int]bool{}} }

// handler runs a command found in PATH. What it does not know (a script without
// #!) is left to next.
func (c *children) handler(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		h := interp.HandlerCtx(ctx)
		path, err := interp.LookPathDir(h.Dir, h.Env, args[0])
		if err != nil {
			fmt.Fprintf(h.Stderr, "sh: %s: not found\n", args[0])
			return interp.ExitStatus(127)
		}
		cmd := exec.CommandContext(ctx, path)
		cmd.Args, cmd.Dir, cmd.Env = args, h.Dir, exported(h.Env)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = h.Stdin, h.Stdout, h.Stderr
		// The terminal has sent the interrupt to the whole group: nothing to add.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
		err = c.start(cmd)
		if errors.Is(err, syscall.ENOEXEC) {
			return next(ctx, args)
		}
		if ctx.Err() != nil && err != nil { // interrupted just before
			return interp.ExitStatus(128 + int(syscall.SIGINT))
		}
		if err != nil {
			fmt.Fprintf(h.Stderr, "sh: %v\n", err)
			return interp.ExitStatus(126)
		}
		err = cmd.Wait()
		c.forget(cmd.Process.Pid)
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
			return interp.ExitStatus(128 + int(ws.Signal()))
		}
		return interp.ExitStatus(exit.ExitCode())
	}
}

func (c *children) start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.own[cmd.Process.Pid] = true
	return nil
}

func (c *children) forget(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.own, pid)
}

// reapOrphans reaps processes that lost their parent, for as long as the shell
// lives.
func (c *children) reapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		for c.reapOne() {
		}
	}
}

// reapOne is false if no orphan has ended, or an own child is first in line:
// its end brings the next SIGCHLD's turn.
func (c *children) reapOne() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// siginfo_t, waitid(2): the pid is the fourth int on 64-bit machines.
	var info struct {
		_   [3]int32
		_   int32
		pid int32
		_   [108]byte
	}
	const pAll, wExited, wNoHang, wNoWait = 0, 4, 1, 0x01000000
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pAll, 0, uintptr(unsafe.Pointer(&info)),
		wExited|wNoHang|wNoWait, 0, 0)
	pid := int(info.pid)
	if errno != 0 || pid == 0 || c.own[pid] {
		return false
	}
	_, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return err == nil
}

// exported lists the variables that a command gets.
func exported(e expand.Environ) []string {
	var vars []string
	for name, v := range e.Each {
		if v.Exported && v.Kind == expand.String {
			vars = append(vars, name+"="+v.Str)
		}
	}
	return vars
}
