package call

import (
	"encoding/binary"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// OpenTerminal opens a new terminal in a devpts, of a size if it is not 0.
func (p *Calls) OpenTerminal(pts program.Arg, width, height uint16) (master, slave program.Slot) {
	p.Do("open a terminal in /dev/pts")
	master, slave = p.Slot("ptmx"), p.Slot("pts")
	rdwr := uint64(syscall.O_RDWR | syscall.O_NOCTTY | syscall.O_CLOEXEC)
	p.Call("openat", syscall.SYS_OPENAT, pts, p.String("ptmx"), program.Flags(rdwr, "O_RDWR|O_NOCTTY"), program.Int(0)).To(master)
	p.Call("ioctl", syscall.SYS_IOCTL, master.Value(), program.Flags(linux.Tiocsptlck, "TIOCSPTLCK"), p.Words("unlock", 0).At(0))
	p.Call("ioctl", syscall.SYS_IOCTL, master.Value(), program.Flags(linux.Tiocgptpeer, "TIOCGPTPEER"), program.Flags(rdwr, "O_RDWR|O_NOCTTY")).To(slave)
	if width != 0 && height != 0 {
		size := make([]byte, 8)
		binary.LittleEndian.PutUint16(size[0:], height)
		binary.LittleEndian.PutUint16(size[2:], width)
		p.Do("set the terminal's size to %d x %d", width, height)
		p.Call("ioctl", syscall.SYS_IOCTL, master.Value(), program.Flags(linux.Tiocswinsz, "TIOCSWINSZ"), p.Buffer("winsize", size).At(0))
	}
	return master, slave
}

// FindPts opens a container's devpts by its path, for there is no keeper that
// has it. Something else that the container has put there is refused.
func (p *Calls) FindPts(root program.Slot, number program.Arg) {
	p.Do("find /dev/pts")
	p.Remedy("the container must have a devpts there")
	pts := p.Slot("pts")
	how := p.OpenHow(linux.OPath|syscall.O_DIRECTORY, linux.ResolveInRoot|linux.ResolveNoMagic, "O_PATH|O_DIRECTORY IN_ROOT")
	p.OpenIn(root.Value(), "/dev/pts", how, pts)
	p.MustBe(pts.Value(), program.Flags(linux.DevptsMagic, "DEVPTS_SUPER_MAGIC"), syscall.EBADF)
	p.Call("dup3", linux.SysDup3, pts.Value(), number, program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
}

// MustBe fails for this reason, see Fail, if a file is not on a file system of a type.
func (p *Calls) MustBe(fd, magic program.Arg, why syscall.Errno) {
	is := p.Label("is " + magic.String())
	info := p.Words("statfs", make([]uint64, 15)...) // struct statfs begins with f_type
	p.Call("fstatfs", syscall.SYS_FSTATFS, fd, info.At(0))
	p.IfEqual(info.Slot(0).Value(), magic, is)
	p.Fail(why)
	p.Place(is)
}

// SendFile hands a file to a unix socket with a text (unix(7), SCM_RIGHTS).
// file is filled with its number, which is to be number.
func (p *Calls) SendFile(socket program.Arg, text string, file program.Slot, number program.Arg) {
	name := p.Bytes([]byte(text), text)
	const cmsgLen = 16 + 4 // struct cmsghdr and a descriptor
	control := p.Words("control", cmsgLen, linux.SolSocket|linux.ScmRights<<32, 0)
	p.Call("dup3", linux.SysDup3, file.Value(), number, program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC")).To(control.Slot(16))
	iov := p.Words("iov", name.Pointer(), uint64(len(text)))
	// struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
	msg := p.Words("msghdr", 0, 0, iov.Pointer(0), 1, control.Pointer(0), 24, 0)
	p.Call("sendmsg", syscall.SYS_SENDMSG, socket, msg.At(0), program.Int(0))
}
