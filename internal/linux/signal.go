package linux

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

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
