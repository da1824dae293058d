package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// setting is one value for one control file.
type setting struct {
	// flag is the flag under which users know the limit ("--memory"), or, if it
	// has none, the spec's field.
	flag       string
	controller string
	file       string
	value      string
	// optional settings may be missing on the host: they say nothing that is
	// not already so (no swap limit where swap is not counted).
	optional bool
	// or is tried instead if the file does not exist.
	or *setting
}

// LimitError is a limit that was asked for and that this host cannot apply. It
// unwraps to its class (errdefs) and to the kernel's error if there was one.
type LimitError struct {
	// Flag is what the user calls the limit: "--memory", or the runtime spec's
	// field where there is no flag.
	Flag string
	// Value is what was to be written, "" if it did not come to that.
	Value string
	// Reason and Remedy are half sentences for the user.
	Reason, Remedy string
	// Class is one of errdefs' errors; Err the kernel's, or nil.
	Class, Err error
}

// Error returns one line: the limit, the cause, the remedy.
func (e *LimitError) Error() string {
	s := "apply " + e.Flag
	if e.Value != "" {
		s += " (" + e.Value + ")"
	}
	s += ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

// Unwrap returns the class and the kernel's error.
func (e *LimitError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Class}
	}
	return []error{e.Class, e.Err}
}

func invalid(flag, value, reason string) error {
	return &LimitError{Flag: flag, Value: value, Reason: reason, Class: errdefs.ErrInvalidArgument}
}

func unsupported(flag, reason, remedy string) error {
	return &LimitError{Flag: flag, Reason: reason, Remedy: remedy, Class: errdefs.ErrFailedPrecondition}
}

// needsV1 is the error for what version 2 has no counterpart of.
func needsV1(flag string) error {
	return unsupported(flag, "cgroup v2 has no such limit", "leave it out on this host")
}

// noController is the error for a controller in no hierarchy of the host.
func noController(flag, controller string) error {
	remedy := "load or enable it in the kernel, or leave the limit out"
	if controller == "memory" {
		remedy = "boot with cgroup_enable=memory, or leave the limit out"
	}
	return unsupported(flag, "this host has no "+controller+" cgroup controller", remedy)
}

// writeError turns a failed write of s into what the user reads.
func (s setting) writeError(err error) error {
	e := &LimitError{Flag: s.flag, Value: s.value, Err: errnoOf(err)}
	file := filepath.Base(s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Class, e.Err = errdefs.ErrFailedPrecondition, nil
		e.Reason, e.Remedy = "this kernel has no "+file, "leave the limit out on this host"
		if file == "memory.memsw.limit_in_bytes" || file == "memory.swap.max" {
			e.Reason, e.Remedy = "this kernel does not count swap", "boot with swapaccount=1, or leave the limit out"
		}
	case errors.Is(err, syscall.EBUSY):
		e.Class, e.Reason, e.Remedy = errdefs.ErrFailedPrecondition, "the kernel cannot set "+file+" now", "more than this is in use; give a larger value"
	case errors.Is(err, syscall.ENODEV):
		e.Class, e.Reason, e.Remedy = errdefs.ErrInvalidArgument, "the kernel refuses this for "+file, "name a device (or CPU, or memory node) that exists"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Class, e.Reason, e.Remedy = errdefs.ErrPermissionDenied, "the kernel does not allow it for "+file, "the parent cgroup allows less, or this process may not write there"
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ERANGE), errors.Is(err, syscall.EOPNOTSUPP):
		e.Class, e.Reason, e.Remedy = errdefs.ErrInvalidArgument, "the kernel refuses this for "+file, "give a value that it and the host's devices allow"
	default:
		e.Class, e.Reason = errdefs.ErrUnknown, "write "+file
	}
	return e
}

// errnoOf strips the path that the user need not see.
func errnoOf(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}

// apply writes the settings in order. Files of one controller may depend on
// each other in either direction (a memory limit must not exceed the limit
// with swap, a CPU burst not the quota), so one that the kernel refuses is
// tried again after the others, as long as that helps. done is called after
// each write.
func (c *Cgroup) apply(settings []setting, done func(setting)) error {
	for len(settings) > 0 {
		var again []setting
		var first error
		for _, s := range settings {
			written, err := c.write(s)
			switch {
			case err == nil:
				if done != nil {
					done(written)
				}
			case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EBUSY):
				again = append(again, s)
				if first == nil {
					first = written.writeError(err)
				}
			default:
				return written.writeError(err)
			}
		}
		if len(again) == len(settings) {
			return first
		}
		settings = again
	}
	return nil
}

// write writes s, or its alternative, and returns the one that it chose.
func (c *Cgroup) write(s setting) (setting, error) {
	for {
		dir, _ := c.dir(s.controller)
		err := linux.WriteControl(dir+"/"+s.file, s.value)
		missing := errors.Is(err, fs.ErrNotExist)
		if missing && s.or != nil {
			s = *s.or
			continue
		}
		if missing && s.optional {
			return s, nil
		}
		return s, err
	}
}

// number formats any integer.
func number[T int64 | uint64 | uint32 | uint16 | int](n T) string { return fmt.Sprint(n) }
