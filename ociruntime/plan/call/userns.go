package call

import (
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// UserNamespace makes a user namespace with these maps and nobody in it. A
// process must be in it until its maps are written: it ends when the pipe does,
// and so also if this process dies. word is memory to read to.
func (p *Calls) UserNamespace(uidMap, gidMap string, word program.Arg, ns program.Slot) {
	holder := p.Slot("holder")
	hold, made := p.Label("hold a user namespace"), p.Label("have a user namespace")
	pipe, zero := p.Words("pipe", 0, 0), program.Int(0) // two descriptors of 32 bits
	readEnd, writeEnd := pipe.Slot(0).Value(), pipe.Slot(4).Value()
	p.Call("pipe2", syscall.SYS_PIPE2, pipe.At(0), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
	args := p.Words("clone", linux.CloneNewuser, 0, 0, 0, uint64(syscall.SIGCHLD), 0, 0, 0, 0, 0, 0)
	p.Call("clone3", linux.SysClone3, args.At(0), program.Flags(88, "88: new user namespace")).To(holder)
	p.IfEqual(holder.Value(), zero, hold)
	for _, w := range [][2]string{{"uid_map", uidMap}, {"gid_map", gidMap}} {
		fd := p.OpenProcOf(holder, w[0], syscall.O_WRONLY)
		p.Call("write", syscall.SYS_WRITE, fd.Value(), p.Bytes([]byte(w[1]), "map"), program.Int(len(w[1])))
		p.Call("close", syscall.SYS_CLOSE, fd.Value())
	}
	fd := p.OpenProcOf(holder, "ns/user", syscall.O_RDONLY)
	p.Call("dup", syscall.SYS_DUP, fd.Value()).To(ns)
	for _, fd := range []program.Arg{fd.Value(), readEnd, writeEnd} {
		p.Call("close", syscall.SYS_CLOSE, fd)
	}
	p.Call("waitid", linux.SysWaitid, program.Flags(linux.PPid, "P_PID"), holder.Value(), zero, program.Flags(linux.WExited, "WEXITED"), zero)
	p.Goto(made)
	p.Place(hold)
	p.Call("close", syscall.SYS_CLOSE, writeEnd)
	p.Call("read", syscall.SYS_READ, readEnd, word, program.Int(1))
	p.Call("exit_group", syscall.SYS_EXIT_GROUP, zero)
	p.Place(made)
}

// OpenProcOf opens /proc/PID/name. The pid is printed into a run of slashes,
// which are as good as one.
func (p *Calls) OpenProcOf(pid program.Slot, name string, flags int) program.Slot {
	const dir, room = "/proc", 11
	path := p.Buffer("path-"+name, []byte(dir+strings.Repeat("/", room)+"/"+name+"\x00"))
	fd := p.Slot(name)
	p.Decimal(pid.Value(), path.At(len(dir)+room))
	p.Call("openat", syscall.SYS_OPENAT, Cwd(), path.At(0), program.Flags(uint64(flags|syscall.O_CLOEXEC), "O_CLOEXEC"), program.Int(0)).To(fd)
	return fd
}
