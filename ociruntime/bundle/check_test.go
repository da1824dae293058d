package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/ociruntime/seccomp"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const minimal = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"linux":{"namespaces":[]}}`

// badConfig is the minimal config with one part replaced.
type badConfig struct{ old, new, want string }

func (b badConfig) config() string { return strings.Replace(minimal, b.old, b.new, 1) }

const (
	process = `"cwd":"/"`
	section = `"namespaces":[]`
	top     = `"ociVersion":"1.0.2"`
	network = `"namespaces":[{"type":"network"}]`
)

// and adds properties to a part.
func and(part, more string) (old, both string) { return part, part + "," + more }

func bad(part, more, want string) badConfig {
	old, both := and(part, more)
	return badConfig{old, both, want}
}

var badConfigs = map[string]badConfig{
	"broken JSON":          {minimal, `{"ociVersion":`, "line 1: ociVersion: the document ends too early"},
	"not an object":        {minimal, `[1]`, "line 1: an object is needed, not an array"},
	"two documents":        {minimal, minimal + minimal, "line 1: text follows the end of the document"},
	"wrong type":           {`["sh"]`, `"sh"`, "line 1: process.args: an array is needed, not a string"},
	"twice":                {top, top + "," + top, `line 1: "ociVersion" is there twice`},
	"other letters":        bad(section, `"Seccomp":{}`, `line 1: linux.Seccomp: unknown property: it is spelled "seccomp"`),
	"zero byte":            {`["sh"]`, `["sh\u0000"]`, `line 1: process.args[0]: a string has the escape "\\u0000": it is unknown or stands for a zero byte`},
	"null":                 {minimal, "null", `ociVersion is missing: write "1.0.0"`},
	"no version":           {top + ",", "", `ociVersion is missing: write "1.0.0"`},
	"bad version":          {`1.0.2`, `one`, `ociVersion "one" is no version: write one such as 1.0.2`},
	"version with zeros":   {`1.0.2`, `1.00.2`, `ociVersion "1.00.2" is no version: write one such as 1.0.2`},
	"old version":          {`1.0.2`, `0.9.0`, `ociVersion 0.9.0 is not supported: versions 1.0 to 1.3 are`},
	"new version":          {`1.0.2`, `1.4.0-dev`, `ociVersion 1.4.0-dev is not supported: versions 1.0 to 1.3 are`},
	"no root":              {`"root":{"path":"rootfs"},`, ``, `root is missing: write "root": {"path": "rootfs"}`},
	"no root path":         {`{"path":"rootfs"}`, `{}`, `root.path is missing: name the directory of the root file system`},
	"no process":           {`"process"`, `"proc"`, `process is missing: it says what to run`},
	"no args":              {`["sh"]`, `[]`, `process.args is empty: give the command to run`},
	"no cwd":               {process + ",", ``, `process.cwd is missing: write "/"`},
	"relative cwd":         {process, `"cwd":"tmp"`, `process.cwd "tmp" is not absolute: start it with /`},
	"env without =":        bad(process, `"env":["A=1","B"]`, `process.env[1] "B" is not of the form NAME=value`),
	"env without name":     bad(process, `"env":["=1"]`, `process.env[0] "=1" is not of the form NAME=value`),
	"uid -1":               {`"uid":0`, `"uid":4294967295`, `process.user.uid 4294967295 is no user's`},
	"uid 2^32":             {`"uid":0`, `"uid":4294967296`, `line 1: process.user.uid: 4294967296 is too large`},
	"gid -1":               {`"gid":0`, `"gid":4294967295`, `process.user.gid 4294967295 is no group's`},
	"additional gid -1":    bad(`"gid":0`, `"additionalGids":[1,4294967295]`, `process.user.additionalGids has 4294967295, which is no group's`),
	"umask":                bad(`"gid":0`, `"umask":512`, `process.user.umask 01000 is above 0777`),
	"consoleSize":          bad(process, `"consoleSize":{"width":65536,"height":1}`, `process.consoleSize 65536 x 1 is above 65535`),
	"unknown rlimit":       bad(process, `"rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]`, `process.rlimits[0].type "RLIMIT_X" is unknown: write one of RLIMIT_AS,`),
	"rlimit twice":         bad(process, `"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_CPU","soft":1,"hard":1}]`, `process.rlimits[1].type RLIMIT_CPU is there twice`),
	"soft above hard":      bad(process, `"rlimits":[{"type":"RLIMIT_CPU","soft":2,"hard":1}]`, `process.rlimits[0] (RLIMIT_CPU): the soft limit 2 is above the hard limit 1`),
	"oomScoreAdj":          bad(process, `"oomScoreAdj":1001`, `process.oomScoreAdj 1001 is not between -1000 and 1000`),
	"ioPriority class":     bad(process, `"ioPriority":{"class":"X","priority":1}`, `process.ioPriority.class "X" is unknown: write IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE`),
	"ioPriority":           bad(process, `"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}`, `process.ioPriority.priority 8 is not between 0 and 7`),
	"scheduler no policy":  bad(process, `"scheduler":{}`, `process.scheduler.policy is missing`),
	"scheduler policy":     bad(process, `"scheduler":{"policy":"SCHED_X"}`, `process.scheduler.policy "SCHED_X" is unknown: write one such as SCHED_OTHER or SCHED_FIFO`),
	"scheduler flag":       bad(process, `"scheduler":{"policy":"SCHED_OTHER","flags":["X"]}`, `process.scheduler.flags: "X" is unknown: write SCHED_FLAG_RESET_ON_FORK,`),
	"scheduler nice":       bad(process, `"scheduler":{"policy":"SCHED_OTHER","nice":20}`, `process.scheduler.nice 20 is not between -20 and 19`),
	"scheduler priority":   bad(process, `"scheduler":{"policy":"SCHED_OTHER","priority":1}`, `process.scheduler.priority is for SCHED_FIFO and SCHED_RR, not for SCHED_OTHER`),
	"scheduler realtime":   bad(process, `"scheduler":{"policy":"SCHED_RR"}`, `process.scheduler.priority 0 is not between 1 and 99, which SCHED_RR needs`),
	"scheduler runtime":    bad(process, `"scheduler":{"policy":"SCHED_RR","priority":1,"runtime":1}`, `process.scheduler: runtime, deadline and period are for SCHED_DEADLINE, not for SCHED_RR`),
	"scheduler deadline":   bad(process, `"scheduler":{"policy":"SCHED_DEADLINE","runtime":2,"deadline":1}`, `process.scheduler: SCHED_DEADLINE needs a runtime above 0`),
	"affinity":             bad(process, `"execCPUAffinity":{"initial":"0-3","final":"3-1"}`, `process.execCPUAffinity.final "3-1" is no list of CPUs such as 0-3,7`),
	"hostname":             bad(top, `"hostname":"a"`, `hostname needs a uts namespace of the container's own: add one to linux.namespaces`),
	"domainname":           bad(top, `"domainname":"a"`, `domainname needs a uts namespace of the container's own: add one to linux.namespaces`),
	"mount no destination": bad(top, `"mounts":[{"type":"proc"}]`, `mounts[0].destination is missing`),
	"mount half mapping":   bad(top, `"mounts":[{"destination":"/x","uidMappings":[{"containerID":0,"hostID":0,"size":1}]}]`, `mounts[0] (/x) has only one of uidMappings and gidMappings: give both`),
	"mount mapping":        bad(top, `"mounts":[{"destination":"/x","uidMappings":[{"size":0}],"gidMappings":[{"size":1}]}]`, `mounts[0] (/x): mappings[0] maps 0 ids from 0 to 0: the size is 0 or they go beyond the last id`),
	"hook no path":         bad(top, `"hooks":{"prestart":[{}]}`, `hooks.prestart[0].path is missing: name the program`),
	"hook path":            bad(top, `"hooks":{"poststop":[{"path":"/a"},{"path":"a"}]}`, `hooks.poststop[1].path "a" is not absolute`),
	"hook timeout":         bad(top, `"hooks":{"startContainer":[{"path":"/a","timeout":-1}]}`, `hooks.startContainer[0].timeout is -1: give seconds above 0, or leave it out`),
	"hook timeout 0":       bad(top, `"hooks":{"createRuntime":[{"path":"/a","timeout":0}]}`, `hooks.createRuntime[0].timeout is 0: give seconds above 0, or leave it out`),
	"annotation":           bad(top, `"annotations":{"":"a"}`, `annotations has an empty name`),
	"unknown namespace":    {section, `"namespaces":[{"type":"net"}]`, `linux.namespaces[0].type "net" is unknown: write cgroup, ipc, mount, network, pid, time, user or uts`},
	"namespace twice":      {section, `"namespaces":[{"type":"pid"},{"type":"pid","path":"/proc/1/ns/pid"}]`, `linux.namespaces[1].type pid is there twice`},
	"namespace path":       {section, `"namespaces":[{"type":"pid","path":"ns"}]`, `linux.namespaces[0] (pid): path "ns" is not absolute`},
	"mapping no userns":    bad(section, `"uidMappings":[{"containerID":0,"hostID":1,"size":1}]`, `linux.uidMappings and linux.gidMappings need a user namespace: add one to linux.namespaces`),
	"userns no mapping":    {section, `"namespaces":[{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":1,"size":1}]`, `a new user namespace needs linux.uidMappings and linux.gidMappings: map at least id 0`},
	"mapping overlaps":     bad(section, `"gidMappings":[{"containerID":0,"hostID":1,"size":10},{"containerID":9,"hostID":100,"size":1}]`, `linux.gidMappings[1] overlaps with linux.gidMappings[0]: an id may be mapped once`),
	"mapping too far":      bad(section, `"uidMappings":[{"containerID":1,"hostID":4294967295,"size":1}]`, `linux.uidMappings[0] maps 1 ids from 1 to 4294967295: the size is 0 or they go beyond the last id`),
	"offsets":              bad(section, `"timeOffsets":{"boottime":{"secs":1}}`, `linux.timeOffsets needs a time namespace: add one to linux.namespaces`),
	"offsets by path":      {section, `"namespaces":[{"type":"time","path":"/proc/1/ns/time"}],"timeOffsets":{"boottime":{"secs":1}}`, `linux.timeOffsets cannot be set in a time namespace that is there already: leave out its path or the offsets`},
	"offsets clock":        {section, `"namespaces":[{"type":"time"}],"timeOffsets":{"realtime":{"secs":1}}`, `linux.timeOffsets: clock "realtime" is unknown: write monotonic or boottime`},
	"offsets nanosecs":     {section, `"namespaces":[{"type":"time"}],"timeOffsets":{"boottime":{"nanosecs":1000000000}}`, `linux.timeOffsets.boottime.nanosecs 1000000000 is a second or more`},
	"sysctl host":          bad(section, `"sysctl":{"vm.swappiness":"1"}`, `linux.sysctl: vm.swappiness is not kept per namespace: it would change the host`),
	"sysctl core_pattern":  bad(section, `"sysctl":{"kernel.core_pattern":"|/x"}`, `linux.sysctl: kernel.core_pattern is not kept per namespace: it would change the host`),
	"sysctl namespace":     bad(section, `"sysctl":{"net.ipv4.ip_forward":"1"}`, `linux.sysctl: net.ipv4.ip_forward needs a network namespace of the container's own: add one to linux.namespaces`),
	"sysctl ipc":           bad(section, `"sysctl":{"fs.mqueue.msg_max":"1"}`, `linux.sysctl: fs.mqueue.msg_max needs a ipc namespace of the container's own: add one to linux.namespaces`),
	"sysctl hostname":      {section, `"namespaces":[{"type":"uts"}],"sysctl":{"kernel.hostname":"1"}`, `linux.sysctl: set kernel.hostname with the property hostname`},
	"sysctl dots":          {section, network + `,"sysctl":{"net/../kernel/core_pattern":"x"}`, `linux.sysctl: "net/../kernel/core_pattern" is no name such as net.ipv4.ip_forward`},
	"sysctl slash dots":    {section, network + `,"sysctl":{"net.//.kernel.core_pattern":"x"}`, `linux.sysctl: "net.//.kernel.core_pattern" is no name such as net.ipv4.ip_forward`},
	"sysctl empty part":    {section, network + `,"sysctl":{"net..ipv4":"x"}`, `linux.sysctl: "net..ipv4" is no name such as net.ipv4.ip_forward`},
	"sysctl plus":          {section, network + `,"sysctl":{"net.ipv4.a+kernel.core_pattern":"x"}`, `linux.sysctl: "net.ipv4.a+kernel.core_pattern" is no name such as net.ipv4.ip_forward`},
	"sysctl two lines":     {section, network + `,"sysctl":{"net.ipv4.ip_forward":"1\n2"}`, `linux.sysctl.net.ipv4.ip_forward: the value "1\n2" has more than one line`},
	"device no path":       bad(section, `"devices":[{"type":"c"}]`, `linux.devices[0].path is missing`),
	"device path":          bad(section, `"devices":[{"type":"c","path":"dev/x"}]`, `linux.devices[0].path "dev/x" is not absolute`),
	"device type":          bad(section, `"devices":[{"type":"x","path":"/dev/x"}]`, `linux.devices[0] (/dev/x): type "x" is unknown: write b, c, u or p`),
	"device number":        bad(section, `"devices":[{"type":"b","path":"/dev/x","major":4096}]`, `linux.devices[0] (/dev/x): 4096:0 is no number of a device`),
	"rule type":            bad(section, `"resources":{"devices":[{"type":"p","access":"r"}]}`, `linux.resources.devices[0].type "p" is unknown: write a, b or c`),
	"rule access":          bad(section, `"resources":{"devices":[{"type":"c","access":"rx"}]}`, `linux.resources.devices[0].access "rx" is unknown: write letters of rwm`),
	"net device":           bad(section, `"netDevices":{"eth0":{}}`, `linux.netDevices needs a network namespace of the container's own: add one to linux.namespaces`),
	"net device name":      {section, network + `,"netDevices":{"eth 0":{}}`, `linux.netDevices: "eth 0" is no name of a network device`},
	"net device long":      {section, network + `,"netDevices":{"eth0":{"name":"1234567890123456"}}`, `linux.netDevices: "1234567890123456" is no name of a network device`},
	"net device empty":     {section, network + `,"netDevices":{"":{"name":"x"}}`, `linux.netDevices: "" is no name of a network device`},
	"net device twice":     {section, network + `,"netDevices":{"eth0":{"name":"x"},"x":{}}`, `linux.netDevices: two devices are to be called "x"`},
	"seccomp default":      bad(section, `"seccomp":{"defaultAction":"ALLOW"}`, `linux.seccomp.defaultAction "ALLOW" is unknown: write SCMP_ACT_ALLOW,`),
	"seccomp arch":         bad(section, `"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","architectures":["X"]}`, `linux.seccomp.architectures[0] "X" is unknown: write one such as SCMP_ARCH_X86_64`),
	"seccomp flag":         bad(section, `"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}`, `linux.seccomp.flags[0] "X" is unknown: write SECCOMP_FILTER_FLAG_LOG,`),
	"seccomp names":        bad(section, `"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ERRNO"}]}`, `linux.seccomp.syscalls[0].names is empty`),
	"seccomp action":       bad(section, `"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"X"}]}`, `linux.seccomp.syscalls[0].action "X" is unknown: write SCMP_ACT_ALLOW,`),
	"seccomp op":           bad(section, `"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","args":[{"op":"X"}]}]}`, `linux.seccomp.syscalls[0].args[0].op "X" is unknown: write SCMP_CMP_EQ,`),
	"masks no mount ns":    bad(section, `"maskedPaths":["/proc/kcore"]`, `linux.maskedPaths and linux.readonlyPaths need a mount namespace of the container's own: add one to linux.namespaces`),
	"mask relative":        {section, `"namespaces":[{"type":"mount"}],"readonlyPaths":["proc"]`, `linux.readonlyPaths[0] "proc" is not absolute`},
	"propagation":          bad(section, `"rootfsPropagation":"x"`, `linux.rootfsPropagation "x" is unknown: write private,`),
	"closID":               bad(section, `"intelRdt":{"closID":"a/../b"}`, `linux.intelRdt.closID "a/../b" is no name of a directory in resctrl`),
	"schema":               bad(section, `"intelRdt":{"l3CacheSchema":"ff"}`, `linux.intelRdt: "ff" is no schema such as L3:0=ff`),
	"memory mode":          bad(section, `"memoryPolicy":{"mode":"X"}`, `linux.memoryPolicy.mode "X" is unknown: write MPOL_BIND,`),
	"memory flag":          bad(section, `"memoryPolicy":{"mode":"MPOL_BIND","flags":["X"]}`, `linux.memoryPolicy.flags: "X" is unknown: write MPOL_F_NUMA_BALANCING,`),
	"memory nodes":         bad(section, `"memoryPolicy":{"mode":"MPOL_BIND","nodes":"a"}`, `linux.memoryPolicy.nodes "a" is no list of nodes such as 0-1,3`),
	"memory no nodes":      bad(section, `"memoryPolicy":{"mode":"MPOL_BIND"}`, `linux.memoryPolicy: MPOL_BIND needs nodes`),
	"memory too many":      bad(section, `"memoryPolicy":{"mode":"MPOL_LOCAL","nodes":"0"}`, `linux.memoryPolicy: MPOL_LOCAL takes no nodes`),
	"personality":          bad(section, `"personality":{"domain":"BSD"}`, `linux.personality.domain "BSD" is unknown: write LINUX or LINUX32`),
	"personality flag":     bad(section, `"personality":{"domain":"LINUX","flags":["X"]}`, `linux.personality.flags: "X" is unknown: there are none yet`),
}

