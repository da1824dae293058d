package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// names reads id to name from /etc/passwd or /etc/group.
func names(file string) map[int]string {
	m := map[int]string{}
	f, err := os.Open(file)
	if err != nil {
		return m // numbers are shown then
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Split(s.Text(), ":")
		if len(fields) < 3 {
			continue
		}
		n, err := strconv.Atoi(fields[2])
		if _, known := m[n]; err == nil && !known {
			m[n] = fields[0]
		}
	}
	return m
}

// named returns "0(root)", or "0" if the id has no name.
func named(n int, m map[int]string) string {
	if name, ok := m[n]; ok {
		return fmt.Sprintf("%d(%s)", n, name)
	}
	return strconv.Itoa(n)
}

func nameOf(n int, m map[int]string) string {
	if name, ok := m[n]; ok {
		return name
	}
	return strconv.Itoa(n)
}

func id(e *env) error {
	users, groups := names("/etc/passwd"), names("/etc/group")
	uid, gid := os.Geteuid(), os.Getegid()
	supplementary, err := os.Getgroups()
	if err != nil {
		return err
	}
	// Like coreutils: the effective group first, then the others.
	all := []int{gid}
	for _, g := range supplementary {
		if g != gid {
			all = append(all, g)
		}
	}
	flags := ""
	for _, a := range e.args {
		if !strings.HasPrefix(a, "-") {
			return usageError("takes no user: only -u, -g, -G, -n")
		}
		flags += a[1:]
	}
	show := func(n int, m map[int]string) string {
		if strings.Contains(flags, "n") {
			return nameOf(n, m)
		}
		return strconv.Itoa(n)
	}
	switch {
	case strings.Contains(flags, "u"):
		fmt.Fprintln(e.out, show(uid, users))
	case strings.Contains(flags, "g"):
		fmt.Fprintln(e.out, show(gid, groups))
	case strings.Contains(flags, "G"):
		list := make([]string, len(all))
		for i, g := range all {
			list[i] = show(g, groups)
		}
		fmt.Fprintln(e.out, strings.Join(list, " "))
	default:
		list := make([]string, len(all))
		for i, g := range all {
			list[i] = named(g, groups)
		}
		fmt.Fprintf(e.out, "uid=%s gid=%s groups=%s\n", named(uid, users), named(gid, groups), strings.Join(list, ","))
	}
	return nil
}

func whoami(e *env) error {
	fmt.Fprintln(e.out, nameOf(os.Geteuid(), names("/etc/passwd")))
	return nil
}

func hostname(e *env) error {
	if len(e.args) > 0 {
		return os.NewSyscallError("sethostname", syscall.Sethostname([]byte(e.args[0])))
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, name)
	return nil
}

func nproc(e *env) error {
	fmt.Fprintln(e.out, runtime.NumCPU())
	return nil
}

// environ prints the environment, or runs a command with a changed one.
func environ(e *env) error {
	vars, args := os.Environ(), e.args
	if len(args) > 0 && (args[0] == "-i" || args[0] == "-") {
		vars, args = nil, args[1:]
	}
	for len(args) > 0 && strings.Contains(args[0], "=") {
		name, _, _ := strings.Cut(args[0], "=")
		vars = append(without(vars, name), args[0])
		args = args[1:]
	}
	if len(args) == 0 {
		for _, v := range vars {
			fmt.Fprintln(e.out, v)
		}
		return nil
	}
	file, err := exec.LookPath(args[0])
	if err != nil {
		fmt.Fprintf(os.Stderr, "env: %v\n", err)
		return exitCode(127)
	}
	return os.NewSyscallError("execve "+file, syscall.Exec(file, args, vars))
}

func without(vars []string, name string) []string {
	var kept []string
	for _, v := range vars {
		if !strings.HasPrefix(v, name+"=") {
			kept = append(kept, v)
		}
	}
	return kept
}
