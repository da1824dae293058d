package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/nftables"
)

// Element is an element that a set or map of the table is to have.
type Element struct {
	Set  string // its name
	Text string // the element as nft(8) writes it
	Live bool   // the kernel has it
	// Instead is where a published port leads in the kernel, if that is elsewhere.
	Instead string `json:",omitempty"`
}

// String is the element with its set, as nft(8) writes them: ports4 { tcp . 80 : 172.17.0.2 . 80 }.
func (e Element) String() string { return e.Set + " { " + e.Text + " }" }

// LookNetwork tells which elements a network is to have, and whether the kernel has them.
func (t *Table) LookNetwork(n Network) ([]Element, error) {
	e := newElements()
	if err := e.addNetwork(n); err != nil {
		return nil, err
	}
	var wanted []placed
	for _, s := range sets(t.table()) {
		for _, g := range e[s.Name] {
			wanted = append(wanted, placed{s.Name, g})
		}
	}
	return t.look(wanted)
}

// LookPorts is LookNetwork for published ports: the element of each, in their order.
func (t *Table) LookPorts(ports []Port) ([]Element, error) {
	var wanted []placed
	for _, p := range ports {
		set, element, err := p.element()
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, placed{set, group{element}})
	}
	return t.look(wanted)
}

// placed is an element with its set.
type placed struct {
	set string
	group
}

// look compares elements with the kernel's. In a table that is not there, none is.
func (t *Table) look(wanted []placed) ([]Element, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there, err := t.exists()
	if err != nil {
		return nil, t.lookError(err)
	}
	c, err := t.connect(nftables.AsLasting())
	if err != nil {
		return nil, t.lookError(err)
	}
	defer func() { _ = c.CloseLasting() }() // it was read from
	live := map[string][]nftables.SetElement{}
	var all []Element
	for _, w := range wanted {
		if _, read := live[w.set]; there && !read {
			if live[w.set], err = c.GetSetElements(&nftables.Set{Table: t.table(), Name: w.set}); err != nil {
				return nil, t.lookError(err)
			}
		}
		all = append(all, compare(w.set, w.group, live[w.set]))
	}
	return all, nil
}

func compare(set string, g group, live []nftables.SetElement) Element {
	out := Element{Set: set, Text: elementText(set, g)}
	i := slices.IndexFunc(live, func(l nftables.SetElement) bool {
		return !l.IntervalEnd && bytes.Equal(l.Key, g[0].Key) && bytes.Equal(l.KeyEnd, g[0].KeyEnd)
	})
	if i < 0 {
		return out
	}
	if out.Live = bytes.Equal(live[i].Val, g[0].Val); !out.Live {
		out.Instead = targetText(live[i].Val)
	}
	return out
}

// elementText is an element as nft writes it. Keys are made in this package: they have their length.
func elementText(set string, g group) string {
	key := g[0].Key
	switch set {
	case setBridges, setInternal:
		return nameText(key)
	case setWithin:
		return nameText(key[:ifNameSize]) + " . " + nameText(key[ifNameSize:])
	case setResolvers4, setResolvers6:
		return nameText(key[:ifNameSize]) + " . " + addrText(key[ifNameSize:])
	case setHome4, setHome6:
		return nameText(key[:ifNameSize]) + " . " + rangeText(key[ifNameSize:], lastAddr(g[0].KeyEnd[ifNameSize:]))
	case setMasquerade4, setMasquerade6:
		if len(g) == 1 { // to the end of all
			return rangeText(key, netip.Addr{})
		}
		return rangeText(key, lastAddr(g[1].Key).Prev())
	}
	text := ""
	if len(key) > 8 { // a host's address comes first
		text, key = addrText(key[:len(key)-8])+" . ", key[len(key)-8:]
	}
	proto := map[byte]string{syscall.IPPROTO_TCP: "tcp", syscall.IPPROTO_UDP: "udp", 132: "sctp"}[key[0]]
	return text + proto + " . " + strconv.Itoa(int(binary.BigEndian.Uint16(key[4:]))) + " : " + targetText(g[0].Val)
}

func nameText(b []byte) string { return strconv.Quote(strings.TrimRight(string(b), "\x00")) }

func lastAddr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func addrText(b []byte) string { return lastAddr(b).String() }

// rangeText writes a prefix by its first and last address, as the kernel has it.
func rangeText(first []byte, last netip.Addr) string {
	a := lastAddr(first)
	for bits := range a.BitLen() + 1 {
		if p := netip.PrefixFrom(a, bits); p.Masked() == p && (lastOf(p) == last || !last.IsValid() && !lastOf(p).Next().IsValid()) {
			return p.String()
		}
	}
	return a.String()
}

// targetText is where a port leads. What the kernel says may be of any length.
func targetText(b []byte) string {
	for _, size := range []int{4, 16} {
		if len(b) >= size+2 && len(b) <= size+4 {
			return addrText(b[:size]) + " . " + strconv.Itoa(int(binary.BigEndian.Uint16(b[size:])))
		}
	}
	return fmt.Sprintf("%x", b)
}
