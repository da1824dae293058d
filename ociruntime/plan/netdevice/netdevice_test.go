package netdevice

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

func TestMessages(t *testing.T) {
	m := message(syscall.RTM_NEWLINK, linkHead(0x10002, syscall.IFF_UP, syscall.IFF_UP))
	// nlmsghdr: length 32, RTM_NEWLINK, request and acknowledge; ifinfomsg.
	if got, want := hex.EncodeToString(m), "20000000"+"1000"+"0500"+"0000000000000000"+"00000000"+"02000100"+"01000000"+"01000000"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for want, a := range map[string]Attribute{
		"0900030065746830" + "00000000": {syscall.IFLA_IFNAME, []byte("eth0\x00")},
		"08001c0007000000":              {linux.IflaNetNsFd, le32(7)},
		"04000100":                      {1, nil},
	} {
		if got := hex.EncodeToString(encode(a)); got != want {
			t.Errorf("%+v is %s, want %s", a, got, want)
		}
	}
}

func TestSteps(t *testing.T) {
	c := call.New()
	devices := []Device{{Name: "a", NewName: "b", Index: 3, Addresses: []Address{{Family: syscall.AF_INET, PrefixLen: 24}}}}
	ns := c.Slot("ns")
	Move(c, devices, func(to program.Slot) { c.Call("dup", syscall.SYS_DUP, ns.Value()).To(to) })
	SetUp(c, devices)
	c.Call("exit", syscall.SYS_EXIT, program.Int(0))
	p, err := c.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	text := p.String()
	for want, times := range map[string]int{
		"move network device a into the container as b": 1, "set network device b up": 1, "sendto($route": 3, "= dup($ns)": 1,
	} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%d times %q, want %d:\n%s", n, want, times, text)
		}
	}
}

// A pair's limits are made with it, before anything can pass.
func TestLimitSteps(t *testing.T) {
	c := call.New()
	pairs := []Pair{{Host: "vb1", HostIndex: 7, Inside: "eth0", MTU: 1500, Limit: Limit{In: 8e6, Out: 16e6, Shaper: "vi1", ShaperIndex: 8}}}
	Make(c, pairs, func(to program.Slot) { c.Call("dup", syscall.SYS_DUP, program.Int(3)).To(to) })
	c.Call("exit", syscall.SYS_EXIT, program.Int(0))
	p, err := c.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	text := p.String()
	at := -1
	for _, want := range []string{
		"make network device eth0", "limit what vb1 passes on to the container", "make network device vi1", "limit what vi1 passes on",
		"take in hand what vb1 receives", "send it through vi1",
	} {
		i := strings.Index(text, want)
		if i <= at {
			t.Errorf("%q is not there, or too early:\n%s", want, text)
		}
		at = i
	}
	if n := len(Limit{}.Messages("vb1", 7, 1500)); n != 0 {
		t.Errorf("no limit makes %d messages", n)
	}
}

// The messages of interfaces that are no veth: kind and mode in IFLA_LINKINFO, the
// parent's number, and last the word for the namespace's file.
func TestOffspring(t *testing.T) {
	for _, c := range []struct {
		p    Pair
		want []string
	}{
		{Pair{Kind: Macvlan, HostIndex: 7, Inside: "eth0", Parent: 5, Mode: 4, MAC: []byte{2, 0, 0, 0, 0, 9}, MTU: 1400}, []string{
			"0c0001006d6163766c616e00", "08000100" + "04000000", "08000500" + "05000000", "0a000100" + "020000000009", "08000400" + "78050000",
		}},
		{Pair{Kind: Ipvlan, HostIndex: 7, Inside: "eth0", Parent: 5, Mode: 1, Flags: 2}, []string{
			"0b00010069" + "70766c616e0000", "06000100" + "0100", "06000200" + "0200", "08000500" + "05000000",
		}},
	} {
		m := c.p.offspring()
		text := hex.EncodeToString(m)
		for _, part := range append(c.want, "07000100", "0900030065746830") {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %s in %s", c.p.Kind, part, text)
			}
		}
		if !strings.HasSuffix(text, "08001c00"+"00000000") || int(m[0])|int(m[1])<<8 != len(m) {
			t.Errorf("%s: the end or length of %s", c.p.Kind, text)
		}
		if c.p.MTU == 0 && strings.Contains(text, "0a000100") {
			t.Errorf("%s has an address: %s", c.p.Kind, text)
		}
	}
	direct := hex.EncodeToString(Pair{HostIndex: 7}.route(netip.IPv4Unspecified()))
	if strings.Contains(direct, "08000500") || !strings.Contains(direct, "fe0300fd01") && !strings.Contains(direct, "fe03fd01") {
		t.Errorf("route to a device: %s", direct)
	}
}
