package bundle

import (
	"strings"

	"berth/internal/jsonscan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The functions below read one type of the runtime specification each, all that
// Linux has. What other platforms have is skipped.

func readSpec(r *jsonscan.Reader, s *specs.Spec) {
	for key := range r.Members() {
		switch key {
		case "ociVersion":
			jsonscan.String(r, &s.Version)
		case "process":
			jsonscan.Ptr(r, &s.Process, readProcess)
		case "root":
			jsonscan.Ptr(r, &s.Root, readRoot)
		case "hostname":
			jsonscan.String(r, &s.Hostname)
		case "domainname":
			jsonscan.String(r, &s.Domainname)
		case "mounts":
			jsonscan.List(r, &s.Mounts, readMount)
		case "hooks":
			jsonscan.Ptr(r, &s.Hooks, readHooks)
		case "annotations":
			jsonscan.Map(r, &s.Annotations, jsonscan.String[string])
		case "linux":
			jsonscan.Ptr(r, &s.Linux, readLinux)
		default:
			skip(r, key)
		}
	}
}

// skip goes past a property that is not in the specification, as it demands of
// runtimes. One that is only spelled in other letters is refused: "Seccomp"
// must not mean no seccomp.
func skip(r *jsonscan.Reader, key string) {
	lower := strings.ToLower(key)
	for _, name := range properties {
		if strings.ToLower(name) == lower && name != key {
			r.Fail("unknown property: it is spelled %q", name)
			return
		}
	}
	r.Skip()
}

func readProcess(r *jsonscan.Reader, p *specs.Process) {
	for key := range r.Members() {
		switch key {
		case "terminal":
			jsonscan.Bool(r, &p.Terminal)
		case "consoleSize":
			jsonscan.Ptr(r, &p.ConsoleSize, readBox)
		case "user":
			readUser(r, &p.User)
		case "args":
			jsonscan.Strings(r, &p.Args)
		case "env":
			jsonscan.Strings(r, &p.Env)
		case "cwd":
			jsonscan.String(r, &p.Cwd)
		case "capabilities":
			jsonscan.Ptr(r, &p.Capabilities, readCapabilities)
		case "rlimits":
			jsonscan.List(r, &p.Rlimits, readRlimit)
		case "noNewPrivileges":
			jsonscan.Bool(r, &p.NoNewPrivileges)
		case "apparmorProfile":
			jsonscan.String(r, &p.ApparmorProfile)
		case "oomScoreAdj":
			jsonscan.Ptr(r, &p.OOMScoreAdj, jsonscan.Int[int])
		case "scheduler":
			jsonscan.Ptr(r, &p.Scheduler, readScheduler)
		case "selinuxLabel":
			jsonscan.String(r, &p.SelinuxLabel)
		case "ioPriority":
			jsonscan.Ptr(r, &p.IOPriority, readIOPriority)
		case "execCPUAffinity":
			jsonscan.Ptr(r, &p.ExecCPUAffinity, readAffinity)
		default:
			skip(r, key)
		}
	}
}

func readBox(r *jsonscan.Reader, b *specs.Box) {
	for key := range r.Members() {
		switch key {
		case "height":
			jsonscan.Uint(r, &b.Height)
		case "width":
			jsonscan.Uint(r, &b.Width)
		default:
			skip(r, key)
		}
	}
}

func readUser(r *jsonscan.Reader, u *specs.User) {
	for key := range r.Members() {
		switch key {
		case "uid":
			jsonscan.Uint(r, &u.UID)
		case "gid":
			jsonscan.Uint(r, &u.GID)
		case "umask":
			jsonscan.Ptr(r, &u.Umask, jsonscan.Uint[uint32])
		case "additionalGids":
			jsonscan.List(r, &u.AdditionalGids, jsonscan.Uint[uint32])
		case "username":
			jsonscan.String(r, &u.Username)
		default:
			skip(r, key)
		}
	}
}

func readCapabilities(r *jsonscan.Reader, c *specs.LinuxCapabilities) {
	for key := range r.Members() {
		switch key {
		case "bounding":
			jsonscan.Strings(r, &c.Bounding)
		case "effective":
			jsonscan.Strings(r, &c.Effective)
		case "inheritable":
			jsonscan.Strings(r, &c.Inheritable)
		case "permitted":
			jsonscan.Strings(r, &c.Permitted)
		case "ambient":
			jsonscan.Strings(r, &c.Ambient)
		default:
			skip(r, key)
		}
	}
}

func readRlimit(r *jsonscan.Reader, l *specs.POSIXRlimit) {
	for key := range r.Members() {
		switch key {
		case "type":
			jsonscan.String(r, &l.Type)
		case "hard":
			jsonscan.Uint(r, &l.Hard)
		case "soft":
			jsonscan.Uint(r, &l.Soft)
		default:
			skip(r, key)
		}
	}
}

func readScheduler(r *jsonscan.Reader, s *specs.Scheduler) {
	for key := range r.Members() {
		switch key {
		case "policy":
			jsonscan.String(r, &s.Policy)
		case "nice":
			jsonscan.Int(r, &s.Nice)
		case "priority":
			jsonscan.Int(r, &s.Priority)
		case "flags":
			jsonscan.Strings(r, &s.Flags)
		case "runtime":
			jsonscan.Uint(r, &s.Runtime)
		case "deadline":
			jsonscan.Uint(r, &s.Deadline)
		case "period":
			jsonscan.Uint(r, &s.Period)
		default:
			skip(r, key)
		}
	}
}

func readIOPriority(r *jsonscan.Reader, p *specs.LinuxIOPriority) {
	for key := range r.Members() {
		switch key {
		case "class":
			jsonscan.String(r, &p.Class)
		case "priority":
			jsonscan.Int(r, &p.Priority)
		default:
			skip(r, key)
		}
	}
}

func readAffinity(r *jsonscan.Reader, a *specs.CPUAffinity) {
	for key := range r.Members() {
		switch key {
		case "initial":
			jsonscan.String(r, &a.Initial)
		case "final":
			jsonscan.String(r, &a.Final)
		default:
			skip(r, key)
		}
	}
}

func readRoot(r *jsonscan.Reader, root *specs.Root) {
	for key := range r.Members() {
		switch key {
		case "path":
			jsonscan.String(r, &root.Path)
		case "readonly":
			jsonscan.Bool(r, &root.Readonly)
		default:
			skip(r, key)
		}
	}
}

func readMount(r *jsonscan.Reader, m *specs.Mount) {
	for key := range r.Members() {
		switch key {
		case "destination":
			jsonscan.String(r, &m.Destination)
		case "type":
			jsonscan.String(r, &m.Type)
		case "source":
			jsonscan.String(r, &m.Source)
		case "options":
			jsonscan.Strings(r, &m.Options)
		case "uidMappings":
			jsonscan.List(r, &m.UIDMappings, readMapping)
		case "gidMappings":
			jsonscan.List(r, &m.GIDMappings, readMapping)
		default:
			skip(r, key)
		}
	}
}

func readMapping(r *jsonscan.Reader, m *specs.LinuxIDMapping) {
	for key := range r.Members() {
		switch key {
		case "containerID":
			jsonscan.Uint(r, &m.ContainerID)
		case "hostID":
			jsonscan.Uint(r, &m.HostID)
		case "size":
			jsonscan.Uint(r, &m.Size)
		default:
			skip(r, key)
		}
	}
}

func readHooks(r *jsonscan.Reader, h *specs.Hooks) {
	for key := range r.Members() {
		switch key {
		case "prestart":
			jsonscan.List(r, &h.Prestart, readHook) //nolint:staticcheck // engines still set it
		case "createRuntime":
			jsonscan.List(r, &h.CreateRuntime, readHook)
		case "createContainer":
			jsonscan.List(r, &h.CreateContainer, readHook)
		case "startContainer":
			jsonscan.List(r, &h.StartContainer, readHook)
		case "poststart":
			jsonscan.List(r, &h.Poststart, readHook)
		case "poststop":
			jsonscan.List(r, &h.Poststop, readHook)
		default:
			skip(r, key)
		}
	}
}

func readHook(r *jsonscan.Reader, h *specs.Hook) {
	for key := range r.Members() {
		switch key {
		case "path":
			jsonscan.String(r, &h.Path)
		case "args":
			jsonscan.Strings(r, &h.Args)
		case "env":
			jsonscan.Strings(r, &h.Env)
		case "timeout":
			jsonscan.Ptr(r, &h.Timeout, jsonscan.Int[int])
		default:
			skip(r, key)
		}
	}
}
