package bundle

import specs "github.com/opencontainers/runtime-spec/specs-go"

// properties are all names that the documents may have, for errors about one in
// other letters. A test compares them with the specification's types.
var properties = []string{
	"access", "action", "additionalGids", "allow", "ambient", "annotations", "apparmorProfile", "architectures", "args", "blockIO",
	"bounding", "burst", "capabilities", "cgroupsPath", "checkBeforeUpdate", "class", "classID", "closID", "consoleSize", "containerID",
	"cpu", "cpus", "createContainer", "createRuntime", "cwd", "deadline", "defaultAction", "defaultErrnoRet", "destination", "devices",
	"disableOOMKiller", "domain", "domainname", "effective", "enableMonitoring", "env", "errnoRet", "execCPUAffinity", "fileMode",
	"final", "flags", "gid", "gidMappings", "hard", "hcaHandles", "hcaObjects", "height", "hooks", "hostID", "hostname",
	"hugepageLimits", "idle", "index", "inheritable", "initial", "intelRdt", "ioPriority", "kernel", "kernelTCP", "l3CacheSchema",
	"leafWeight", "limit", "linux", "listenerMetadata", "listenerPath", "major", "maskedPaths", "memBwSchema", "memory", "memoryPolicy",
	"mems", "minor", "mode", "mountLabel", "mounts", "name", "names", "namespaces", "nanosecs", "netDevices", "network", "nice",
	"noNewPrivileges", "nodes", "ociVersion", "oomScoreAdj", "op", "options", "pageSize", "path", "period", "permitted", "personality",
	"pids", "policy", "poststart", "poststop", "prestart", "priorities", "priority", "process", "quota", "rate", "rdma", "readonly",
	"readonlyPaths", "realtimePeriod", "realtimeRuntime", "reservation", "resources", "rlimits", "root", "rootfsPropagation", "runtime",
	"scheduler", "schemata", "seccomp", "secs", "selinuxLabel", "shares", "size", "soft", "source", "startContainer", "swap",
	"swappiness", "syscalls", "sysctl", "terminal", "throttleReadBpsDevice", "throttleReadIOPSDevice", "throttleWriteBpsDevice",
	"throttleWriteIOPSDevice", "timeOffsets", "timeout", "type", "uid", "uidMappings", "umask", "unified", "useHierarchy", "user",
	"username", "value", "valueTwo", "weight", "weightDevice", "width",
}

// Capabilities are the names of capabilities(7) by number.
func Capabilities() []string { return capabilities[:] }

var capabilities = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Namespaces are the kinds of namespaces.
func Namespaces() []specs.LinuxNamespaceType { return namespaces[:] }

var namespaces = [...]specs.LinuxNamespaceType{
	specs.CgroupNamespace, specs.IPCNamespace, specs.MountNamespace, specs.NetworkNamespace,
	specs.PIDNamespace, specs.TimeNamespace, specs.UserNamespace, specs.UTSNamespace,
}

// Hooks are the names of the moments at which hooks run.
func Hooks() []string { return hookNames[:] }

var hookNames = [...]string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// SeccompActions are what a filter can do with a call.
func SeccompActions() []specs.LinuxSeccompAction { return seccompActions[:] }

var seccompActions = [...]specs.LinuxSeccompAction{
	specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread,
	specs.ActLog, specs.ActNotify, specs.ActTrace, specs.ActTrap,
}

// SeccompOperators are how a filter compares an argument.
func SeccompOperators() []specs.LinuxSeccompOperator { return seccompOperators[:] }

var seccompOperators = [...]specs.LinuxSeccompOperator{
	specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpLessEqual,
	specs.OpLessThan, specs.OpMaskedEqual, specs.OpNotEqual,
}

// SeccompArchs are the architectures that a profile may name.
func SeccompArchs() []specs.Arch { return seccompArchs[:] }

var seccompArchs = [...]specs.Arch{
	specs.ArchAARCH64, specs.ArchARM, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchMIPS, specs.ArchMIPS64,
	specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPARISC, specs.ArchPARISC64,
	specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchRISCV64, specs.ArchS390, specs.ArchS390X,
	specs.ArchSH, specs.ArchSHEB, specs.ArchX32, specs.ArchX86, specs.ArchX86_64,
}

// SeccompFlags are those of seccomp(2) that a profile may name.
func SeccompFlags() []specs.LinuxSeccompFlag { return seccompFlags[:] }

var seccompFlags = [...]specs.LinuxSeccompFlag{
	specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv,
	"SECCOMP_FILTER_FLAG_TSYNC", // has no effect on a process with one thread
}

// MemoryModes are the modes of set_mempolicy(2).
func MemoryModes() []specs.MemoryPolicyModeType { return memoryModes[:] }

var memoryModes = [...]specs.MemoryPolicyModeType{
	specs.MpolBind, specs.MpolDefault, specs.MpolInterleave, specs.MpolLocal,
	specs.MpolPreferred, specs.MpolPreferredMany, specs.MpolWeightedInterleave,
}

// MemoryFlags are flags of a mode.
func MemoryFlags() []specs.MemoryPolicyFlagType { return memoryFlags[:] }

var memoryFlags = [...]specs.MemoryPolicyFlagType{specs.MpolFNumaBalancing, specs.MpolFRelativeNodes, specs.MpolFStaticNodes}

var rlimits = [...]string{
	"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE",
	"RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
}

var schedulerFlags = [...]specs.LinuxSchedulerFlag{
	specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
	specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
}

var propagations = [...]string{
	"", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
}
