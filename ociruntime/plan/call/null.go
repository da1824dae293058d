package call

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// HostNull makes a detached copy of the host's null device, looked at first.
func (p *Calls) HostNull(to program.Slot) {
	p.Do("check the host's null device")
	p.Remedy("what the host has at /dev/null is no null device")
	host, is := p.Slot("host-null"), p.Label("is null")
	stat := p.Words("statx", make([]uint64, 32)...)
	const rdevAt = 128
	p.Call("openat", syscall.SYS_OPENAT, Cwd(), p.String("/dev/null"), program.Flags(linux.OPath|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, "O_PATH|O_NOFOLLOW"), program.Int(0)).To(host)
	p.Call("statx", linux.SysStatx, host.Value(), p.String(""), program.Flags(linux.AtEmptyPath, "AT_EMPTY_PATH"), program.Flags(linux.StatxBasicStats, "STATX_BASIC_STATS"), stat.At(0))
	p.IfEqual(stat.Slot(rdevAt).Value(), program.Flags(1|3<<32, "1:3"), is)
	p.Fail(syscall.ENODEV)
	p.Place(is)
	p.ClonePath(host.Value(), "", false, to)
}
