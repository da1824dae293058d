package networks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"berth/container"
	"berth/container/hostfiles"
	"berth/internal/cleanup"
	"berth/internal/linux/netns"
	"berth/network/cni"
	"berth/network/portmap"
	"berth/spec"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	mnetwork "github.com/moby/moby/api/types/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pluginPrefix begins the mode of a network that CNI plugins make.
const pluginPrefix = "cni:"

// byPlugins is the CNI network of a container, if it has one.
func byPlugins(h *mcontainer.HostConfig) (name string, ok bool) {
	return strings.CutPrefix(string(h.NetworkMode), pluginPrefix)
}

// preparePlugins is Prepare for a network that plugins make, which is a container's only one.
func (v *Verbs) preparePlugins(h *mcontainer.HostConfig, asked map[string]*mnetwork.EndpointSettings, exposed mnetwork.PortSet) (map[string]*mnetwork.EndpointSettings, error) {
	mode := string(h.NetworkMode)
	if v.c.Rootless {
		return nil, invalid("--network %s: an ordinary user's berthd has no CNI networks: use a bridge network", mode)
	}
	settings := &mnetwork.EndpointSettings{}
	for name, s := range asked {
		switch {
		case name != mode:
			return nil, invalid("--network %s excludes network %s", mode, name)
		case s == nil:
		case len(s.Aliases) > 0:
			return nil, invalid("conflicting options: --network-alias and --network %s: its plugins make no names", mode)
		case len(s.DriverOpts) > 0:
			return nil, invalid("conflicting options: driver options and --network %s", mode)
		default:
			settings = s
		}
	}
	if (h.PidMode.IsContainer() || h.IpcMode.IsContainer()) && spec.OwnIDs(h) {
		return nil, invalid("conflicting options: --network %s and --pid or --ipc container:NAME: a container has the user ids of one network only: add --userns host", mode)
	}
	rec := container.Record{Config: &mcontainer.Config{ExposedPorts: exposed}, HostConfig: h, Networks: map[string]*mnetwork.EndpointSettings{mode: settings}}
	r, err := pluginRequest(&rec)
	if err == nil {
		err = v.c.Plugins.Check(r)
	}
	return rec.Networks, err
}

// pluginRequest is what a container wants of plugins.
func pluginRequest(rec *container.Record) (cni.Request, error) {
	name, _ := byPlugins(rec.HostConfig)
	r := cni.Request{Container: rec.ID, Network: name}
	if s := Of(rec)[string(rec.HostConfig.NetworkMode)]; s != nil {
		if c := s.IPAMConfig; c != nil {
			for _, a := range []netip.Addr{c.IPv4Address, c.IPv6Address} {
				if a.IsValid() {
					r.Addresses = append(r.Addresses, a.String())
				}
			}
		}
		if len(s.MacAddress) > 0 {
			r.MAC = net.HardwareAddr(s.MacAddress).String()
		}
	}
	var err error
	r.Ports, err = portmap.Parse(rec.HostConfig.PortBindings, rec.Config.ExposedPorts, rec.HostConfig.PublishAllPorts)
	return r, err
}

// Made are the namespaces of a container whose network plugins have made.
type Made struct {
	// Paths name the namespaces to join, Files are they: the network's and, with user
	// ids of its own, the users', which has all rights over it.
	Paths map[specs.LinuxNamespaceType]string
	Files map[specs.LinuxNamespaceType]*os.File
}

// Close lets go of the namespaces but the network's, which is let go of by Leave.
func (m *Made) Close() error {
	if users := m.Files[specs.UserNamespace]; users != nil {
		return users.Close()
	}
	return nil
}

// JoinPlugins makes a network namespace for a container that is about to start, has
// plugins furnish it and writes the host files in dir. nil: it has no such network.
func (v *Verbs) JoinPlugins(ctx context.Context, rec *container.Record, dir string) (_ *Made, err error) {
	if _, ok := byPlugins(rec.HostConfig); !ok {
		return nil, nil //nolint:nilnil // none, which is no error
	}
	var undo cleanup.Stack
	defer undo.Run(&err)
	r, err := pluginRequest(rec)
	if err != nil {
		return nil, err
	}
	m, err := newNamespaces(rec)
	if err != nil {
		return nil, err
	}
	undo.Add(m.Close)
	result, err := v.c.Plugins.Add(ctx, r, m.Files[specs.NetworkNamespace])
	if err != nil {
		return nil, err
	}
	undo.Add(func() error { return v.Leave(rec.ID) })
	if err := writeFiles(dir, rec, result); err != nil {
		return nil, err
	}
	undo.Release()
	return m, nil
}

