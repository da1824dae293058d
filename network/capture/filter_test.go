package capture

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/net/bpf"
)

// packet is an Ethernet frame with ports behind its IP header.
func packet(from, to string, proto byte, source, destination uint16) []byte {
	f, t := netip.MustParseAddr(from), netip.MustParseAddr(to)
	p := make([]byte, 12)
	if f.Is4() {
		p = append(p, 0x08, 0x00)
		head := make([]byte, 12)
		head[0], head[9] = 0x46, proto // with 4 bytes of options
		p = append(append(append(append(p, head...), f.AsSlice()...), t.AsSlice()...), 0, 0, 0, 0)
	} else {
		p = append(p, 0x86, 0xdd)
		head := make([]byte, 8)
		head[0], head[6] = 0x60, proto
		p = append(append(append(p, head...), f.AsSlice()...), t.AsSlice()...)
	}
	p = binary.BigEndian.AppendUint16(p, source)
	return append(binary.BigEndian.AppendUint16(p, destination), make([]byte, 20)...)
}

func TestFilter(t *testing.T) {
	a, b, a6, b6 := "10.0.0.1", "10.0.0.2", "fd00::1:1", "fd00::1:2"
	fragment := packet(a, b, 6, 80, 80)
	fragment[ip4FragAt+1] = 9
	for name, v := range map[string]struct {
		f    Filter
		p    []byte
		want bool
	}{
		"everything":                 {Filter{}, []byte{1}, true},
		"tcp":                        {Filter{Protocol: "tcp"}, packet(a, b, 6, 1, 2), true},
		"udp is not tcp":             {Filter{Protocol: "tcp"}, packet(a, b, 17, 1, 2), false},
		"udp, IPv6":                  {Filter{Protocol: "udp"}, packet(a6, b6, 17, 1, 2), true},
		"icmp":                       {Filter{Protocol: "icmp"}, packet(a, b, 1, 0, 0), true},
		"icmp, IPv6":                 {Filter{Protocol: "icmp"}, packet(a6, b6, 58, 0, 0), true},
		"source":                     {Filter{Host: netip.MustParseAddr(a)}, packet(a, b, 6, 1, 2), true},
		"destination":                {Filter{Host: netip.MustParseAddr(b)}, packet(a, b, 6, 1, 2), true},
		"another host":               {Filter{Host: netip.MustParseAddr("10.0.0.3")}, packet(a, b, 6, 1, 2), false},
		"source, IPv6":               {Filter{Host: netip.MustParseAddr(a6)}, packet(a6, b6, 6, 1, 2), true},
		"destination, IPv6":          {Filter{Host: netip.MustParseAddr(b6)}, packet(a6, b6, 6, 1, 2), true},
		"another host, IPv6":         {Filter{Host: netip.MustParseAddr("fd00::2:1")}, packet(a6, b6, 6, 1, 2), false},
		"host of the other family":   {Filter{Host: netip.MustParseAddr(a)}, packet(a6, b6, 6, 1, 2), false},
		"host of the other family 2": {Filter{Host: netip.MustParseAddr(a6)}, packet(a, b, 6, 1, 2), false},
		"source port":                {Filter{Port: 80}, packet(a, b, 6, 80, 2), true},
		"destination port":           {Filter{Port: 80}, packet(a, b, 132, 1, 80), true},
		"another port":               {Filter{Port: 80}, packet(a, b, 17, 1, 2), false},
		"port, IPv6":                 {Filter{Port: 80}, packet(a6, b6, 17, 1, 80), true},
		"another port, IPv6":         {Filter{Port: 80}, packet(a6, b6, 17, 1, 8080), false},
		"no port in icmp":            {Filter{Port: 80}, packet(a, b, 1, 80, 80), false},
		"nor in a fragment":          {Filter{Port: 80}, fragment, false},
		"all":                        {Filter{"tcp", netip.MustParseAddr(b), 80}, packet(a, b, 6, 1, 80), true},
		"all but one":                {Filter{"udp", netip.MustParseAddr(b), 80}, packet(a, b, 6, 1, 80), false},
		"arp":                        {Filter{Protocol: "tcp"}, append(make([]byte, 12), 8, 6, 0, 0), false},
		"short":                      {Filter{Port: 80}, packet(a, b, 6, 80, 80)[:30], false},
	} {
		program, err := v.f.program(1500)
		if err != nil {
			t.Fatal(err)
		}
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n, err := vm.Run(v.p)
		if got := n > 0; err != nil || got != v.want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, v.want)
		}
	}
	for _, f := range []Filter{{Protocol: "icmp", Port: 80}, {Protocol: "ipx"}} {
		if _, err := f.compile(1500); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
