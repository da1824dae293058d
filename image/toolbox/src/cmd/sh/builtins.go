package main

import (
	"context"
	"fmt"
	"strconv"
	"syscall"

	"mvdan.cc/sh/v3/interp"
)

// missing does the builtins that the interpreter knows by name only. It is asked
// before every simple command and may change it.
func missing(ctx context.Context, args []string) ([]string, error) {
	h := interp.HandlerCtx(ctx)
	switch args[0] {
	case "kill":
		// The program of that name; there are no jobs to know about.
		path, err := interp.LookPathDir(h.Dir, h.Env, args[0])
		if err != nil {
			fmt.Fprintln(h.Stderr, "sh: kill: not found")
			return []string{"false"}, nil
		}
		return append([]string{path}, args[1:]...), nil
	case "umask":
		if len(args) == 1 {
			mask := syscall.Umask(0)
			syscall.Umask(mask)
			fmt.Fprintf(h.Stdout, "%04o\n", mask)
			return []string{"true"}, nil
		}
		mask, err := strconv.ParseUint(args[1], 8, 9)
		if err != nil {
			fmt.Fprintf(h.Stderr, "sh: umask: %q is no octal number up to 777\n", args[1])
			return []string{"false"}, nil
		}
		syscall.Umask(int(mask))
		return []string{"true"}, nil
	}
	return args, nil
}
