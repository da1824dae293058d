package linux

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// PidfdOpen returns a file of a process (pidfd_open(2), Linux 5.3): readable
// once it has ended. os.ErrProcessDone if there is none.
func PidfdOpen(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, os.ErrProcessDone
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return os.NewFile(uintptr(fd), "pidfd:"+strconv.Itoa(pid)), nil
}

// PidfdSignal sends a signal to the process of a pidfd (pidfd_send_signal(2)).
// os.ErrProcessDone if it has ended.
func PidfdSignal(pidfd *os.File, sig syscall.Signal) error {
	var err error
	if cerr := control(pidfd, func(fd int) { err = unix.PidfdSendSignal(fd, sig, nil, 0) }); cerr != nil {
		return cerr
	}
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("pidfd_send_signal", err)
}

// PidfdGetfd copies an open file out of another process (pidfd_getfd(2), Linux
// 5.6). wait says that it will be read or written: it is made non-blocking, so
// that this waits in the runtime's poller. os.ErrProcessDone if the process has ended.
func PidfdGetfd(pidfd *os.File, target int, name string, wait bool) (*os.File, error) {
	var fd int
	var err error
	if cerr := control(pidfd, func(p int) { fd, err = unix.PidfdGetfd(p, target, 0) }); cerr != nil {
		return nil, cerr
	}
	if errors.Is(err, unix.ESRCH) {
		return nil, os.ErrProcessDone
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_getfd", err)
	}
	if wait {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, errors.Join(os.NewSyscallError("fcntl O_NONBLOCK", err), unix.Close(fd))
		}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Parent is the pid of a process's parent (proc_pid_status(5)).
func Parent(pid int) (ppid int, err error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nPPid:\t")
	line, _, _ := strings.Cut(rest, "\n")
	return strconv.Atoi(line)
}

// Pipe returns a pipe. ourRead or ourWrite say which end this process uses: it
// does not block and waits in the runtime's poller; the other end blocks, as a
// container's process expects.
func Pipe(ourRead, ourWrite bool) (r, w *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	for i, ours := range []bool{ourRead, ourWrite} {
		if !ours {
			continue
		}
		if err := unix.SetNonblock(p[i], true); err != nil {
			return nil, nil, errors.Join(os.NewSyscallError("fcntl O_NONBLOCK", err), unix.Close(p[0]), unix.Close(p[1]))
		}
	}
	return os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe"), nil
}

// OpenNull opens /dev/null for reading and writing.
func OpenNull() (*os.File, error) { return os.OpenFile("/dev/null", os.O_RDWR, 0) }

// OpenPath opens a file as a place only (O_PATH, open(2)).
func OpenPath(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// SetWinsize sets the size of a terminal in cells (ioctl_tty(2)).
func SetWinsize(tty *os.File, width, height uint16) error {
	var err error
	cerr := control(tty, func(fd int) {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
	})
	if cerr != nil {
		return cerr
	}
	return os.NewSyscallError("ioctl TIOCSWINSZ", err)
}

// PermittedCaps are this process's permitted capabilities, a bit each (capget(2)).
func PermittedCaps() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted), nil
}

// capabilities are the kernel's by number (capabilities(7), Linux 5.9).
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Numbers of capabilities that plans depend on.
const (
	CapSysAdmin = 21
	CapMknod    = 27
)

// Capabilities are the names of all capabilities, by number.
func Capabilities() []string { return slices.Clone(capabilities) }

// Capability is the number of a capability; false if there is none of the name.
func Capability(name string) (int, bool) {
	i := slices.Index(capabilities, name)
	return i, i >= 0
}

// CapabilityName is the name of a capability, its number if it has none here.
func CapabilityName(n int) string {
	if n < len(capabilities) {
		return capabilities[n]
	}
	return strconv.Itoa(n)
}

// LastCap is the highest capability that the kernel knows.
func LastCap() (int, error) {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// control calls do with f's descriptor, which stays open meanwhile. The only
// failure is os.ErrClosed.
func control(f *os.File, do func(fd int)) error {
	c, err := f.SyscallConn()
	if err == nil {
		err = c.Control(func(fd uintptr) { do(int(fd)) })
	}
	if err != nil {
		return os.ErrClosed // the runtime's own error for this is not exported
	}
	return nil
}

const (
	// sigRTMin and sigRTMax are what the C libraries leave to programs
	// (signal(7)): glibc keeps 32 and 33 for itself.
	sigRTMin = 34
	sigRTMax = 64
)

// ParseSignal reads a signal's number from 1 to 64 or its name in any case, with
// or without SIG; real-time signals as RTMIN+n and RTMAX-n.
func ParseSignal(s string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), n >= 1 && n <= sigRTMax
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, true
	}
	for prefix, base := range map[string]int{"RTMIN": sigRTMin, "RTMAX": sigRTMax} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(rest)
		if rest != "" && err != nil {
			return 0, false
		}
		return syscall.Signal(base + n), base+n >= sigRTMin && base+n <= sigRTMax
	}
	return 0, false
}

// SetChildSubreaper makes this process the parent of all its descendants that
// lose theirs, as PID 1 is by default (PR_SET_CHILD_SUBREAPER(2const), Linux 3.4).
func SetChildSubreaper() error {
	return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// InUserNamespace tells whether this process's user ids are not the host's.
func InUserNamespace() bool {
	data, err := ReadControl("/proc/self/uid_map")
	return err == nil && !slices.Equal(strings.Fields(data), []string{"0", "0", "4294967295"})
}

// DieWithParent lets the kernel end this process with SIGKILL when the thread that
// made it ends (PR_SET_PDEATHSIG(2const)). os.ErrProcessDone if its parent, whose pid
// is given, has ended already. Executing a program that gains capabilities forgets it, so
// it is the program's to ask for. The kernel forgets it with the thread that asks, so one
// is kept for that as long as the process lives.
func DieWithParent(parent int) error {
	asked := make(chan error)
	go func() {
		runtime.LockOSThread()
		asked <- os.NewSyscallError("prctl PR_SET_PDEATHSIG", unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0))
		select {}
	}()
	if err := <-asked; err != nil {
		return err
	}
	if unix.Getppid() != parent {
		return os.ErrProcessDone
	}
	return nil
}
