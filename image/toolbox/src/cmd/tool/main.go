// Command tool is the toolbox image's quick commands in one small program: what
// people type first in a container, with the output they know. It is chosen by
// the name it is called with. It imports little, so that it starts in under a
// millisecond.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// env is what a command works with.
type env struct {
	args []string // without the command's name
	in   io.Reader
	out  *bufio.Writer
}

// usageError is a wrong command line: exit status 2.
type usageError string

func (e usageError) Error() string { return string(e) }

// exitCode ends a command with a status and no message.
type exitCode int

func (e exitCode) Error() string { return "exit status " + strconv.Itoa(int(e)) }

func command(name string) func(*env) error {
	switch name {
	case "true":
		return func(*env) error { return nil }
	case "false":
		return func(*env) error { return exitCode(1) }
	case "cat":
		return cat
	case "clear":
		return func(e *env) error { _, err := e.out.WriteString("\x1b[H\x1b[2J"); return err }
	case "echo":
		return echo
	case "env":
		return environ
	case "head", "tail":
		return func(e *env) error { return lines(name, e) }
	case "hostname":
		return hostname
	case "id":
		return id
	case "ip":
		return ip
	case "ls":
		return ls
	case "mount":
		return mount
	case "nproc":
		return nproc
	case "ps":
		return ps
	case "sleep":
		return sleep
	case "stty":
		return stty
	case "whoami":
		return whoami
	}
	return nil
}

func main() {
	args := os.Args
	name := filepath.Base(args[0])
	run := command(name)
	if run == nil && len(args) > 1 {
		args = args[1:]
		name = args[0]
		run = command(name)
	}
	if run == nil {
		fmt.Fprintf(os.Stderr, "%s: no such command\n", name)
		os.Exit(127)
	}
	e := &env{args: args[1:], in: os.Stdin, out: bufio.NewWriter(os.Stdout)}
	err := run(e)
	if flush := e.out.Flush(); err == nil {
		err = flush
	}
	os.Exit(status(name, err))
}

// status prints err, if it has words, and returns the exit status for it.
func status(name string, err error) int {
	var code exitCode
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, usage)
		return 2
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return 1
}

func cat(e *env) error {
	if len(e.args) == 0 {
		e.args = []string{"-"}
	}
	var failed error
	for _, name := range e.args {
		if err := catFile(e, name); err != nil {
			fmt.Fprintf(os.Stderr, "cat: %v\n", err)
			failed = exitCode(1)
		}
	}
	return failed
}

func catFile(e *env, name string) error {
	if err := e.out.Flush(); err != nil {
		return err
	}
	if name == "-" {
		_, err := io.Copy(os.Stdout, e.in)
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}

func echo(e *env) error {
	end := "\n"
	if len(e.args) > 0 && e.args[0] == "-n" {
		e.args, end = e.args[1:], ""
	}
	_, err := e.out.WriteString(strings.Join(e.args, " ") + end)
	return err
}

// sleep takes seconds, with fractions, or durations such as 5m; infinity too.
func sleep(e *env) error {
	if len(e.args) == 0 {
		return usageError("give a time: sleep 1.5")
	}
	var total time.Duration
	for _, a := range e.args {
		if a == "inf" || a == "infinity" {
			total = math.MaxInt64
			break
		}
		d, err := time.ParseDuration(a)
		if err != nil {
			d, err = time.ParseDuration(a + "s")
		}
		if err != nil || d < 0 {
			return usageError("bad time " + strconv.Quote(a))
		}
		total += d
	}
	// As PID 1 of a container sleep gets only the signals that it asks for.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	select {
	case s := <-ended:
		return exitCode(128 + int(s.(syscall.Signal)))
	case <-time.After(total):
		return nil
	}
}

// uroot holds the rest of some commands.
const uroot = "/lib/toolbox-uroot"

// lines gives head -5 and tail -5 their long form, which u-root's know.
func lines(name string, e *env) error {
	args := []string{name}
	for _, a := range e.args {
		if _, err := strconv.ParseUint(strings.TrimPrefix(a, "-"), 10, 32); err == nil && a[0] == '-' {
			args = append(args, "-n", a[1:])
			continue
		}
		args = append(args, a)
	}
	return os.NewSyscallError("execve "+uroot, syscall.Exec(uroot, args, os.Environ()))
}
