package request

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// maxPorts bounds the ports of one container: more do not fit into a request.
const maxPorts = 8192

// published is what the flags --publish and --expose ask for.
type published struct {
	exposed  network.PortSet
	bindings network.PortMap
	count    int
}

// portRange is a run of ports: 80 is 80-80.
type portRange struct{ first, last uint16 }

func (r portRange) len() int { return int(r.last) - int(r.first) + 1 }

func (r portRange) String() string {
	if r.first == r.last {
		return strconv.Itoa(int(r.first))
	}
	return fmt.Sprintf("%d-%d", r.first, r.last)
}

// mapping is one --publish.
type mapping struct {
	ip        netip.Addr // zero: all addresses of the host
	host      *portRange // nil: any free port
	container portRange
	protocol  network.IPProtocol
}

// publish adds one --publish.
func (p *published) publish(text string) error {
	m, err := parseMapping(text)
	if err == nil {
		err = p.grow(m.container.len())
	}
	if err != nil {
		return fmt.Errorf("invalid --publish %q: %w", text, err)
	}
	if p.bindings == nil {
		p.bindings = network.PortMap{}
	}
	for i := range m.container.len() {
		port := p.expose1(m.container, i, m.protocol)
		b := network.PortBinding{HostIP: m.ip}
		switch {
		case m.host == nil:
		case m.container.len() == 1: // one of the range that is free
			b.HostPort = m.host.String()
		default:
			b.HostPort = strconv.Itoa(int(m.host.first) + i)
		}
		p.bindings[port] = append(p.bindings[port], b)
	}
	return nil
}

// expose adds one --expose.
func (p *published) expose(text string) error {
	ports, protocol, err := parseContainerPorts(text)
	if strings.Contains(text, ":") {
		err = errors.New("it only names ports of the container: use --publish to name the host's too")
	}
	if err == nil {
		err = p.grow(ports.len())
	}
	if err != nil {
		return fmt.Errorf("invalid --expose %q: %w", text, err)
	}
	for i := range ports.len() {
		p.expose1(ports, i, protocol)
	}
	return nil
}

// expose1 exposes the i-th port of a range.
func (p *published) expose1(r portRange, i int, protocol network.IPProtocol) network.Port {
	port, _ := network.PortFrom(r.first+uint16(i), protocol) // a protocol is there
	if p.exposed == nil {
		p.exposed = network.PortSet{}
	}
	p.exposed[port] = struct{}{}
	return port
}

func (p *published) grow(n int) error {
	if p.count += n; p.count > maxPorts {
		return fmt.Errorf("a container can have %d ports at most: name fewer, or use --network host", maxPorts)
	}
	return nil
}

// parseMapping reads [[IP:][HOST]:]CONTAINER[/PROTOCOL] or docker's longer form
// target=CONTAINER,published=HOST,protocol=PROTOCOL.
func parseMapping(text string) (mapping, error) {
	if strings.Contains(text, "=") {
		short, err := shortForm(text)
		if err != nil {
			return mapping{}, err
		}
		text = short
	}
	var m mapping
	var err error
	ip, host, target := splitMapping(text)
	if m.container, m.protocol, err = parseContainerPorts(target); err != nil {
		return m, err
	}
	if m.ip, err = parseHostIP(ip); err != nil {
		return m, err
	}
	if host == "" {
		return m, nil
	}
	r, err := parseRange(host, "the host's port", 0)
	if err != nil {
		return m, err
	}
	if r.first == 0 && r.last != 0 {
		return m, fmt.Errorf("the host's ports %s begin with 0, which is any free port: give a range from 1 to 65535, or 0 alone", r)
	}
	// One port of the container can have a range of the host to choose from.
	if n := m.container.len(); n > 1 && r.len() != n {
		return m, fmt.Errorf("the host's ports %s are %d and the container's %s are %d: give ranges of the same length", r, r.len(), m.container, n)
	}
	m.host = &r
	return m, nil
}

// splitMapping cuts at the last two colons, as the colons of an IPv6 address
// come before them.
func splitMapping(s string) (ip, host, target string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", s
	}
	s, target = s[:i], s[i+1:]
	if i = strings.LastIndexByte(s, ':'); i < 0 {
		return "", s, target
	}
	return s[:i], s[i+1:], target
}

func parseHostIP(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	ip, err := netip.ParseAddr(bare)
	if err != nil || (bare != s && !ip.Is6()) {
		return netip.Addr{}, fmt.Errorf("%q is no IP address of the host: write IP:HOST:CONTAINER, an IPv6 address as [::1]", s)
	}
	if ip.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("the host's address %q has a zone: give an address without one", s)
	}
	return ip.Unmap(), nil
}

// parseContainerPorts reads PORT[-PORT][/PROTOCOL].
func parseContainerPorts(s string) (portRange, network.IPProtocol, error) {
	ports, proto, has := strings.Cut(s, "/")
	protocol := network.IPProtocol(strings.ToLower(proto))
	if !has {
		protocol = network.TCP
	}
	if protocol != network.TCP && protocol != network.UDP && protocol != network.SCTP {
		return portRange{}, "", fmt.Errorf("unknown protocol %q: give tcp, udp or sctp", proto)
	}
	r, err := parseRange(ports, "the container's port", 1)
	return r, protocol, err
}

// parseRange reads PORT or FIRST-LAST; least is the smallest port allowed.
func parseRange(s, what string, least uint16) (portRange, error) {
	if s == "" {
		return portRange{}, fmt.Errorf("%s is missing: write [[IP:]HOST:]CONTAINER[/PROTOCOL]", what)
	}
	from, to, ranged := strings.Cut(s, "-")
	if !ranged {
		to = from
	}
	var r portRange
	for _, p := range []struct {
		text string
		to   *uint16
	}{{from, &r.first}, {to, &r.last}} {
		n, err := strconv.ParseUint(p.text, 10, 16)
		if err != nil || n < uint64(least) {
			return portRange{}, fmt.Errorf("%s %q is no port: give a number from 1 to 65535", what, p.text)
		}
		*p.to = uint16(n)
	}
	if r.last < r.first {
		return portRange{}, fmt.Errorf("%s range %q ends before it begins: write the smaller port first", what, s)
	}
	return r, nil
}

// shortForm makes the short form of target=80,published=8080,protocol=tcp.
func shortForm(text string) (string, error) {
	values := map[string]string{"protocol": "tcp", "mode": "host"}
	for _, field := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(field, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		switch {
		case !ok:
			return "", fmt.Errorf("%q has no value: write target=80,published=8080,protocol=tcp", field)
		case key != "target" && key != "published" && key != "protocol" && key != "mode":
			return "", fmt.Errorf("unknown key %q: give target, published or protocol", key)
		case strings.Contains(value, ":") || strings.Contains(value, "/"):
			return "", fmt.Errorf("%q is no value of %s: an address is only taken in the form IP:HOST:CONTAINER", value, key)
		}
		values[key] = value
	}
	if values["mode"] != "host" && values["mode"] != "ingress" {
		return "", fmt.Errorf("unknown mode %q: leave it out", values["mode"])
	}
	return values["published"] + ":" + values["target"] + "/" + values["protocol"], nil
}
