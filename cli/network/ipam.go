package network

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// ipam puts ranges, gateways and further addresses to the subnets that they are in.
func (o *createOptions) ipam() (*network.IPAM, error) {
	out := &network.IPAM{Driver: "default"}
	for _, s := range o.subnets {
		subnet, err := parsePrefix("subnet", s)
		if err != nil {
			return nil, err
		}
		for _, other := range out.Config {
			if other.Subnet.Overlaps(subnet) {
				return nil, fmt.Errorf("invalid --subnet %q: it overlaps with %s: give subnets that are apart", s, other.Subnet)
			}
		}
		out.Config = append(out.Config, network.IPAMConfig{Subnet: subnet})
	}
	for _, s := range o.ranges {
		r, err := parsePrefix("ip-range", s)
		if err != nil {
			return nil, err
		}
		c, err := subnetOf(out, "ip-range", s, r)
		if err != nil {
			return nil, err
		}
		if c.IPRange.IsValid() {
			return nil, fmt.Errorf("invalid --ip-range %q: subnet %s has the range %s already: one is possible", s, c.Subnet, c.IPRange)
		}
		c.IPRange = r
	}
	for _, s := range o.gateways {
		ip, c, err := address(out, "gateway", s, s)
		if err != nil {
			return nil, err
		}
		if c.Gateway.IsValid() {
			return nil, fmt.Errorf("invalid --gateway %q: subnet %s has the gateway %s already: one is possible", s, c.Subnet, c.Gateway)
		}
		c.Gateway = ip
	}
	for _, s := range o.aux {
		name, text, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("invalid --aux-address %q: write NAME=IP", s)
		}
		ip, c, err := address(out, "aux-address", s, text)
		if err != nil {
			return nil, err
		}
		if c.AuxAddress == nil {
			c.AuxAddress = map[string]netip.Addr{}
		}
		c.AuxAddress[name] = ip
	}
	return out, nil
}

// address reads the IP address in a flag's value and finds the subnet it is in.
func address(all *network.IPAM, flag, value, text string) (netip.Addr, *network.IPAMConfig, error) {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, nil, fmt.Errorf("invalid --%s %q: %q is no IP address, as 172.30.0.1", flag, value, text)
	}
	c, err := subnetOf(all, flag, value, netip.PrefixFrom(ip, ip.BitLen()))
	return ip, c, err
}

func subnetOf(all *network.IPAM, flag, value string, part netip.Prefix) (*network.IPAMConfig, error) {
	for i := range all.Config {
		c := &all.Config[i]
		if c.Subnet.Contains(part.Addr()) && c.Subnet.Bits() <= part.Bits() {
			return c, nil
		}
	}
	return nil, fmt.Errorf("invalid --%s %q: it is in no --subnet: give the subnet that it belongs to", flag, value)
}

func parsePrefix(flag, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil {
		return p, fmt.Errorf("invalid --%s %q: give an address and a length, as 172.30.0.0/16", flag, s)
	}
	return p, nil
}

// pairs reads NAME=VALUE; a name alone has the empty value, as docker takes it.
func pairs(flag string, values []string) (map[string]string, error) {
	var out map[string]string
	for _, v := range values {
		name, value, _ := strings.Cut(v, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid --%s %q: it has no name, write NAME=VALUE", flag, v)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}
