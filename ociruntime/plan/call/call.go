// Package call makes steps of the system calls that a plan is mostly made of:
// mounts, paths below a root, the execution of a command.
//
// Level: R.
// Owns: the arguments of these calls, and how they print.
// May import: ociruntime/program, internal/linux.
// Must not know: the OCI spec, the order of a plan.
package call

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// Calls is a builder of steps that knows these calls.
type Calls struct {
	*program.Builder
	hows map[string]program.Arg
	err  error
}

// New returns an empty list of steps.
func New() *Calls {
	return &Calls{Builder: program.NewBuilder(), hows: map[string]program.Arg{}}
}

// Refuse keeps the first reason why no plan can be made.
func (p *Calls) Refuse(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// Assemble makes the program, if nothing was refused.
func (p *Calls) Assemble() (*program.Program, error) {
	if p.err != nil {
		return nil, p.err
	}
	return p.Builder.Assemble()
}

// Cwd is AT_FDCWD as an argument.
func Cwd() program.Arg { return program.Flags(1<<32+linux.AtFdcwd, "AT_FDCWD") }

// MountAttr is struct mount_attr (mount_setattr(2)) in memory.
func (p *Calls) MountAttr(set, clr, propagation uint64) program.Arg {
	return p.Words("attr", set, clr, propagation, 0).At(0)
}

// MountAttrSize is the size of struct mount_attr.
const MountAttrSize = 32

// SetAttr changes a mount, and with recursive those below it (mount_setattr(2)).
func (p *Calls) SetAttr(fd program.Arg, recursive bool, attr program.Arg, text string) *program.Step {
	flags, name := uint64(linux.AtEmptyPath), "AT_EMPTY_PATH"
	if recursive {
		flags, name = flags|linux.AtRecursive, name+"|AT_RECURSIVE"
	}
	return p.Call("mount_setattr", linux.SysMountSetattr, fd, p.String(""), program.Flags(flags, name), attr, program.Flags(MountAttrSize, text))
}

// ClonePath makes a detached copy of the mount at a host path.
func (p *Calls) ClonePath(dir program.Arg, file string, recursive bool, to program.Slot) *program.Step {
	flags, name := uint64(linux.OpenTreeClone|linux.OpenTreeCloexec), "OPEN_TREE_CLONE"
	if recursive {
		flags, name = flags|linux.AtRecursive, name+"|AT_RECURSIVE"
	}
	if file == "" {
		flags, name = flags|linux.AtEmptyPath, name+"|AT_EMPTY_PATH"
	}
	return p.Call("open_tree", linux.SysOpenTree, dir, p.String(file), program.Flags(flags, name)).To(to)
}

// NewMount makes a detached mount of a new file system. An option is "key",
// "key=value" or "key+=value".
func (p *Calls) NewMount(fstype, source string, options []string, attrs uint64, to program.Slot) {
	p.MountFS(p.NewFS(fstype, source, options).Value(), attrs, to)
}

// NewFS makes a file system, for MountFS to mount.
func (p *Calls) NewFS(fstype, source string, options []string) program.Slot {
	fs, zero := p.Slot(fstype+"-fs"), program.Int(0)
	p.Call("fsopen", linux.SysFsopen, p.String(fstype), program.Flags(linux.FsopenCloexec, "FSOPEN_CLOEXEC")).To(fs)
	if source != "" {
		options = append([]string{"source=" + source}, options...)
	}
	p.Configure(fs, fstype, options)
	p.Call("fsconfig", linux.SysFsconfig, fs.Value(), program.Flags(linux.FsconfigCreate, "CMD_CREATE"), zero, zero, zero)
	return fs
}

// MountFS makes a detached mount of a file system that NewFS made.
func (p *Calls) MountFS(fs program.Arg, attrs uint64, to program.Slot) {
	p.Call("fsmount", linux.SysFsmount, fs, program.Flags(linux.FsmountCloexec, "FSMOUNT_CLOEXEC"), program.Flags(attrs, AttrText(attrs))).To(to)
}

// Configure sets options of a file system (fsconfig(2)).
func (p *Calls) Configure(fs program.Slot, fstype string, options []string) {
	zero := program.Int(0)
	for _, o := range options {
		key, value, isString := strings.Cut(o, "=")
		if len(value) > 255 {
			p.Refuse("mount option %s of %s has more than 255 bytes", key, fstype)
		}
		if isString {
			p.Call("fsconfig", linux.SysFsconfig, fs.Value(), program.Flags(linux.FsconfigSetString, "SET_STRING"), p.String(key), p.String(value), zero)
		} else {
			p.Call("fsconfig", linux.SysFsconfig, fs.Value(), program.Flags(linux.FsconfigSetFlag, "SET_FLAG"), p.String(key), zero, zero)
		}
	}
}

// AttrText names the attributes of a mount.
func AttrText(attrs uint64) string {
	var names []string
	for _, a := range []struct {
		bit  uint64
		name string
	}{
		{linux.MountAttrNoatime, "noatime"},
		{linux.MountAttrNodev, "nodev"},
		{linux.MountAttrNodiratim, "nodiratime"},
		{linux.MountAttrNoexec, "noexec"},
		{linux.MountAttrNosuid, "nosuid"},
		{linux.MountAttrNosymf, "nosymfollow"},
		{linux.MountAttrRdonly, "ro"},
		{linux.MountAttrStrict, "strictatime"},
	} {
		if attrs&a.bit != 0 {
			names = append(names, a.name)
		}
	}
	if len(names) == 0 {
		return "0"
	}
	return strings.Join(names, ",")
}

// OpenIn opens a path as if root were "/". A mount or a rename anywhere on the
// host while a ".." is passed is EAGAIN (openat2(2)): then it looks again.
func (p *Calls) OpenIn(root program.Arg, file string, how program.Arg, to program.Slot) *program.Step {
	again := p.Label("open again")
	p.Place(again)
	s := p.Call("openat2", linux.SysOpenat2, root, p.String(file), how, program.Int(24)).To(to).Tolerate(syscall.EAGAIN)
	p.IfEqual(to.Value(), program.Errno(syscall.EAGAIN), again)
	return s
}

// How is a struct open_how (openat2(2)) for O_PATH inside the root.
func (p *Calls) How(noSymlinks bool) program.Arg {
	resolve, text := uint64(linux.ResolveInRoot|linux.ResolveNoMagic), "O_PATH IN_ROOT"
	if noSymlinks {
		resolve, text = resolve|linux.ResolveNoSymlinks, text+" NO_SYMLINKS"
	}
	return p.OpenHow(linux.OPath, resolve, text)
}

// Move puts a detached mount, or what else fd is, at target.
func (p *Calls) Move(fd program.Arg, target program.Slot) {
	p.Call("move_mount", linux.SysMoveMount, fd, p.String(""), target.Value(), p.String(""), program.Flags(linux.MoveMountFEmpty|linux.MoveMountTEmpty, "F_EMPTY_PATH|T_EMPTY_PATH"))
}

// OpenHow is a struct open_how (openat2(2)).
func (p *Calls) OpenHow(flags int, resolve uint64, text string) program.Arg {
	if a, ok := p.hows[text]; ok {
		return a
	}
	var how []byte
	for _, w := range []uint64{uint64(flags) | syscall.O_CLOEXEC, 0, resolve} {
		how = binary.LittleEndian.AppendUint64(how, w)
	}
	a := p.Bytes(how, text)
	p.hows[text] = a
	return a
}

// PropagationText names a type of propagation.
func PropagationText(typ uint64) string {
	switch typ {
	case linux.MsSlave:
		return "slave"
	case linux.MsShared:
		return "shared"
	case linux.MsUnbindable:
		return "unbindable"
	}
	return "private"
}

// No is how a program refuses: a call that fails.
func (p *Calls) No() { p.Fail(syscall.EBADF) }

// Fail is a call that fails for a reason of choice: EEXIST, ENODEV, EINVAL or EBADF.
func (p *Calls) Fail(why syscall.Errno) {
	zero := program.Int(0)
	switch why {
	case syscall.EEXIST:
		p.Call("mkdirat", linux.SysMkdirat, Cwd(), p.String("/"), zero)
	case syscall.ENODEV:
		p.Call("fsopen", linux.SysFsopen, p.String("none"), zero)
	case syscall.EINVAL:
		p.Call("dup3", linux.SysDup3, zero, zero, zero)
	default:
		p.Call("fchdir", linux.SysFchdir, program.Int(-1))
	}
}
