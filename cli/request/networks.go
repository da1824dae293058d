package request

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"berth/cli/client"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

type networkFlags struct {
	networks                          []string
	hosts, dns, dnsOptions, dnsSearch []string
	publish, expose                   []string
	publishAll                        bool
	first                             Endpoint // flags that mean the first network
	linkLocal                         []string
}

func (n *networkFlags) define(fs *pflag.FlagSet) {
	fs.StringArrayVar(&n.networks, "network", nil, "Network to join: bridge (if not given), none, host, container:NAME, cni:NAME, or a name; again for more; or name=N,alias=A,ip=I")
	fs.StringArrayVar(&n.first.Aliases, "network-alias", nil, "Further name of the container in its first network")
	fs.StringVar(&n.first.IP, "ip", "", "IPv4 address in the first network")
	fs.StringVar(&n.first.IP6, "ip6", "", "IPv6 address in the first network")
	fs.StringVar(&n.first.MAC, "mac-address", "", "Ethernet address in the first network, as 02:42:ac:11:00:02")
	fs.StringArrayVar(&n.linkLocal, "link-local-ip", nil, "Link-local addresses: not supported")
	fs.Lookup("link-local-ip").Hidden = true
	fs.StringArrayVarP(&n.publish, "publish", "p", nil, "Publish a port on the host, [[IP:]HOST:]CONTAINER[/udp], also of ranges")
	fs.BoolVarP(&n.publishAll, "publish-all", "P", false, "Publish all exposed ports on free ports of the host")
	fs.StringArrayVar(&n.expose, "expose", nil, "Expose a port or a range, PORT[-PORT][/udp], for --publish-all")
	fs.StringArrayVar(&n.hosts, "add-host", nil, "Add a name to /etc/hosts, NAME:IP; host-gateway is the host's address")
	fs.StringArrayVar(&n.dns, "dns", nil, "Name server for /etc/resolv.conf")
	fs.StringArrayVar(&n.dnsOptions, "dns-option", nil, "Option for /etc/resolv.conf")
	fs.StringArrayVar(&n.dnsSearch, "dns-search", nil, "Search domain for /etc/resolv.conf")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name { // docker's other spellings
		case "net":
			name = "network"
		case "net-alias":
			name = "network-alias"
		case "dns-opt":
			name = "dns-option"
		}
		return pflag.NormalizedName(name)
	})
}

func (f *Flags) setNetwork(r *client.CreateRequest) error {
	n, h := &f.network, &r.HostConfig
	h.DNSOptions, h.DNSSearch = n.dnsOptions, n.dnsSearch
	for _, d := range n.dns {
		if _, err := netip.ParseAddr(d); err != nil {
			return fmt.Errorf("invalid --dns %q: give an IP address", d)
		}
	}
	h.DNS = n.dns
	for _, s := range n.hosts {
		// NAME:IP is docker's older way to write NAME=IP; an IPv6 address has colons.
		i := strings.IndexAny(s, ":=")
		if i <= 0 {
			return fmt.Errorf("invalid --add-host %q: write NAME:IP", s)
		}
		name, ip := s[:i], strings.Trim(s[i+1:], "[]")
		if _, err := netip.ParseAddr(ip); err != nil && ip != "host-gateway" {
			return fmt.Errorf("invalid --add-host %q: %q is no IP address and not host-gateway", s, ip)
		}
		h.ExtraHosts = append(h.ExtraHosts, name+":"+ip)
	}
	if err := n.setPorts(r); err != nil {
		return err
	}
	return n.setNetworks(r)
}

func (n *networkFlags) setPorts(r *client.CreateRequest) error {
	var p published
	for _, s := range n.publish {
		if err := p.publish(s); err != nil {
			return err
		}
	}
	for _, s := range n.expose {
		if err := p.expose(s); err != nil {
			return err
		}
	}
	r.ExposedPorts = p.exposed
	r.HostConfig.PortBindings, r.HostConfig.PublishAllPorts = p.bindings, n.publishAll
	return nil
}

// setNetworks writes the networks as docker does: the first is the network mode
// as well, and if it is the only one and nothing is asked for in it, only that.
func (n *networkFlags) setNetworks(r *client.CreateRequest) error {
	if len(n.linkLocal) > 0 {
		return errors.New("cannot set --link-local-ip: bridge networks have no such addresses; use --ip or --ip6")
	}
	networks := n.networks
	if len(networks) == 0 {
		networks = []string{"default"}
	}
	all := map[string]*network.EndpointSettings{}
	for i, text := range networks {
		name, e, err := parseNetwork(text)
		if err != nil {
			return err
		}
		if i == 0 {
			r.HostConfig.NetworkMode = name
			if e, err = e.merge(n.first); err != nil {
				return fmt.Errorf("invalid --network %q: %w", text, err)
			}
		}
		if all[name] != nil {
			return fmt.Errorf("invalid --network %q: the network is given twice, once is enough", text)
		}
		if len(networks) > 1 && alone(name) {
			return fmt.Errorf("invalid --network %q: it cannot be joined beside another network: give it alone", text)
		}
		if all[name], err = e.Settings("network " + name); err != nil {
			return err
		}
		if len(networks) == 1 && e.empty() {
			return nil
		}
	}
	r.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: all}
	return nil
}

