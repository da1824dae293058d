package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// System call numbers that the standard library's syscall package lacks.
const (
	SysOpenTree     = unix.SYS_OPEN_TREE
	SysMoveMount    = unix.SYS_MOVE_MOUNT
	SysFsopen       = unix.SYS_FSOPEN
	SysFsconfig     = unix.SYS_FSCONFIG
	SysFsmount      = unix.SYS_FSMOUNT
	SysMountSetattr = unix.SYS_MOUNT_SETATTR
	SysOpenat2      = unix.SYS_OPENAT2
	SysClone3       = unix.SYS_CLONE3
	SysCloseRange   = unix.SYS_CLOSE_RANGE
	SysSeccomp      = unix.SYS_SECCOMP
	SysSetns        = unix.SYS_SETNS
	SysUnshare      = unix.SYS_UNSHARE
	SysPrlimit64    = unix.SYS_PRLIMIT64
	SysMkdirat      = unix.SYS_MKDIRAT
	SysMknodat      = unix.SYS_MKNODAT
	SysSymlinkat    = unix.SYS_SYMLINKAT
	SysFchownat     = unix.SYS_FCHOWNAT
	SysFchown       = unix.SYS_FCHOWN
	SysFchmodat     = unix.SYS_FCHMODAT
	SysRenameat2    = unix.SYS_RENAMEAT2
	SysDup3         = unix.SYS_DUP3
	SysPpoll        = unix.SYS_PPOLL
	SysEventfd2     = unix.SYS_EVENTFD2
	SysPivotRoot    = unix.SYS_PIVOT_ROOT
	SysUmount2      = unix.SYS_UMOUNT2
	SysSignalMask   = unix.SYS_RT_SIGPROCMASK
	SysWaitid       = unix.SYS_WAITID
	SysClockGettime = unix.SYS_CLOCK_GETTIME
	SysPidfdOpen    = unix.SYS_PIDFD_OPEN
	SysFchdir       = unix.SYS_FCHDIR
	SysSetsid       = unix.SYS_SETSID
	SysCapset       = unix.SYS_CAPSET
	SysSetgroups    = unix.SYS_SETGROUPS
	SysSetresuid    = unix.SYS_SETRESUID
	SysSetresgid    = unix.SYS_SETRESGID
	SysSethostname  = unix.SYS_SETHOSTNAME
	SysUmask        = unix.SYS_UMASK
	SysMunmap       = unix.SYS_MUNMAP
	SysFaccessat2   = unix.SYS_FACCESSAT2
)