func TestBadConfigs(t *testing.T) {
	for name, c := range badConfigs {
		t.Run(name, func(t *testing.T) {
			config := c.config()
			if config == minimal {
				t.Fatalf("%q is not in the minimal config", c.old)
			}
			_, err := Parse([]byte(config), "/b")
			if err == nil {
				t.Fatalf("accepted: %s", config)
			}
			if want := "config.json of /b: " + c.want; !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s\n got %s\nwant %s", config, err, want)
			}
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%v is not of class ErrInvalidArgument", err)
			}
		})
	}
}

func TestSecurity49Sysctls(t *testing.T) {
	for _, name := range []string{"sysctl two lines", "sysctl plus", "sysctl dots", "sysctl slash dots", "sysctl host", "sysctl core_pattern"} {
		if _, err := Parse([]byte(badConfigs[name].config()), "/b"); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSecurity50UnknownEnumerations(t *testing.T) {
	for _, name := range []string{
		"unknown namespace", "unknown rlimit", "ioPriority class", "scheduler policy", "scheduler flag", "device type", "rule type", "seccomp default",
		"seccomp arch", "seccomp flag", "seccomp action", "seccomp op", "propagation", "memory mode", "memory flag", "personality", "personality flag", "offsets clock",
	} {
		c, ok := badConfigs[name]
		if _, err := Parse([]byte(c.config()), "/b"); !ok || err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestGoodConfigs(t *testing.T) {
	for name, c := range map[string]badConfig{
		"minimal":          {"", "", ""},
		"dev version":      {`1.0.2`, `1.2.1-dev`, ""},
		"rc version":       {`1.0.2`, `1.0.0-rc6`, ""},
		"newest version":   {`1.0.2`, `1.3.0`, ""},
		"unknown property": bad(top, `"com.example":{"a":[1,{"b":null}]}`, ""),
		"other platform":   bad(top, `"windows":{"layerFolders":[]},"vm":{"kernel":{"path":"x"}}`, ""),
		"no linux":         {`,"linux":{"namespaces":[]}`, "", ""},
		"nulls":            bad(top, `"hooks":null,"mounts":null,"hostname":null,"annotations":null`, ""),
		"uts":              {section, `"namespaces":[{"type":"uts"}],"sysctl":{"kernel.domainname":"x"}`, ""},
		"sysctl of vlan":   {section, network + `,"sysctl":{"net/ipv4/conf/eno2.100/rp_filter":"1","net.ipv4.conf.eno2/100.rp_filter":"1"}`, ""},
		"join userns":      {section, `"namespaces":[{"type":"user","path":"/proc/1/ns/user"}]`, ""},
		"deadline":         bad(process, `"scheduler":{"policy":"SCHED_DEADLINE","runtime":1,"deadline":2,"period":3}`, ""),
		"net device":       {section, network + `,"netDevices":{"eth0":{"name":"eth1"},"eth1":{"name":"eth0"}}`, ""},
		"memory policy":    bad(section, `"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0,2-3","flags":["MPOL_F_STATIC_NODES"]}`, ""),
	} {
		b, err := Parse([]byte(c.config()), "/b")
		if err != nil || len(b.Warnings) > 0 {
			t.Errorf("%s: %v, warnings %q", name, err, warningsOf(b))
			continue
		}
		checkAccepted(t, []byte(c.config()), b.Spec)
		if b.Spec.Root.Path != "/b/rootfs" {
			t.Errorf("%s: root.path %q", name, b.Spec.Root.Path)
		}
	}
}

func TestWarnings(t *testing.T) {
	c := bad(top, `"mounts":[{"destination":"data","type":"tmpfs"}]`, "")
	config := strings.Replace(c.config(), process, process+`,"capabilities":{"bounding":["CAP_KILL","CAP_X"],"ambient":["CAP_X"]}`, 1)
	b, err := Parse([]byte(config), "/b")
	if err != nil {
		t.Fatal(err)
	}
	want := `process.capabilities: "CAP_X" is unknown and left out; mounts[0].destination "data" is not absolute: it is taken as /data`
	if got := strings.Join(b.Warnings, "; "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if caps := b.Spec.Process.Capabilities; len(caps.Bounding) != 1 || len(caps.Ambient) != 0 || b.Spec.Mounts[0].Destination != "/data" {
		t.Errorf("got %+v, %+v", caps, b.Spec.Mounts)
	}
}

// A source of a bind is relative to the bundle; another's is but a name.
func TestSources(t *testing.T) {
	config := strings.Replace(minimal, `"linux":`, `"mounts":[{"destination":"/a","source":"x/../y","options":["bind"]},{"destination":"/b","type":"bind","source":"/z"},`+
		`{"destination":"/c","type":"tmpfs","source":"tmpfs"},{"destination":"/d","source":"y","options":["rbind"]}],"linux":`, 1)
	b, err := Parse([]byte(config), "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"/bundle/y", "/z", "tmpfs", "/bundle/y"} {
		if got := b.Spec.Mounts[i].Source; got != want {
			t.Errorf("source of mount %d is %q, want %q", i, got, want)
		}
	}
	none := strings.Replace(config, `"source":"y",`, "", 1)
	if _, err := Parse([]byte(none), "/bundle"); err == nil || !strings.Contains(err.Error(), "(/d) is a bind without a source") {
		t.Errorf("a bind of nothing: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(config string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(want string) {
		t.Helper()
		_, err := Load(dir)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	fails("bundle " + dir + " has no config.json: give the directory that has one with --bundle")
	write(minimal)
	fails("root.path: there is no " + dir + "/rootfs: unpack the root file system there")
	if err := os.WriteFile(dir+"/rootfs", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails("root.path: " + dir + "/rootfs is no directory")
	if err := errors.Join(os.Remove(dir+"/rootfs"), os.Mkdir(dir+"/rootfs", 0o700)); err != nil {
		t.Fatal(err)
	}
	b, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Dir != dir || b.Spec.Root.Path != dir+"/rootfs" || string(b.Config) != minimal {
		t.Errorf("got %+v", b)
	}
	own := strings.Replace(minimal, section, `"namespaces":[{"type":"network","path":"/proc/self/ns/net"}],"sysctl":{"net.ipv4.ip_forward":"1"}`, 1)
	write(own)
	fails("linux.sysctl: net.ipv4.ip_forward would change the host: /proc/self/ns/net is its network namespace")
	write(minimal + strings.Repeat(" ", maxDocument))
	fails("it is larger than 10 MiB")
}

func TestLoadProcess(t *testing.T) {
	path := t.TempDir() + "/process.json"
	for data, want := range map[string]string{
		`{"args":["sh"],"cwd":"/","capabilities":{"effective":["CAP_Y"]}}`: "",
		`{"args":["sh"]}`:          "process document " + path + `: process.cwd is missing: write "/"`,
		`{"args":["sh"],"cwd":1}`:  "process document " + path + `: line 1: cwd: a string is needed, not a number`,
		`{"args":["sh"],"Cwd":""}`: "process document " + path + `: line 1: Cwd: unknown property: it is spelled "cwd"`,
	} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		p, warnings, err := LoadProcess(path)
		switch {
		case want == "" && (err != nil || p.Args[0] != "sh" || len(warnings) != 1):
			t.Errorf("%s: %+v, %q, %v", data, p, warnings, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s: got %v, want %s", data, err, want)
		}
	}
	if _, _, err := LoadProcess(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestReadResources(t *testing.T) {
	l, err := ReadResources(strings.NewReader(`{"memory":{"limit":1048576},"cpu":{"cpus":"0"},"pids":{"limit":-1}}`))
	if err != nil || *l.Memory.Limit != 1<<20 || l.CPU.Cpus != "0" || *l.Pids.Limit != -1 {
		t.Errorf("got %+v, %v", l, err)
	}
	if _, err := ReadResources(strings.NewReader(`{"memory":{"Limit":1}}`)); err == nil {
		t.Error("Limit is accepted")
	}
}

func TestSecurity23ContainerID(t *testing.T) {
	for _, id := range []string{"a", "0", "A_b+c-d.e", "a..b", "-", strings.Repeat("x", maxID)} {
		if err := CheckID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "...", ".a", ".new-x", "../x", "a/b", "/", "a b", "a\n", "a\x00", "é", "a:b", "~", strings.Repeat("x", maxID+1), strings.Repeat("x", 4096)} {
		if err := CheckID(id); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%.20q: %v", id, err)
		} else if len(err.Error()) > 200 {
			t.Errorf("%.20q: the error has %d bytes", id, len(err.Error()))
		}
	}
}

// What is accepted here the compiler takes too.
func TestSeccompNamesAreTheCompilers(t *testing.T) {
	try := func(p specs.LinuxSeccomp) {
		t.Helper()
		if _, err := seccomp.Compile(&p, "amd64"); err != nil {
			t.Error(err)
		}
	}
	for _, a := range SeccompActions() {
		try(specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, ListenerPath: "/run/listener",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"getpid"}, Action: a}},
		})
	}
	for _, op := range SeccompOperators() {
		try(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"getpid"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: op}}},
		}})
	}
	try(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: SeccompArchs(), Flags: SeccompFlags()})
}

func warningsOf(b *Bundle) []string {
	if b == nil {
		return nil
	}
	return b.Warnings
}
