package archtest

import "strings"

// room is a directory with a level. Code imports downwards only; rooms of one
// level do not import each other.
type room struct {
	dir   string
	level int
	name  string // the level as cards write it
}

// rooms is DESIGN.md section 3. The longest dir that matches counts.
func rooms() []room {
	return []room{
		{"cmd", 6, "L5"},
		{"bench", 6, "L5"},
		{"test", 6, "L5"},
		{"image/toolbox/mk", 6, "L5"},
		{"cli", 5, "L4"},
		{"api/docker", 5, "L4"},
		{"api/cri", 5, "L4"},
		{"api/runc", 5, "L4"},
		{"build", 5, "L4"},
		{"engine", 4, "L3"},
		{"image", 3, "L2"},
		{"container", 3, "L2"},
		{"network", 3, "L2"},
		{"volume", 3, "L2"},
		{"events", 3, "L2"},
		{"spec", 2, "L1"},
		{"registry", 2, "L1"},
		{"content", 2, "L1"},
		{"layer", 2, "L1"},
		{"snapshot", 2, "L1"},
		{"ociruntime", 1, "R"},
		{"internal", 0, "L0"},
	}
}

// roomOf finds the room that a directory belongs to.
func roomOf(dir string) (room, bool) {
	var best room
	for _, r := range rooms() {
		if under(dir, r.dir) && len(r.dir) > len(best.dir) {
			best = r
		}
	}
	return best, best.dir != ""
}

// ban forbids an import although the levels allow it.
type ban struct {
	from, to string
	why      string
}

func bans() []ban {
	const clientOnly = "the CLI talks to berthd over its API and starts in a millisecond"
	var all []ban
	for _, to := range []string{
		"engine", "image", "container", "network", "volume", "events",
		"spec", "registry", "content", "layer", "snapshot", "ociruntime",
	} {
		all = append(all, ban{"cli", to, clientOnly}, ban{"cmd/berth", to, clientOnly})
	}
	for _, to := range []string{"image", "network", "volume", "registry", "content", "layer", "snapshot", "ociruntime"} {
		all = append(all, ban{"api/docker", to, "a handler calls one verb of the engine, through an interface of its own"})
	}
	for _, to := range []string{
		"engine", "image", "container", "network", "volume", "events", "spec", "registry", "content", "layer", "snapshot",
		"ociruntime/lifecycle", "ociruntime/program",
	} {
		all = append(all, ban{"api/runc", to, "a short process without a daemon: everything is asked of ociruntime/standalone"})
	}
	return all
}

// library is a module from elsewhere and the rooms that may import it.
type library struct {
	path  string // import path or a prefix of one
	rooms string // directories, separated by spaces; * is every room
	tests bool   // test files of every room may import it too
	why   string
}

