package request

import (
	"github.com/spf13/pflag"
)

// Flags are the values of the flags that run and create share.
type Flags struct {
	// Name, Platform and Pull do not belong to the request's body.
	Name, Platform, Pull string
	// CIDFile is where the new container's id is written.
	CIDFile string
	// Quiet leaves out the progress of a pull.
	Quiet bool

	process   processFlags
	isolation isolationFlags
	limits    limitFlags
	storage   storageFlags
	network   networkFlags
	fs        *pflag.FlagSet
}

type processFlags struct {
	attach, env, envFiles, labels, labelFiles, groups, annotations []string
	interactive, tty, rm, init                                     bool
	user, workdir, entrypoint, hostname, domainname                string
	stopSignal, restart                                            string
	stopTimeout                                                    int
}

type isolationFlags struct {
	capAdd, capDrop, securityOpts, sysctls, devices, deviceRules []string
	privileged                                                   bool
	userns, pid, ipc, uts, cgroupns, cgroupParent                string
}

type limitFlags struct {
	memory, memorySwap, memoryReservation, cpus string
	swappiness, pids, shares, quota, period     int64
	cpuset, mems                                string
	blkioWeight                                 uint16
	weightDevices                               []string
	readBps, writeBps, readIOps, writeIOps      []string
	oomKillDisable                              bool
	oomScoreAdj                                 int
	ulimits                                     []string
}

type storageFlags struct {
	volumes, mounts, tmpfs []string
	readOnly               bool
	shmSize                string
}

// Define adds the flags to fs.
func Define(fs *pflag.FlagSet) *Flags {
	f := &Flags{fs: fs}
	fs.StringVar(&f.Name, "name", "", "Name of the container")
	fs.StringVar(&f.Platform, "platform", "", "Platform of the image, as linux/arm64, where it has several")
	fs.StringVar(&f.Pull, "pull", "missing", "Pull the image: always, missing or never")
	fs.StringVar(&f.CIDFile, "cidfile", "", "Write the container's id to this file, which must not exist")
	fs.BoolVarP(&f.Quiet, "quiet", "q", false, "Do not show the progress of a pull")
	f.process.define(fs)
	f.isolation.define(fs)
	f.limits.define(fs)
	f.storage.define(fs)
	f.network.define(fs)
	return f
}

func (p *processFlags) define(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&p.attach, "attach", "a", nil, "Attach only to stdin, stdout or stderr")
	fs.StringArrayVarP(&p.env, "env", "e", nil, "Set an environment variable, NAME=VALUE, or NAME to take ours")
	fs.StringArrayVar(&p.envFiles, "env-file", nil, "Read environment variables from a file")
	fs.StringArrayVarP(&p.labels, "label", "l", nil, "Set a label, NAME=VALUE")
	fs.StringArrayVar(&p.labelFiles, "label-file", nil, "Read labels from a file")
	fs.StringArrayVar(&p.annotations, "annotation", nil, "Give the OCI runtime an annotation, NAME=VALUE")
	fs.StringArrayVar(&p.groups, "group-add", nil, "Add a group to the user's")
	fs.BoolVarP(&p.interactive, "interactive", "i", false, "Keep stdin open")
	fs.BoolVarP(&p.tty, "tty", "t", false, "Give the container a terminal")
	fs.BoolVar(&p.rm, "rm", false, "Remove the container when it ends")
	fs.BoolVar(&p.init, "init", false, "Run an init that forwards signals and reaps processes")
	fs.StringVarP(&p.user, "user", "u", "", "User and group, NAME|UID[:GROUP|GID]")
	fs.StringVarP(&p.workdir, "workdir", "w", "", "Working directory in the container")
	fs.StringVar(&p.entrypoint, "entrypoint", "", "Replace the image's entry point")
	fs.StringVarP(&p.hostname, "hostname", "h", "", "Host name of the container")
	fs.StringVar(&p.domainname, "domainname", "", "Domain name of the container")
	fs.StringVar(&p.stopSignal, "stop-signal", "", "Signal that stops the container")
	fs.IntVar(&p.stopTimeout, "stop-timeout", 0, "Seconds to wait for it to stop before it is killed")
	fs.StringVar(&p.restart, "restart", "no", "When to restart it: no, on-failure[:TIMES], always, unless-stopped")
}

