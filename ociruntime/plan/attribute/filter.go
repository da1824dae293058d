package attribute

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

// Filter is a compiled seccomp profile.
type Filter struct {
	// Code is in the kernel's struct sock_filter layout; empty for none.
	Code []byte
	// Flags are seccomp(2)'s.
	Flags uint64
}

// Notifies says whether the filter asks a listener.
func (f Filter) Notifies() bool { return f.Flags&linux.SeccompNewListener != 0 }

// Load installs the filter (struct sock_fprog, seccomp(2)).
func (f Filter) Load(c *call.Calls) {
	if len(f.Code) > 0 {
		f.load(c)
	}
}

func (f Filter) load(c *call.Calls) *program.Step {
	n := len(f.Code) / 8
	c.Group("privilege")
	c.Do("load the seccomp filter, %d instructions", n)
	code := c.Bytes(f.Code, "filter")
	fprog := c.Words("fprog", uint64(n), code.Pointer())
	return c.Call("seccomp", linux.SysSeccomp, program.Flags(linux.SeccompSetFilter, "SECCOMP_SET_MODE_FILTER"), program.Flags(f.Flags, "flags"), fprog.At(0))
}

// LoadAndTell installs a filter that asks a listener, writes the number of the
// listener's file to a socket and waits for 8 bytes from there, which say that
// the file was taken (seccomp.TakeListener). Of these calls the filter may ask
// the listener about all but write.
func (f Filter) LoadAndTell(c *call.Calls, socket int) {
	listener := c.Words("listener", 0)
	f.load(c).To(listener.Slot(0))
	c.Do("hand the seccomp listener over")
	c.Remedy("the profile must let write pass")
	c.Call("write", syscall.SYS_WRITE, program.Int(socket), listener.At(0), program.Int(8))
	c.Call("read", syscall.SYS_READ, program.Int(socket), c.Words("taken", 0).At(0), program.Int(8))
	// So that a dead listener means ENOSYS and no wait for ever.
	c.Call("close", syscall.SYS_CLOSE, listener.Slot(0).Value()).Tolerate(syscall.EPERM, syscall.ENOSYS, syscall.EACCES)
}
