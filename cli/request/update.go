package request

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// PortUpdate is the body that changes published ports: berth's own fields of docker's
// /containers/{id}/update.
type PortUpdate struct {
	PublishPorts   network.PortMap `json:",omitempty"`
	UnpublishPorts []PublishedPort `json:",omitempty"`
}

// PublishedPort names ports by those of the host, or instead by the container's.
type PublishedPort struct {
	HostIP        netip.Addr
	HostPort      string `json:",omitempty"`
	ContainerPort uint16 `json:",omitempty"`
	Protocol      network.IPProtocol
}

// Ports reads --publish and --publish-rm of update.
func Ports(add, remove []string) (PortUpdate, error) {
	var p published
	for _, s := range add {
		if err := p.publish(s); err != nil {
			return PortUpdate{}, err
		}
	}
	u := PortUpdate{PublishPorts: p.bindings}
	for _, s := range remove {
		port, err := parsePublished(s)
		if err != nil {
			return PortUpdate{}, fmt.Errorf("invalid --publish-rm %q: %w", s, err)
		}
		u.UnpublishPorts = append(u.UnpublishPorts, port)
	}
	return u, nil
}

// parsePublished reads [IP:]HOST[-HOST][/PROTOCOL] or :CONTAINER[/PROTOCOL].
func parsePublished(text string) (PublishedPort, error) {
	ip, ports := "", text
	i := strings.LastIndexByte(text, ':')
	if i >= 0 {
		ip, ports = text[:i], text[i+1:]
	}
	if strings.Trim(ports, " ") == "" {
		return PublishedPort{}, errors.New("the port is missing: write [IP:]HOST[/PROTOCOL], or :CONTAINER[/PROTOCOL]")
	}
	r, protocol, err := parseContainerPorts(ports) // the same form
	if err != nil {
		return PublishedPort{}, errors.New(strings.ReplaceAll(err.Error(), "the container's port", "the port"))
	}
	p := PublishedPort{HostPort: r.String(), Protocol: protocol}
	if i == 0 {
		if r.first != r.last {
			return p, fmt.Errorf("%s are several ports of the container: name them one by one", r)
		}
		p.HostPort, p.ContainerPort = "", r.first
	}
	if p.HostIP, err = parseHostIP(ip); err != nil {
		return p, fmt.Errorf("%q is no IP address of the host: write [IP:]HOST, an IPv6 address as [::1]", ip)
	}
	return p, nil
}
