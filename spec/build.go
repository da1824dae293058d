package spec

import (
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Input is all that a spec is made of.
type Input struct {
	// ID is the container's id; its first 12 digits are the default host name.
	ID string
	// Image is the image's configuration. Its labels never reach the spec.
	Image ocispec.ImageConfig
	// Config and HostConfig are the request.
	Config     *container.Config
	HostConfig *container.HostConfig
	// User is what ResolveUser found for Config.User.
	User User
	// IDs is the container's range of host ids. It is not used if the request
	// opts out of user namespaces, see [OwnIDs].
	IDs IDRange
	// Files are bound over those of the image; an empty path leaves one out.
	Files Files
	// Mounts are those of [Mounts] with the sources of volumes filled in. Nil:
	// Build asks Mounts itself, and a volume is an error.
	Mounts []Mount
	// Namespaces are paths of existing namespaces to join, for the modes
	// "container:..." and for a network that is prepared in advance.
	Namespaces map[specs.LinuxNamespaceType]string
	// CgroupsPath is the container's cgroup below the cgroup mount.
	CgroupsPath string
	// Host says what the machine has.
	Host Host
}

// IDRange is a range of ids on the host, in which the container's 0 is the
// first. Size 0 is the host's user namespace.
type IDRange struct{ Host, Size uint32 }

// Files are paths on the host.
type Files struct{ Hosts, Hostname, ResolvConf string }

// Host is what a spec depends on of the machine.
type Host struct {
	Arch         string   // in Go's naming
	Kernel       Kernel   // its release
	Hostname     string   // for --network host
	CgroupV2     bool     // limits are applied by cgroup v2
	SwapLimit    bool     // swap can be limited
	CPUs         int      // online processors
	CPUSet       string   // which, as in "0-3"; empty: unknown
	MemoryNodes  string   // NUMA nodes, as in "0"; empty: unknown
	Memory       int64    // bytes
	Capabilities []string // the bounding set, "CAP_CHOWN"; nil: all that are known
	// MessageQueues is set if the host has its message queues at /dev/mqueue.
	MessageQueues bool
	Masked        []string // further paths to mask, those that only some machines have
	AppArmor      bool
	SELinux       bool
	// Rootless: berthd is an ordinary user's. There are no cgroups for its containers,
	// and all have the ids of its own user namespace.
	Rootless bool
	// Devices tells the device nodes at a path: the node itself or all below a
	// directory. Nil: none can be found.
	Devices func(path string) ([]specs.LinuxDevice, error)
}

// Kernel is the release of a Linux kernel, as in 6.1.
type Kernel struct{ Major, Minor uint }

// OwnIDs reports whether a container gets an id range of its own: unless it
// opts out with --userns host or --privileged.
func OwnIDs(h *container.HostConfig) bool {
	return !h.UsernsMode.IsHost() && !h.Privileged
}

// builder carries the request through the steps of Build.
type builder struct {
	Input
	cfg    container.Config // merged with the image's
	userns bool
	spec   *specs.Spec
}

// Build makes the spec. Its Root.Path is "rootfs": the caller mounts the
// container's root itself or replaces the path.
func Build(in Input) (*specs.Spec, error) {
	if in.Config == nil {
		in.Config = &container.Config{}
	}
	if in.HostConfig == nil {
		in.HostConfig = &container.HostConfig{}
	}
	b := &builder{
		Input:  in,
		cfg:    Merge(in.Image, *in.Config),
		userns: in.IDs.Size > 0 && OwnIDs(in.HostConfig),
		spec: &specs.Spec{
			Version: specs.Version,
			Root:    &specs.Root{Path: "rootfs", Readonly: in.HostConfig.ReadonlyRootfs},
			Process: &specs.Process{},
			Linux:   &specs.Linux{CgroupsPath: in.CgroupsPath, Resources: &specs.LinuxResources{}},
		},
	}
	for _, step := range []func() error{
		b.checkSupported,
		b.setNames,
		b.setProcess,
		b.setUser,
		b.setNamespaces,
		b.setCapabilities,
		b.setRlimits,
		b.setMounts,
		b.setDevices,
		b.setResources,
		b.setSysctls,
		b.setSecurity, // last: the seccomp profile depends on the capabilities
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.spec, nil
}

// invalid is an error of the request.
func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// checkSupported refuses what Build would otherwise leave out silently.
func (b *builder) checkSupported() error {
	h := b.HostConfig
	for _, o := range []struct {
		set  bool
		what string
	}{
		{h.Init != nil && *h.Init, "--init is not supported yet: start the command with an init of the image, such as tini"},
		{h.Runtime != "", fmt.Sprintf("unknown runtime %q: berth runs containers itself, leave --runtime out", h.Runtime)},
		{h.CgroupParent != "", "--cgroup-parent is not supported yet"},
		{h.Cgroup != "", "sharing another container's cgroup is not supported"},
		{len(h.StorageOpt) > 0, "--storage-opt is not supported yet"},
		{len(h.VolumesFrom) > 0, "--volumes-from is not supported yet"},
		{len(h.Links) > 0, "--link is not supported: use a network"},
		{len(h.DeviceRequests) > 0, "--gpus and other device requests are not supported yet"},
		{h.VolumeDriver != "" && h.VolumeDriver != "local", fmt.Sprintf("unknown volume driver %q: only local is there", h.VolumeDriver)},
		{!h.Isolation.IsDefault(), fmt.Sprintf("isolation %q is for Windows", h.Isolation)},
		{h.CPUCount != 0 || h.CPUPercent != 0 || h.IOMaximumIOps != 0 || h.IOMaximumBandwidth != 0, "CpuCount, CpuPercent, IOMaximumIOps and IOMaximumBandwidth are for Windows"},
	} {
		if o.set {
			return invalid("%s", o.what)
		}
	}
	return nil
}

// maxHostname is the kernel's limit (__NEW_UTS_LEN).
const maxHostname = 64

// setNames sets the host and domain name.
func (b *builder) setNames() error {
	h := b.HostConfig
	if h.UTSMode.IsHost() {
		if b.Config.Hostname != "" || b.Config.Domainname != "" {
			return invalid("--hostname cannot be set with --uts host: it would change the host's")
		}
		return nil
	}
	for _, n := range []struct{ what, name string }{{"host", b.cfg.Hostname}, {"domain", b.cfg.Domainname}} {
		if len(n.name) > maxHostname || strings.ContainsAny(n.name, "\x00\n/ \t") {
			return invalid("invalid %s name %q: at most %d characters without spaces or slashes", n.what, n.name, maxHostname)
		}
	}
	b.spec.Hostname, b.spec.Domainname = b.hostname(), b.cfg.Domainname
	return nil
}

func (b *builder) hostname() string {
	switch {
	case b.cfg.Hostname != "":
		return b.cfg.Hostname
	case b.HostConfig.NetworkMode.IsHost() && b.Host.Hostname != "":
		return b.Host.Hostname
	}
	return b.ID[:min(12, len(b.ID))]
}

// setProcess sets the command, its environment, directory and terminal.
func (b *builder) setProcess() error {
	p := b.spec.Process
	p.Args = Command(b.cfg)
	if len(p.Args) == 0 {
		return invalid("no command specified: the image has none, add one after the image's name")
	}
	for _, a := range p.Args {
		if strings.ContainsRune(a, 0) {
			return invalid("argument %q contains a NUL", a)
		}
	}
	p.Cwd = b.cfg.WorkingDir
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if !path.IsAbs(p.Cwd) || strings.ContainsRune(p.Cwd, 0) {
		return invalid("the working directory %q is not an absolute path", p.Cwd)
	}
	p.Cwd = path.Clean(p.Cwd)
	p.Terminal = b.cfg.Tty
	if size := b.HostConfig.ConsoleSize; p.Terminal && size != [2]uint{} {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	if adj := b.HostConfig.OomScoreAdj; adj != 0 {
		if adj < -1000 || adj > 1000 {
			return invalid("--oom-score-adj %d is not between -1000 and 1000", adj)
		}
		p.OOMScoreAdj = &adj
	}
	b.spec.Annotations = b.HostConfig.Annotations
	var err error
	p.Env, err = b.environment()
	return err
}
