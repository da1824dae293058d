package networks

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"berth/container"

	mcontainer "github.com/moby/moby/api/types/container"
	mnetwork "github.com/moby/moby/api/types/network"
)

// Settings shows a container's networks and ports in the words of Docker's API.
func (v *Verbs) Settings(rec *container.Record) *mcontainer.NetworkSettings {
	out := &mcontainer.NetworkSettings{Ports: mnetwork.PortMap{}, Networks: v.endpoints(rec)}
	for port := range rec.Config.ExposedPorts {
		out.Ports[port] = nil
	}
	if sb := v.c.Networks.Sandbox(rec.ID); sb != nil {
		for port, bindings := range sb.PortMap() {
			out.Ports[port] = bindings
		}
		out.SandboxID = rec.ID
	}
	maps.Copy(out.Ports, v.pluginPorts(rec.ID))
	return out
}

// endpoints shows a container's networks.
func (v *Verbs) endpoints(rec *container.Record) map[string]*mnetwork.EndpointSettings {
	all := map[string]*mnetwork.EndpointSettings{}
	if joins(rec) {
		for name, s := range Of(rec) {
			all[name] = s.Copy()
		}
	} else if !rec.HostConfig.NetworkMode.IsContainer() {
		all[string(rec.HostConfig.NetworkMode)] = &mnetwork.EndpointSettings{}
	}
	if _, ok := byPlugins(rec.HostConfig); ok {
		mode := string(rec.HostConfig.NetworkMode)
		if s := Of(rec)[mode]; s != nil {
			all[mode] = s.Copy()
		}
		v.reportPlugins(rec, all[mode])
	}
	if sb := v.c.Networks.Sandbox(rec.ID); sb != nil {
		for _, ep := range sb.Endpoints {
			all[ep.NetworkName] = ep.Report()
		}
	}
	return all
}

// Summary shows a container's networks in a list.
func (v *Verbs) Summary(rec *container.Record) *mcontainer.NetworkSettingsSummary {
	return &mcontainer.NetworkSettingsSummary{Networks: v.endpoints(rec)}
}

// Ports shows a container's ports in a list.
func (v *Verbs) Ports(rec *container.Record) []mcontainer.PortSummary {
	ports := []mcontainer.PortSummary{}
	published := map[mnetwork.Port]bool{}
	if sb := v.c.Networks.Sandbox(rec.ID); sb != nil {
		for _, p := range sb.Ports {
			if port, ok := mnetwork.PortFrom(p.Inside, p.Protocol); ok {
				published[port] = true
			}
			ports = append(ports, mcontainer.PortSummary{IP: p.Host.Addr(), PrivatePort: p.Inside, PublicPort: p.Host.Port(), Type: string(p.Protocol)})
		}
	}
	for port, bindings := range v.pluginPorts(rec.ID) {
		published[port] = true
		for _, b := range bindings {
			if n, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil {
				ports = append(ports, mcontainer.PortSummary{IP: b.HostIP, PrivatePort: port.Num(), PublicPort: uint16(n), Type: string(port.Proto())})
			}
		}
	}
	for port := range rec.Config.ExposedPorts {
		if !published[port] && rec.State.Status.Alive() {
			ports = append(ports, mcontainer.PortSummary{IP: netip.Addr{}, PrivatePort: port.Num(), Type: string(port.Proto())})
		}
	}
	slices.SortFunc(ports, func(a, b mcontainer.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.Type, b.Type), cmp.Compare(a.PublicPort, b.PublicPort), a.IP.Compare(b.IP))
	})
	return ports
}

// Counters are what a running container has sent and received, by interface.
func (v *Verbs) Counters(id string) (map[string]mcontainer.NetworkStats, error) {
	counted, err := v.c.Networks.Counters(id)
	if err != nil || len(counted) == 0 {
		return nil, err
	}
	all := map[string]mcontainer.NetworkStats{}
	for name, c := range counted { // what the host's end receives, the container has sent
		all[name] = mcontainer.NetworkStats{
			RxBytes: c.TxBytes, RxPackets: c.TxPackets, RxErrors: c.TxErrors, RxDropped: c.TxDropped,
			TxBytes: c.RxBytes, TxPackets: c.RxPackets, TxErrors: c.RxErrors, TxDropped: c.RxDropped,
		}
	}
	return all, nil
}