// Flags and values of those calls, named as in their man pages.
const (
	AtFdcwd            = unix.AT_FDCWD
	AtEmptyPath        = unix.AT_EMPTY_PATH
	AtRecursive        = unix.AT_RECURSIVE
	AtSymlinkNofollow  = unix.AT_SYMLINK_NOFOLLOW
	AtEaccess          = unix.AT_EACCESS
	XOk                = unix.X_OK
	OpenTreeClone      = unix.OPEN_TREE_CLONE
	OpenTreeCloexec    = unix.OPEN_TREE_CLOEXEC
	MoveMountFEmpty    = unix.MOVE_MOUNT_F_EMPTY_PATH
	MoveMountTEmpty    = unix.MOVE_MOUNT_T_EMPTY_PATH
	EfdSemaphore       = unix.EFD_SEMAPHORE
	FsopenCloexec      = unix.FSOPEN_CLOEXEC
	FsconfigSetFlag    = unix.FSCONFIG_SET_FLAG
	FsconfigSetString  = unix.FSCONFIG_SET_STRING
	FsconfigSetFd      = unix.FSCONFIG_SET_FD
	FsconfigCreate     = unix.FSCONFIG_CMD_CREATE
	FsmountCloexec     = unix.FSMOUNT_CLOEXEC
	MountAttrRdonly    = unix.MOUNT_ATTR_RDONLY
	MountAttrNosuid    = unix.MOUNT_ATTR_NOSUID
	MountAttrNodev     = unix.MOUNT_ATTR_NODEV
	MountAttrNoexec    = unix.MOUNT_ATTR_NOEXEC
	MountAttrRelatime  = unix.MOUNT_ATTR_RELATIME
	MountAttrNoatime   = unix.MOUNT_ATTR_NOATIME
	MountAttrStrict    = unix.MOUNT_ATTR_STRICTATIME
	MountAttrNodiratim = unix.MOUNT_ATTR_NODIRATIME
	MountAttrNosymf    = unix.MOUNT_ATTR_NOSYMFOLLOW
	MountAttrAtimeMask = unix.MOUNT_ATTR__ATIME
	MountAttrIdmap     = unix.MOUNT_ATTR_IDMAP
	MsPrivate          = unix.MS_PRIVATE
	MsSlave            = unix.MS_SLAVE
	MsShared           = unix.MS_SHARED
	MsUnbindable       = unix.MS_UNBINDABLE
	MntDetach          = unix.MNT_DETACH
	ResolveInRoot      = unix.RESOLVE_IN_ROOT
	ResolveNoMagic     = unix.RESOLVE_NO_MAGICLINKS
	ResolveBeneath     = unix.RESOLVE_BENEATH
	ResolveNoSymlinks  = unix.RESOLVE_NO_SYMLINKS
	ResolveNoXdev      = unix.RESOLVE_NO_XDEV
	OPath              = unix.O_PATH
	CloneFiles         = unix.CLONE_FILES
	ClonePidfd         = unix.CLONE_PIDFD
	CloneIntoCgroup    = unix.CLONE_INTO_CGROUP
	CloneParent        = unix.CLONE_PARENT
	CloneVM            = unix.CLONE_VM
	CloneVfork         = unix.CLONE_VFORK
	CloneNewuser       = unix.CLONE_NEWUSER
	CloneNewns         = unix.CLONE_NEWNS
	CloneNewpid        = unix.CLONE_NEWPID
	CloneNewnet        = unix.CLONE_NEWNET
	CloneNewipc        = unix.CLONE_NEWIPC
	CloneNewuts        = unix.CLONE_NEWUTS
	CloneNewcgroup     = unix.CLONE_NEWCGROUP
	CloneNewtime       = unix.CLONE_NEWTIME
	CloseRangeUnshare  = unix.CLOSE_RANGE_UNSHARE
	CloseRangeCloexec  = unix.CLOSE_RANGE_CLOEXEC
	SeccompSetFilter   = unix.SECCOMP_SET_MODE_FILTER
	SeccompNewListener = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	PrSetPdeathsig     = unix.PR_SET_PDEATHSIG
	PrSetName          = unix.PR_SET_NAME
	PrSetDumpable      = unix.PR_SET_DUMPABLE
	PrSetSecurebits    = unix.PR_SET_SECUREBITS
	PrSetKeepcaps      = unix.PR_SET_KEEPCAPS
	PrCapbsetDrop      = unix.PR_CAPBSET_DROP
	PrCapAmbient       = unix.PR_CAP_AMBIENT
	PrCapAmbientClear  = unix.PR_CAP_AMBIENT_CLEAR_ALL
	PrCapAmbientRaise  = unix.PR_CAP_AMBIENT_RAISE
	PrSetNoNewPrivs    = unix.PR_SET_NO_NEW_PRIVS
	// SecbitNoSetuidFixup keeps capabilities when ids change (capabilities(7)).
	SecbitNoSetuidFixup = 1 << 2

	PPid             = unix.P_PID
	WExited          = unix.WEXITED
	ClockRealtime    = unix.CLOCK_REALTIME
	ClockBoottime    = unix.CLOCK_BOOTTIME
	SolSocket        = unix.SOL_SOCKET
	ScmRights        = unix.SCM_RIGHTS
	DevptsMagic      = unix.DEVPTS_SUPER_MAGIC
	ProcMagic        = unix.PROC_SUPER_MAGIC
	SIfreg           = unix.S_IFREG
	SIfchr           = unix.S_IFCHR
	SIfblk           = unix.S_IFBLK
	SIfifo           = unix.S_IFIFO
	Tiocsptlck       = unix.TIOCSPTLCK
	Tiocgptpeer      = unix.TIOCGPTPEER
	Tiocsctty        = unix.TIOCSCTTY
	Tiocswinsz       = unix.TIOCSWINSZ
	Siocsifflags     = unix.SIOCSIFFLAGS
	IffUp            = unix.IFF_UP
	LinuxCapVersion3 = unix.LINUX_CAPABILITY_VERSION_3
)

// Mkdev makes a device number of major and minor.
func Mkdev(major, minor uint32) uint64 { return unix.Mkdev(major, minor) }

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
	IflaNetNsFd         = unix.IFLA_NET_NS_FD
	IflaNewIfindex      = unix.IFLA_NEW_IFINDEX
	IflaLinkinfo        = unix.IFLA_LINKINFO
	IflaInfoKind        = unix.IFLA_INFO_KIND
	IflaInfoData        = unix.IFLA_INFO_DATA
	IflaProtinfo        = unix.IFLA_PROTINFO
	IflaBrportIsolated  = unix.IFLA_BRPORT_ISOLATED
	IflaBrportMode      = unix.IFLA_BRPORT_MODE
	RtmSetlink          = unix.RTM_SETLINK
	NlaFNested          = unix.NLA_F_NESTED
	IfaFNodad           = unix.IFA_F_NODAD
	IflaMacvlanMode     = unix.IFLA_MACVLAN_MODE
	IflaIpvlanMode      = unix.IFLA_IPVLAN_MODE
	IflaIpvlanFlags     = unix.IFLA_IPVLAN_FLAGS
	// VethInfoPeer is linux/veth.h's VETH_INFO_PEER.
	VethInfoPeer = 1
	// PerLinux32 is personality(2)'s PER_LINUX32.
	PerLinux32 = 0x0008
	// IoprioWhoProcess is ioprio_set(2)'s IOPRIO_WHO_PROCESS.
	IoprioWhoProcess = 1
)

// PacketStatistics is how many packets a packet socket has got, and how many more there was no room
// for, since it was last asked (packet(7), PACKET_STATISTICS).
func PacketStatistics(fd int) (got, dropped uint32, err error) {
	s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, 0, os.NewSyscallError("getsockopt PACKET_STATISTICS", err)
	}
	return s.Packets, s.Drops, nil
}