// libraries is DEPENDENCIES.md as a table. The longest path that matches counts.
func libraries() []library {
	return []library{
		{"golang.org/x/sys/unix", "internal/linux", false, "one room speaks to the kernel"},
		{"github.com/opencontainers/runtime-spec", "*", true, "the runtime's types, used as they are"},
		{"github.com/opencontainers/image-spec", "image registry content layer engine spec api/docker test", true, "the image's types, used as they are"},
		{"github.com/opencontainers/go-digest", "image registry content layer snapshot engine api/docker test", true, "compiles a regexp at start: not in berth"},
		{"github.com/distribution/reference", "image registry engine api/docker", true, "costs 0.9 ms at start: berthd only"},
		{"github.com/containerd/containerd/v2", "registry", false, "the registry client; its only importer"},
		{"github.com/containerd/log", "registry", false, "the registry client's logger, to hand it ours"},
		{"github.com/sirupsen/logrus", "registry", false, "the registry client's logger, to hand it ours"},
		{"github.com/containerd/platforms", "image", false, "platform choice is the image room's"},
		{"github.com/containerd/errdefs", "*", true, "error classes"},
		{"github.com/docker/docker-credential-helpers", "registry", false, "credentials are the registry's"},
		{"github.com/klauspost/compress", "layer content", true, "compression of layers and of saved images"},
		{"github.com/moby/moby/api", "api cli engine cmd test container events image network spec volume", true, "the API's types, used as they are"},
		{"github.com/moby/moby/client/pkg/jsonmessage", "cli", false, "docker's progress output"},
		{"github.com/moby/docker-image-spec", "engine", true, "a type inside moby/moby/api's"},
		{"github.com/moby/profiles/seccomp", "spec ociruntime/seccomp bench", true, "the default profile"},
		{"github.com/moby/sys/capability", "internal/linux ociruntime", true, "capability names and sets"},
		{"github.com/moby/sys/mountinfo", "internal/linux ociruntime", true, "the mount table"},
		{"github.com/moby/sys/user", "internal/linux ociruntime spec container engine", true, "passwd and group files"},
		{"github.com/moby/term", "cli api/docker", true, "escape keys: the client's and those of attach"},
		{"github.com/cyphar/filepath-securejoin", "internal/linux", false, "safe paths are internal/linux's"},
		{"github.com/docker/go-units", "cli api/docker api/runc engine container", true, "sizes and times as docker writes them"},
		{"github.com/spf13/pflag", "cli cmd", true, "flags of the commands"},
		{"github.com/spf13/cobra", "cli cmd", false, "help and completion only"},
		{"golang.org/x/term", "cli cmd internal ociruntime/console", true, "terminals"},
		{"golang.org/x/sync", "*", true, "errgroup, singleflight, semaphore"},
		{"github.com/vishvananda/netlink", "network/bridge", false, "rtnetlink and conntrack: one room makes links"},
		{"github.com/google/nftables", "network/firewall", false, "one table of rules, one room"},
		{"github.com/containernetworking/cni", "network/cni", false, "plugins are called by one room"},
		{"gvisor.dev/gvisor", "network/usermode", false, "a stack of TCP/IP in the process, for ordinary users"},
		{"github.com/miekg/dns", "network/dns", true, "DNS messages and servers"},
		{"golang.org/x/net/bpf", "ociruntime/seccomp network/capture", true, "filters of captured packets; the BPF machine that tests compiled filters"},
		{"github.com/google/go-cmp", "", true, "tests only"},
		{"github.com/google/go-containerregistry", "", true, "a registry in memory, tests only"},
		{"github.com/rogpeppe/go-internal", "test", true, "scripts of CLI sessions, tests only"},
	}
}

// Budgets of size. A wanted size is smaller: STYLE.md, rules 5 and 6.
const (
	maxFileLines     = 600
	maxFuncLines     = 100
	maxPackageLines  = 2500 // without tests
	maxPackageFiles  = 20   // without tests
	maxInRepoImports = 15
)

// manyImports are the directories whose work is to join rooms.
func manyImports(dir string) bool {
	return under(dir, "engine") || under(dir, "ociruntime/standalone") || under(dir, "cmd") || under(dir, "test") || under(dir, "bench")
}

// longFunctions may be longer than the budget, each with its reason.
func longFunctions() map[string]string { return map[string]string{} }

// forbiddenNames are package names that say nothing.
func forbiddenNames() []string {
	return []string{"util", "utils", "common", "helper", "helpers", "type", "types", "manager", "misc", "base", "shared"}
}

// forbiddenCall is a function that no code outside of tests calls.
type forbiddenCall struct {
	pkg, name string
	except    string // directories, separated by spaces
	tests     bool   // test files may not either
	instead   string
}

func forbiddenCalls() []forbiddenCall {
	const is = "test the error with errors.Is: it sees through wrapping"
	const raw = "add a wrapper to internal/linux"
	return []forbiddenCall{
		{"time", "Sleep", "", false, "wait for the event itself, with a deadline"},
		{"os", "IsNotExist", "", true, is},
		{"os", "IsExist", "", true, is},
		{"os", "IsPermission", "", true, is},
		{"os", "IsTimeout", "", true, is},
		{"context", "TODO", "", true, "take the caller's context"},
		{"syscall", "Syscall", "internal/linux", false, raw},
		{"syscall", "Syscall6", "internal/linux", false, raw},
		{"syscall", "RawSyscall", "internal/linux", false, raw},
		{"syscall", "RawSyscall6", "internal/linux", false, raw},
	}
}

// listed says whether dir is one of the directories of list or below one.
func listed(dir, list string) bool {
	for _, d := range strings.Fields(list) {
		if d == "*" || under(dir, d) {
			return true
		}
	}
	return false
}
