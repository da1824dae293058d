package limit

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/containerd/errdefs"
)

// Core stands for the files "cgroup.*" of the version 2 hierarchy where a
// controller is asked for.
const Core = "cgroup"

// Setting is one value for one control file.
type Setting struct {
	// Flag is the flag under which users know the limit ("--memory"), or, if it
	// has none, the spec's field.
	Flag       string
	Controller string
	File       string
	Value      string
	// Optional settings may be missing on the host: they say nothing that is
	// not already so (no swap limit where swap is not counted).
	Optional bool
	// Fresh: a cgroup that was just made has this value already.
	Fresh bool
	// Or is tried instead if the file does not exist.
	Or *Setting
}

// Error is a limit that was asked for and that this host cannot apply. It
// unwraps to its class (errdefs) and to the kernel's error if there was one.
type Error struct {
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
func (e *Error) Error() string {
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
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Class}
	}
	return []error{e.Class, e.Err}
}

// Invalid is the error for a value that no host takes.
func Invalid(flag, value, reason string) error {
	return &Error{Flag: flag, Value: value, Reason: reason, Class: errdefs.ErrInvalidArgument}
}

// Unsupported is the error for what this host cannot do.
func Unsupported(flag, reason, remedy string) error {
	return &Error{Flag: flag, Reason: reason, Remedy: remedy, Class: errdefs.ErrFailedPrecondition}
}

// needsV1 is the error for what version 2 has no counterpart of.
func needsV1(flag string) error {
	return Unsupported(flag, "cgroup v2 has no such limit", "leave it out on this host")
}

// NoController is the error for a controller in no hierarchy of the host.
func NoController(flag, controller string) error {
	remedy := "load or enable it in the kernel, or leave the limit out"
	if controller == "memory" {
		remedy = "boot with cgroup_enable=memory, or leave the limit out"
	}
	return Unsupported(flag, "this host has no "+controller+" cgroup controller", remedy)
}

// WriteError turns a failed write of s into what the user reads.
func (s Setting) WriteError(err error) error {
	var said *Error
	if errors.As(err, &said) {
		return said
	}
	e := &Error{Flag: s.Flag, Value: s.Value, Err: Errno(err)}
	file := filepath.Base(s.File)
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

// Errno strips the path that the user need not see.
func Errno(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}

// number formats any integer.
func number[T int64 | uint64 | uint32 | uint16 | int](n T) string {
	if n >= 0 {
		return strconv.FormatUint(uint64(n), 10)
	}
	return strconv.FormatInt(int64(n), 10)
}
