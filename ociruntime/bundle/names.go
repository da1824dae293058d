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

var propagations = [...]string{
	"", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
}
