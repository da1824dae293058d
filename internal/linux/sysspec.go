package linux

import "golang.org/x/sys/unix"

// More numbers, of what only few containers ask for.
const (
	SysFspick           = unix.SYS_FSPICK
	SysStatx            = unix.SYS_STATX
	SysKeyctl           = unix.SYS_KEYCTL
	SysPersonality      = unix.SYS_PERSONALITY
	SysSchedSetattr     = unix.SYS_SCHED_SETATTR
	SysSchedSetaffinity = unix.SYS_SCHED_SETAFFINITY
	SysIoprioSet        = unix.SYS_IOPRIO_SET
	SysSetMempolicy     = unix.SYS_SET_MEMPOLICY

	FspickEmptyPath     = unix.FSPICK_EMPTY_PATH
	FspickCloexec       = unix.FSPICK_CLOEXEC
	FsconfigReconfigure = unix.FSCONFIG_CMD_RECONFIGURE
	StatxBasicStats     = unix.STATX_BASIC_STATS
	KeyctlJoinSession   = unix.KEYCTL_JOIN_SESSION_KEYRING
	KeyctlSetperm       = unix.KEYCTL_SETPERM
	MpolFStaticNodes    = unix.MPOL_F_STATIC_NODES
	MpolFRelativeNodes  = unix.MPOL_F_RELATIVE_NODES
	MpolFNumaBalancing  = unix.MPOL_F_NUMA_BALANCING
	// PerLinux32 is personality(2)'s PER_LINUX32.
	PerLinux32 = 0x0008
	// IoprioWhoProcess is ioprio_set(2)'s IOPRIO_WHO_PROCESS.
	IoprioWhoProcess = 1
)
