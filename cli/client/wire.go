package client

import (
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
)

// CreateRequest is the body of POST /containers/create: container.CreateRequest
// of moby/moby/api, as far as flags can fill it in.
type CreateRequest struct {
	Config
	HostConfig HostConfig
	// NetworkingConfig has what is asked for in the networks to join; nil if
	// HostConfig.NetworkMode says it all.
	NetworkingConfig *network.NetworkingConfig `json:",omitempty"`
}

// Config is container.Config: what does not depend on the host.
type Config struct {
	Hostname     string              `json:",omitempty"`
	Domainname   string              `json:",omitempty"`
	User         string              `json:",omitempty"`
	AttachStdin  bool                `json:",omitempty"`
	AttachStdout bool                `json:",omitempty"`
	AttachStderr bool                `json:",omitempty"`
	ExposedPorts network.PortSet     `json:",omitempty"`
	Tty          bool                `json:",omitempty"`
	OpenStdin    bool                `json:",omitempty"`
	StdinOnce    bool                `json:",omitempty"`
	Env          []string            `json:",omitempty"`
	Cmd          []string            `json:",omitempty"`
	Image        string              // as the user wrote it
	Volumes      map[string]struct{} `json:",omitempty"`
	WorkingDir   string              `json:",omitempty"`
	Entrypoint   []string            `json:",omitempty"`
	Labels       map[string]string   `json:",omitempty"`
	StopSignal   string              `json:",omitempty"`
	StopTimeout  *int                `json:",omitempty"`
}

// HostConfig is container.HostConfig: what depends on the host.
type HostConfig struct {
	Binds           []string          `json:",omitempty"`
	ContainerIDFile string            `json:",omitempty"`
	NetworkMode     string            `json:",omitempty"` // the first network's name
	PortBindings    network.PortMap   `json:",omitempty"`
	PublishAllPorts bool              `json:",omitempty"`
	RestartPolicy   *RestartPolicy    `json:",omitempty"`
	AutoRemove      bool              `json:",omitempty"`
	ConsoleSize     *[2]uint          `json:",omitempty"` // height, width
	Annotations     map[string]string `json:",omitempty"`

	CapAdd         []string          `json:",omitempty"`
	CapDrop        []string          `json:",omitempty"`
	CgroupnsMode   string            `json:",omitempty"`
	DNS            []string          `json:"Dns,omitempty"`
	DNSOptions     []string          `json:"DnsOptions,omitempty"`
	DNSSearch      []string          `json:"DnsSearch,omitempty"`
	ExtraHosts     []string          `json:",omitempty"`
	GroupAdd       []string          `json:",omitempty"`
	IpcMode        string            `json:",omitempty"`
	OomScoreAdj    int               `json:",omitempty"`
	PidMode        string            `json:",omitempty"`
	Privileged     bool              `json:",omitempty"`
	ReadonlyRootfs bool              `json:",omitempty"`
	SecurityOpt    []string          `json:",omitempty"`
	Tmpfs          map[string]string `json:",omitempty"`
	UTSMode        string            `json:",omitempty"`
	UsernsMode     string            `json:",omitempty"`
	ShmSize        int64             `json:",omitempty"`
	Sysctls        map[string]string `json:",omitempty"`
	Mounts         []mount.Mount     `json:",omitempty"`
	// MaskedPaths and ReadonlyPaths override the default sets; nil leaves them,
	// and an empty set masks nothing.
	MaskedPaths   *[]string `json:",omitempty"`
	ReadonlyPaths *[]string `json:",omitempty"`
	Init          *bool     `json:",omitempty"`

	Resources
}

// Resources is container.Resources: the limits.
type Resources struct {
	CPUShares            int64                      `json:"CpuShares,omitempty"`
	Memory               int64                      `json:",omitempty"` // bytes
	NanoCPUs             int64                      `json:"NanoCpus,omitempty"`
	CgroupParent         string                     `json:",omitempty"`
	BlkioWeight          uint16                     `json:",omitempty"`
	BlkioWeightDevice    []*blkiodev.WeightDevice   `json:",omitempty"`
	BlkioDeviceReadBps   []*blkiodev.ThrottleDevice `json:",omitempty"`
	BlkioDeviceWriteBps  []*blkiodev.ThrottleDevice `json:",omitempty"`
	BlkioDeviceReadIOps  []*blkiodev.ThrottleDevice `json:",omitempty"`
	BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice `json:",omitempty"`
	CPUPeriod            int64                      `json:"CpuPeriod,omitempty"` // microseconds
	CPUQuota             int64                      `json:"CpuQuota,omitempty"`  // microseconds
	CpusetCpus           string                     `json:",omitempty"`
	CpusetMems           string                     `json:",omitempty"`
	Devices              []DeviceMapping            `json:",omitempty"`
	DeviceCgroupRules    []string                   `json:",omitempty"`
	MemoryReservation    int64                      `json:",omitempty"` // bytes
	MemorySwap           int64                      `json:",omitempty"` // bytes; -1: no limit
	MemorySwappiness     *int64                     `json:",omitempty"`
	OomKillDisable       *bool                      `json:",omitempty"`
	PidsLimit            *int64                     `json:",omitempty"`
	Ulimits              []*units.Ulimit            `json:",omitempty"`
}

// RestartPolicy is container.RestartPolicy.
type RestartPolicy struct {
	Name              string
	MaximumRetryCount int `json:",omitempty"`
}

// DeviceMapping is container.DeviceMapping.
type DeviceMapping struct {
	PathOnHost        string
	PathInContainer   string
	CgroupPermissions string
}

// CreateResponse is container.CreateResponse.
type CreateResponse struct {
	ID       string `json:"Id"`
	Warnings []string
}

// WaitResponse is container.WaitResponse.
type WaitResponse struct {
	StatusCode int
	Error      *struct{ Message string }
	// OOMKilled is berth's own addition: a container that removes itself cannot
	// be inspected when it has ended.
	OOMKilled bool
}

// Inspect is the part of container.InspectResponse that commands decide by.
type Inspect struct {
	ID    string `json:"Id"`
	Name  string
	State struct {
		Status     string
		Running    bool
		Paused     bool
		OOMKilled  bool
		ExitCode   int
		Error      string
		StartedAt  string
		FinishedAt string
	}
	Config struct {
		Tty       bool
		OpenStdin bool
		StdinOnce bool
	}
	HostConfig struct {
		AutoRemove bool
		Memory     int64
	}
}

// ExecCreateRequest is container.ExecCreateRequest.
type ExecCreateRequest struct {
	User         string   `json:",omitempty"`
	Privileged   bool     `json:",omitempty"`
	Tty          bool     `json:",omitempty"`
	ConsoleSize  *[2]uint `json:",omitempty"` // height, width
	AttachStdin  bool     `json:",omitempty"`
	AttachStderr bool     `json:",omitempty"`
	AttachStdout bool     `json:",omitempty"`
	DetachKeys   string   `json:",omitempty"`
	Env          []string `json:",omitempty"`
	WorkingDir   string   `json:",omitempty"`
	Cmd          []string
}

// ExecStartRequest is container.ExecStartRequest.
type ExecStartRequest struct {
	Detach      bool
	Tty         bool
	ConsoleSize *[2]uint `json:",omitempty"`
}

// ExecInspect is the part of container.ExecInspectResponse that exec needs.
type ExecInspect struct {
	Running  bool
	ExitCode *int
	Pid      int
}

// IDResponse is common.IDResponse.
type IDResponse struct {
	ID string `json:"Id"`
}
