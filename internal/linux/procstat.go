package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is what /proc/PID/stat says of a process (proc_pid_stat(5)).
type Process struct {
	// Ended: it is a zombie, or about to be gone.
	Ended bool
	// Ticks is when it began, in clock ticks of 10 ms since the host's start (CLOCK_BOOTTIME).
	Ticks uint64
}

// ticksPerSecond is sysconf(_SC_CLK_TCK), 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// After says whether the process began after a time of CLOCK_BOOTTIME.
func (p Process) After(seconds, nanoseconds int64) bool {
	return p.Ticks > uint64(seconds)*ticksPerSecond+uint64(nanoseconds)/(1e9/ticksPerSecond)
}

// ReadProcess looks at a process: os.ErrProcessDone if there is none.
func ReadProcess(pid int) (Process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return Process{}, os.ErrProcessDone
	}
	if err != nil {
		return Process{}, err
	}
	// "1 (a) b) S 0 ...": the name can hold anything; the state is field 3, the start field 22.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 20 {
		return Process{}, fmt.Errorf("read /proc/%d/stat: %d fields after the name", pid, len(f))
	}
	ticks, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return Process{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	return Process{Ended: f[0] == "Z" || f[0] == "X", Ticks: ticks}, nil
}

// InnerPid is a process's number in its own pid namespace (NSpid, proc_pid_status(5)).
func InnerPid(pid int) (int, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	f := strings.Fields(line)
	if len(f) == 0 {
		return 0, fmt.Errorf("read /proc/%d/status: it has no NSpid", pid)
	}
	return strconv.Atoi(f[len(f)-1])
}

// Boottime is the time since the host's start in nanoseconds (CLOCK_BOOTTIME).
func Boottime() (int64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return t.Nano(), nil
}
