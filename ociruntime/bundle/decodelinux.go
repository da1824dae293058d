package bundle

import (
	"os"

	"berth/internal/jsonscan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func readLinux(r *jsonscan.Reader, l *specs.Linux) {
	for key := range r.Members() {
		switch key {
		case "uidMappings":
			jsonscan.List(r, &l.UIDMappings, readMapping)
		case "gidMappings":
			jsonscan.List(r, &l.GIDMappings, readMapping)
		case "sysctl":
			jsonscan.Map(r, &l.Sysctl, jsonscan.String[string])
		case "resources":
			jsonscan.Ptr(r, &l.Resources, readResources)
		case "cgroupsPath":
			jsonscan.String(r, &l.CgroupsPath)
		case "namespaces":
			jsonscan.List(r, &l.Namespaces, readNamespace)
		case "devices":
			jsonscan.List(r, &l.Devices, readDevice)
		case "netDevices":
			jsonscan.Map(r, &l.NetDevices, readNetDevice)
		case "seccomp":
			jsonscan.Ptr(r, &l.Seccomp, readSeccomp)
		case "rootfsPropagation":
			jsonscan.String(r, &l.RootfsPropagation)
		case "maskedPaths":
			jsonscan.Strings(r, &l.MaskedPaths)
		case "readonlyPaths":
			jsonscan.Strings(r, &l.ReadonlyPaths)
		case "mountLabel":
			jsonscan.String(r, &l.MountLabel)
		case "intelRdt":
			jsonscan.Ptr(r, &l.IntelRdt, readIntelRdt)
		case "memoryPolicy":
			jsonscan.Ptr(r, &l.MemoryPolicy, readMemoryPolicy)
		case "personality":
			jsonscan.Ptr(r, &l.Personality, readPersonality)
		case "timeOffsets":
			jsonscan.Map(r, &l.TimeOffsets, readTimeOffset)
		default:
			skip(r, key)
		}
	}
}

func readNamespace(r *jsonscan.Reader, n *specs.LinuxNamespace) {
	for key := range r.Members() {
		switch key {
		case "type":
			jsonscan.String(r, &n.Type)
		case "path":
			jsonscan.String(r, &n.Path)
		default:
			skip(r, key)
		}
	}
}

func readDevice(r *jsonscan.Reader, d *specs.LinuxDevice) {
	for key := range r.Members() {
		switch key {
		case "path":
			jsonscan.String(r, &d.Path)
		case "type":
			jsonscan.String(r, &d.Type)
		case "major":
			jsonscan.Int(r, &d.Major)
		case "minor":
			jsonscan.Int(r, &d.Minor)
		case "fileMode":
			jsonscan.Ptr(r, &d.FileMode, jsonscan.Uint[os.FileMode])
		case "uid":
			jsonscan.Ptr(r, &d.UID, jsonscan.Uint[uint32])
		case "gid":
			jsonscan.Ptr(r, &d.GID, jsonscan.Uint[uint32])
		default:
			skip(r, key)
		}
	}
}

func readNetDevice(r *jsonscan.Reader, d *specs.LinuxNetDevice) {
	for key := range r.Members() {
		switch key {
		case "name":
			jsonscan.String(r, &d.Name)
		default:
			skip(r, key)
		}
	}
}

func readSeccomp(r *jsonscan.Reader, s *specs.LinuxSeccomp) {
	for key := range r.Members() {
		switch key {
		case "defaultAction":
			jsonscan.String(r, &s.DefaultAction)
		case "defaultErrnoRet":
			jsonscan.Ptr(r, &s.DefaultErrnoRet, jsonscan.Uint[uint])
		case "architectures":
			jsonscan.Strings(r, &s.Architectures)
		case "flags":
			jsonscan.Strings(r, &s.Flags)
		case "listenerPath":
			jsonscan.String(r, &s.ListenerPath)
		case "listenerMetadata":
			jsonscan.String(r, &s.ListenerMetadata)
		case "syscalls":
			jsonscan.List(r, &s.Syscalls, readSyscall)
		default:
			skip(r, key)
		}
	}
}

func readSyscall(r *jsonscan.Reader, s *specs.LinuxSyscall) {
	for key := range r.Members() {
		switch key {
		case "names":
			jsonscan.Strings(r, &s.Names)
		case "action":
			jsonscan.String(r, &s.Action)
		case "errnoRet":
			jsonscan.Ptr(r, &s.ErrnoRet, jsonscan.Uint[uint])
		case "args":
			jsonscan.List(r, &s.Args, readSyscallArg)
		default:
			skip(r, key)
		}
	}
}

func readSyscallArg(r *jsonscan.Reader, a *specs.LinuxSeccompArg) {
	for key := range r.Members() {
		switch key {
		case "index":
			jsonscan.Uint(r, &a.Index)
		case "value":
			jsonscan.Uint(r, &a.Value)
		case "valueTwo":
			jsonscan.Uint(r, &a.ValueTwo)
		case "op":
			jsonscan.String(r, &a.Op)
		default:
			skip(r, key)
		}
	}
}

func readIntelRdt(r *jsonscan.Reader, i *specs.LinuxIntelRdt) {
	for key := range r.Members() {
		switch key {
		case "closID":
			jsonscan.String(r, &i.ClosID)
		case "schemata":
			jsonscan.Strings(r, &i.Schemata)
		case "l3CacheSchema":
			jsonscan.String(r, &i.L3CacheSchema)
		case "memBwSchema":
			jsonscan.String(r, &i.MemBwSchema)
		case "enableMonitoring":
			jsonscan.Bool(r, &i.EnableMonitoring)
		default:
			skip(r, key)
		}
	}
}

func readMemoryPolicy(r *jsonscan.Reader, m *specs.LinuxMemoryPolicy) {
	for key := range r.Members() {
		switch key {
		case "mode":
			jsonscan.String(r, &m.Mode)
		case "nodes":
			jsonscan.String(r, &m.Nodes)
		case "flags":
			jsonscan.Strings(r, &m.Flags)
		default:
			skip(r, key)
		}
	}
}

func readPersonality(r *jsonscan.Reader, p *specs.LinuxPersonality) {
	for key := range r.Members() {
		switch key {
		case "domain":
			jsonscan.String(r, &p.Domain)
		case "flags":
			jsonscan.Strings(r, &p.Flags)
		default:
			skip(r, key)
		}
	}
}

func readTimeOffset(r *jsonscan.Reader, t *specs.LinuxTimeOffset) {
	for key := range r.Members() {
		switch key {
		case "secs":
			jsonscan.Int(r, &t.Secs)
		case "nanosecs":
			jsonscan.Uint(r, &t.Nanosecs)
		default:
			skip(r, key)
		}
	}
}
