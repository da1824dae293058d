package format

import (
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"strings"
)

// Port is container.PortSummary of moby/moby/api: a port of a container, and where
// it is published if it is.
type Port struct {
	IP                      netip.Addr
	PrivatePort, PublicPort uint16
	Type                    string
}

func (p Port) before(q Port) bool {
	switch {
	case p.PrivatePort != q.PrivatePort:
		return p.PrivatePort < q.PrivatePort
	case p.IP != q.IP:
		return p.IP.Less(q.IP)
	case p.PublicPort != q.PublicPort:
		return p.PublicPort < q.PublicPort
	}
	return p.Type < q.Type
}

// run is a range of ports that differ in nothing but their number.
type run struct {
	ip          netip.Addr // zero: not published
	kind        string
	first, last uint16
}

func (r run) String() string {
	ports := strconv.Itoa(int(r.first))
	if r.first != r.last {
		ports += "-" + strconv.Itoa(int(r.last))
	}
	if r.ip.IsValid() {
		ports = net.JoinHostPort(r.ip.String(), ports) + "->" + ports
	}
	return ports + "/" + r.kind
}

// Ports writes ports as docker does, in docker's order: runs of ports that
// are exposed only, or published under the same number, then those published
// under another number, each alone.
func Ports(ports []Port) string {
	sort.Slice(ports, func(i, j int) bool { return ports[i].before(ports[j]) })
	var open []run // at most one of each address and protocol, which can still grow
	var done, mapped []string
	for _, p := range ports {
		if p.PublicPort != 0 && p.PublicPort != p.PrivatePort {
			host := strconv.Itoa(int(p.PublicPort))
			if p.IP.IsValid() {
				host = net.JoinHostPort(p.IP.String(), host)
			}
			mapped = append(mapped, fmt.Sprintf("%s->%d/%s", host, p.PrivatePort, p.Type))
			continue
		}
		open, done = grow(open, done, run{p.IP, p.Type, p.PrivatePort, p.PrivatePort})
	}
	for _, r := range open {
		done = append(done, r.String())
	}
	return strings.Join(append(done, mapped...), ", ")
}

// grow adds a port to the run that it follows. A run that it does not follow is done.
func grow(open []run, done []string, next run) ([]run, []string) {
	for i := range open {
		r := &open[i]
		if r.ip != next.ip || r.kind != next.kind {
			continue
		}
		if next.first != r.last+1 {
			done = append(done, r.String())
			*r = next
		}
		r.last = next.last
		return open, done
	}
	return append(open, next), done
}