// alone tells whether a network's name stands for a namespace that is whole.
func alone(name string) bool {
	return name == "none" || name == "host" || strings.HasPrefix(name, "container:")
}

// Endpoint is what flags can ask for of a container's place in a network.
type Endpoint struct {
	Aliases    []string
	DriverOpts []string // NAME=VALUE
	IP, IP6    string
	MAC        string
	Priority   int // who has the highest gives the default route
}

// parseNetwork reads one --network: a name, or name=N,alias=A,...
func parseNetwork(text string) (name string, e Endpoint, err error) {
	bad := func(why string, args ...any) error {
		return fmt.Errorf("invalid --network %q: %s", text, fmt.Sprintf(why, args...))
	}
	if !strings.Contains(text, "=") {
		if text == "" {
			return "", e, bad("give bridge, none, host or a network's name")
		}
		return text, e, nil
	}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return "", e, bad("write name=N,alias=A,ip=I, with quotes around values with commas")
	}
	for _, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if !ok || value == "" {
			return "", e, bad("%q has no value: write name=N,alias=A,ip=I", field)
		}
		switch key {
		case "name":
			name = value
		case "gw-priority":
			if e.Priority, err = strconv.Atoi(value); err != nil {
				return "", e, bad("the gw-priority %q is no whole number", value)
			}
		default:
			if to := e.field(key); to != nil {
				*to = value
			} else if list := e.list(key); list != nil {
				*list = append(*list, value)
			} else {
				return "", e, bad("unknown key %q: give name, alias, ip, ip6, mac-address, driver-opt or gw-priority", key)
			}
		}
	}
	if name == "" {
		return "", e, bad("it does not say which network: add name=N")
	}
	return name, e, nil
}

func (e *Endpoint) field(key string) *string {
	switch key {
	case "ip":
		return &e.IP
	case "ip6":
		return &e.IP6
	case "mac-address":
		return &e.MAC
	}
	return nil
}

func (e *Endpoint) list(key string) *[]string {
	switch key {
	case "alias":
		return &e.Aliases
	case "driver-opt":
		return &e.DriverOpts
	}
	return nil
}

// merge adds the flags of their own that mean the first network.
func (e Endpoint) merge(flags Endpoint) (Endpoint, error) {
	if len(e.Aliases) > 0 && len(flags.Aliases) > 0 {
		return e, errors.New("alias and --network-alias say the same thing twice: leave one out")
	}
	e.Aliases = append(e.Aliases, flags.Aliases...)
	for _, key := range []string{"ip", "ip6", "mac-address"} {
		to, from := e.field(key), *flags.field(key)
		if *to != "" && from != "" {
			return e, fmt.Errorf("%s and --%s say the same thing twice: leave one out", key, key)
		}
		if from != "" {
			*to = from
		}
	}
	return e, nil
}

func (e Endpoint) empty() bool {
	return len(e.Aliases) == 0 && len(e.DriverOpts) == 0 && e.IP == "" && e.IP6 == "" && e.MAC == "" && e.Priority == 0
}

// Settings checks the forms of the values; where says in errors whose they are.
func (e Endpoint) Settings(where string) (*network.EndpointSettings, error) {
	s := &network.EndpointSettings{Aliases: e.Aliases, GwPriority: e.Priority}
	ip, ip6 := netip.Addr{}, netip.Addr{}
	var err error
	if e.IP != "" {
		if ip, err = netip.ParseAddr(e.IP); err != nil || !ip.Is4() {
			return nil, fmt.Errorf("invalid ip %q of the %s: give an IPv4 address, as 172.30.0.5", e.IP, where)
		}
	}
	if e.IP6 != "" {
		if ip6, err = netip.ParseAddr(e.IP6); err != nil || !ip6.Is6() || ip6.Is4In6() || ip6.Zone() != "" {
			return nil, fmt.Errorf("invalid ip6 %q of the %s: give an IPv6 address, as fd00::5", e.IP6, where)
		}
	}
	if ip.IsValid() || ip6.IsValid() {
		s.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: ip, IPv6Address: ip6}
	}
	if e.MAC != "" {
		mac, err := net.ParseMAC(e.MAC)
		if err != nil || len(mac) != 6 {
			return nil, fmt.Errorf("invalid mac-address %q of the %s: give six bytes, as 02:42:ac:11:00:02", e.MAC, where)
		}
		s.MacAddress = network.HardwareAddr(mac)
	}
	for _, a := range e.Aliases {
		if a == "" || strings.ContainsAny(a, " \t\n/") {
			return nil, fmt.Errorf("invalid alias %q of the %s: give a host name", a, where)
		}
	}
	s.DriverOpts, err = pairs("driver-opt", e.DriverOpts)
	return s, err
}
