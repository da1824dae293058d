package spec

import (
	"encoding/json"
	"slices"
	"strings"

	"berth/ociruntime/seccomp"

	profile "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxProfile bounds a profile's text.
const maxProfile = 1 << 20

// setSeccomp sets the profile: the default one, the request's, or none.
func (b *builder) setSeccomp(request string) error {
	switch {
	case request == "unconfined", request == "" && b.HostConfig.Privileged:
		return nil
	case request == "" || request == "builtin":
		p, err := b.resolveProfile(defaultProfile())
		b.spec.Linux.Seccomp = p
		return err
	case len(request) > maxProfile:
		return invalid("the seccomp profile is larger than 1 MiB")
	}
	var custom profile.Seccomp
	if err := json.Unmarshal([]byte(request), &custom); err != nil {
		return invalid("read the seccomp profile: %v", err)
	}
	p, err := b.resolveProfile(&custom)
	if err != nil {
		return err
	}
	if _, err := seccomp.Compile(p, b.Host.Arch); err != nil {
		return invalid("%v", err)
	}
	b.spec.Linux.Seccomp = p
	return nil
}

// socketCall is SYS_SOCKET of socketcall(2) (linux/net.h).
const socketCall = 1

// defaultProfile is Docker's, without its way around the list of socket
// families: 32-bit programs may make sockets by socket(2) only, as C libraries
// have long done, because a filter cannot see for which family socketcall(2)
// is to make one.
func defaultProfile() *profile.Seccomp {
	p := profile.DefaultProfile()
	for _, c := range p.Syscalls {
		c.Names = slices.DeleteFunc(c.Names, func(name string) bool { return name == "socketcall" })
	}
	p.Syscalls = append(p.Syscalls, &profile.Syscall{LinuxSyscall: specs.LinuxSyscall{
		Names: []string{"socketcall"}, Action: specs.ActAllow,
		Args: []specs.LinuxSeccompArg{{Index: 0, Value: socketCall, Op: specs.OpNotEqual}},
	}})
	return p
}

// profileArch gives an architecture's names in profiles.
func profileArch(goarch string) (arch specs.Arch, name string) {
	switch goarch {
	case "arm64":
		return specs.ArchAARCH64, "arm64"
	default:
		return specs.ArchX86_64, "amd64"
	}
}

// resolveProfile keeps the rules that hold for this machine and for the
// container's capabilities.
func (b *builder) resolveProfile(p *profile.Seccomp) (*specs.LinuxSeccomp, error) {
	if len(p.Architectures) > 0 && len(p.ArchMap) > 0 {
		return nil, invalid("the seccomp profile has both architectures and archMap: use one")
	}
	out := p.LinuxSeccomp
	arch, name := profileArch(b.Host.Arch)
	for _, a := range p.ArchMap {
		if a.Arch == arch {
			out.Architectures = append([]specs.Arch{a.Arch}, a.SubArches...)
		}
	}
	out.Syscalls = nil
	for _, c := range p.Syscalls {
		if c == nil {
			continue
		}
		call := c.LinuxSyscall
		if c.Name != "" {
			if len(c.Names) > 0 {
				return nil, invalid("the seccomp profile has a rule with both name and names, %s: use one", c.Name)
			}
			call.Names = []string{c.Name}
		}
		if b.excluded(c.Excludes, name) || !b.included(c.Includes, name) {
			continue
		}
		out.Syscalls = append(out.Syscalls, call)
	}
	return &out, nil
}

func (b *builder) excluded(f *profile.Filter, arch string) bool {
	return f != nil && (slices.Contains(f.Arches, arch) || slices.ContainsFunc(f.Caps, b.bounded) ||
		f.MinKernel != nil && b.Host.Kernel.atLeast(*f.MinKernel))
}

func (b *builder) included(f *profile.Filter, arch string) bool {
	return f == nil || (len(f.Arches) == 0 || slices.Contains(f.Arches, arch)) &&
		!slices.ContainsFunc(f.Caps, func(c string) bool { return !b.bounded(c) }) &&
		(f.MinKernel == nil || b.Host.Kernel.atLeast(*f.MinKernel))
}

func (b *builder) bounded(c string) bool {
	return slices.Contains(b.spec.Process.Capabilities.Bounding, strings.ToUpper(c))
}

func (k Kernel) atLeast(v profile.KernelVersion) bool {
	return uint64(k.Major) > v.Kernel || uint64(k.Major) == v.Kernel && uint64(k.Minor) >= v.Major
}