// newNamespaces makes the namespaces, with a loopback interface.
func newNamespaces(rec *container.Record) (*Made, error) {
	m := &Made{Paths: map[specs.LinuxNamespaceType]string{}, Files: map[specs.LinuxNamespaceType]*os.File{}}
	var network *os.File
	var err error
	if spec.OwnIDs(rec.HostConfig) {
		ids := []syscall.SysProcIDMap{{HostID: int(container.HostID(rec.Slot)), Size: container.RangeSize}}
		var users *os.File
		if users, network, err = netns.NewOwned(ids, ids); err == nil {
			m.Files[specs.UserNamespace] = users
		}
	} else {
		network, err = netns.New()
	}
	if err != nil {
		return nil, err
	}
	m.Files[specs.NetworkNamespace] = network
	for kind, f := range m.Files {
		m.Paths[kind] = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
	}
	if err := netns.SetUp(network); err != nil {
		return nil, errors.Join(err, network.Close(), m.Close())
	}
	return m, nil
}

// writeFiles writes a container's host files. What the user says comes before what plugins do.
func writeFiles(dir string, rec *container.Record, result *cni.Result) error {
	host, n := *rec.HostConfig, hostfiles.Network{}
	for _, a := range result.Addresses {
		n.Addresses = append(n.Addresses, a.Addr())
	}
	if len(result.Gateways) > 0 {
		n.Gateway = result.Gateways[0]
	}
	if len(host.DNS) == 0 {
		n.Servers = result.Servers
	}
	if len(host.DNSSearch) == 0 {
		host.DNSSearch = result.Search
	}
	if len(host.DNSOptions) == 0 {
		host.DNSOptions = result.Options
	}
	return hostfiles.Write(dir, rec.ID, rec.Config, &host, n)
}

// restorePlugins takes the namespace of an adopted container whose network plugins made.
func (v *Verbs) restorePlugins(rec *container.Record, pid int) error {
	if _, ok := byPlugins(rec.HostConfig); !ok {
		return nil
	}
	ns, err := netns.Open(pid)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil // its end is seen soon
	}
	return errors.Join(err, v.c.Plugins.Restore(rec.ID, ns))
}

// reportPlugins shows what plugins have made for a container.
func (v *Verbs) reportPlugins(rec *container.Record, s *mnetwork.EndpointSettings) {
	a := v.c.Plugins.Attached(rec.ID)
	if a == nil || s == nil {
		return
	}
	for _, p := range a.Result.Addresses {
		switch {
		case p.Addr().Is4() && !s.IPAddress.IsValid():
			s.IPAddress, s.IPPrefixLen = p.Addr(), p.Bits()
		case p.Addr().Is6() && !s.GlobalIPv6Address.IsValid():
			s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = p.Addr(), p.Bits()
		}
	}
	for _, g := range a.Result.Gateways {
		if g.Is4() {
			s.Gateway = g
		} else {
			s.IPv6Gateway = g
		}
	}
	if mac, err := net.ParseMAC(a.Result.MAC); err == nil {
		s.MacAddress = mnetwork.HardwareAddr(mac)
	}
}

// pluginPorts are the ports that plugins publish for a container.
func (v *Verbs) pluginPorts(id string) mnetwork.PortMap {
	a := v.c.Plugins.Attached(id)
	if a == nil {
		return nil
	}
	ports := mnetwork.PortMap{}
	for _, p := range a.Ports {
		if port, ok := mnetwork.PortFrom(p.Inside, p.Protocol); ok {
			ip := p.HostIP
			if !ip.IsValid() {
				ip = netip.IPv4Unspecified()
			}
			ports[port] = append(ports[port], mnetwork.PortBinding{HostIP: ip, HostPort: strconv.Itoa(int(p.First))})
		}
	}
	return ports
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