func (i *isolationFlags) define(fs *pflag.FlagSet) {
	fs.StringArrayVar(&i.capAdd, "cap-add", nil, "Add a Linux capability, or ALL")
	fs.StringArrayVar(&i.capDrop, "cap-drop", nil, "Drop a Linux capability, or ALL")
	fs.StringArrayVar(&i.securityOpts, "security-opt", nil, "seccomp=FILE, seccomp=unconfined, no-new-privileges, systempaths=unconfined")
	fs.StringArrayVar(&i.sysctls, "sysctl", nil, "Set a sysctl of the container's namespaces, NAME=VALUE")
	fs.StringArrayVar(&i.devices, "device", nil, "Give the container a device, HOST[:CONTAINER][:rwm]")
	fs.StringArrayVar(&i.deviceRules, "device-cgroup-rule", nil, "Allow devices, as \"c 1:3 rwm\"")
	fs.BoolVar(&i.privileged, "privileged", false, "All capabilities and devices, no user namespace: root in it is root on the host")
	fs.StringVar(&i.userns, "userns", "", "host: no user namespace, root in it is root on the host")
	fs.StringVar(&i.pid, "pid", "", "PID namespace: host, container:NAME, or a new one if not given")
	fs.StringVar(&i.ipc, "ipc", "", "IPC namespace: private, none, shareable, host or container:NAME")
	fs.StringVar(&i.uts, "uts", "", "UTS namespace: host")
	fs.StringVar(&i.cgroupns, "cgroupns", "", "Cgroup namespace: private or host")
	fs.StringVar(&i.cgroupParent, "cgroup-parent", "", "Parent of the container's cgroup")
}

func (l *limitFlags) define(fs *pflag.FlagSet) {
	fs.StringVarP(&l.memory, "memory", "m", "", "Memory that it can use at most, as 512m")
	fs.StringVar(&l.memorySwap, "memory-swap", "", "Memory and swap together at most; -1 is no limit of swap")
	fs.StringVar(&l.memoryReservation, "memory-reservation", "", "Memory that it keeps when the host runs short")
	fs.Int64Var(&l.swappiness, "memory-swappiness", -1, "How eagerly to swap, 0 to 100")
	fs.StringVar(&l.cpus, "cpus", "", "CPUs that it can use at most, as 1.5")
	fs.Int64VarP(&l.shares, "cpu-shares", "c", 0, "Weight of its CPU time against others' (1024 is normal)")
	fs.Int64Var(&l.period, "cpu-period", 0, "Period of --cpu-quota in microseconds")
	fs.Int64Var(&l.quota, "cpu-quota", 0, "CPU time in each period in microseconds")
	fs.StringVar(&l.cpuset, "cpuset-cpus", "", "CPUs that it runs on, as 0-2,4")
	fs.StringVar(&l.mems, "cpuset-mems", "", "Memory nodes that it uses, as 0,1")
	fs.Int64Var(&l.pids, "pids-limit", 0, "Processes and threads at most; -1 is no limit (4096 if not given)")
	fs.Uint16Var(&l.blkioWeight, "blkio-weight", 0, "Weight of its disk access, 10 to 1000")
	fs.StringArrayVar(&l.weightDevices, "blkio-weight-device", nil, "Weight for one device, /dev/NAME:WEIGHT")
	fs.StringArrayVar(&l.readBps, "device-read-bps", nil, "Bytes a second read from a device, /dev/NAME:10mb")
	fs.StringArrayVar(&l.writeBps, "device-write-bps", nil, "Bytes a second written to a device, /dev/NAME:10mb")
	fs.StringArrayVar(&l.readIOps, "device-read-iops", nil, "Reads a second from a device, /dev/NAME:100")
	fs.StringArrayVar(&l.writeIOps, "device-write-iops", nil, "Writes a second to a device, /dev/NAME:100")
	fs.BoolVar(&l.oomKillDisable, "oom-kill-disable", false, "Halt it instead of killing it when memory runs out")
	fs.IntVar(&l.oomScoreAdj, "oom-score-adj", 0, "How likely the host's OOM killer takes it, -1000 to 1000")
	fs.StringArrayVar(&l.ulimits, "ulimit", nil, "Set a limit of setrlimit(2), NAME=SOFT[:HARD]")
}

func (s *storageFlags) define(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&s.volumes, "volume", "v", nil, "Mount a directory of the host, HOST:CONTAINER[:ro]")
	fs.StringArrayVar(&s.mounts, "mount", nil, "Mount, as type=bind,source=/a,target=/b,readonly")
	fs.StringArrayVar(&s.tmpfs, "tmpfs", nil, "Mount a tmpfs, PATH[:OPTIONS]")
	fs.BoolVar(&s.readOnly, "read-only", false, "Mount the root file system read-only")
	fs.StringVar(&s.shmSize, "shm-size", "", "Size of /dev/shm (64m if not given)")
}
