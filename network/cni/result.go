package cni

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// maxEntries bounds addresses, servers and so on of a result.
const maxEntries = 64

// Result is what plugins have made.
type Result struct {
	// Addresses are the container's, with the length of their network's prefix.
	Addresses []netip.Prefix
	// Gateways are those of the addresses that have one, an address of each family at most.
	Gateways []netip.Addr
	// MAC is that of the container's interface, empty if nobody tells.
	MAC string
	// Servers, Search and Options are for resolv.conf.
	Servers         []netip.Addr
	Search, Options []string
}

// read takes what is known here out of a result, which is foreign.
func read(made types.Result) (*Result, error) {
	if made == nil {
		return nil, fmt.Errorf("the plugins told no result")
	}
	r, err := types100.GetResult(made)
	if err != nil {
		return nil, err
	}
	if n := max(len(r.Interfaces), len(r.IPs), len(r.DNS.Nameservers), len(r.DNS.Search), len(r.DNS.Options)); n > maxEntries {
		return nil, fmt.Errorf("a list of the result has %d entries: at most %d make sense", n, maxEntries)
	}
	out := &Result{Search: r.DNS.Search, Options: r.DNS.Options}
	inside := map[int]bool{}
	for i, link := range r.Interfaces {
		if link == nil || link.Sandbox == "" {
			continue
		}
		inside[i] = true
		if link.Mac != "" && out.MAC == "" {
			mac, err := net.ParseMAC(link.Mac)
			if err != nil {
				return nil, fmt.Errorf("the result has an invalid hardware address %.40q", link.Mac)
			}
			out.MAC = mac.String()
		}
	}
	for _, ip := range r.IPs {
		if ip == nil || ip.Interface != nil && !inside[*ip.Interface] {
			continue // of an interface of the host
		}
		if err := out.add(ip); err != nil {
			return nil, err
		}
	}
	if r.DNS.Domain != "" && len(out.Search) == 0 {
		out.Search = []string{r.DNS.Domain}
	}
	for _, s := range r.DNS.Nameservers {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("the result has an invalid name server %.60q", s)
		}
		out.Servers = append(out.Servers, a)
	}
	return out, nil
}

func (r *Result) add(ip *types100.IPConfig) error {
	a, ok := netip.AddrFromSlice(ip.Address.IP)
	bits, size := ip.Address.Mask.Size()
	if !ok || size == 0 || size != a.Unmap().BitLen() {
		return fmt.Errorf("the result has an invalid address %.80q", ip.Address.String())
	}
	r.Addresses = append(r.Addresses, netip.PrefixFrom(a.Unmap(), bits))
	g, ok := netip.AddrFromSlice(ip.Gateway)
	if !ok {
		return nil
	}
	for _, have := range r.Gateways {
		if have.Is4() == g.Unmap().Is4() {
			return nil
		}
	}
	r.Gateways = append(r.Gateways, g.Unmap())
	return nil
}
