package explain

import (
	"fmt"
	"strings"
	"unicode"
)

// Text is the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(indent int, format string, args ...any) {
		b.WriteString(strings.Repeat(" ", indent) + printable(fmt.Sprintf(format, args...)) + "\n")
	}
	line(0, "%s (%s)", r.Container, r.ID[:min(len(r.ID), 12)])
	if r.Note != "" {
		line(0, "%s", r.Note)
	}
	for i, p := range r.Problems {
		if i == 0 {
			line(0, "\nPROBLEMS")
		}
		line(2, "%s", p)
	}
	if len(r.Networks) > 0 {
		line(0, "\nNETWORKS")
	}
	for _, n := range r.Networks {
		line(2, "%s", n.text())
		for _, e := range n.Elements {
			line(6, "%s%s", e, missing(e.Live))
		}
	}
	if len(r.Inward) > 0 {
		line(0, "\nWHO REACHES IT")
	}
	for _, t := range r.Inward {
		line(2, "%s", t.What)
		if t.Port != nil && t.Port.To.IsValid() {
			line(6, "to %s by %s%s", t.Port.To, t.Port.Element, missing(t.Port.Element.Live))
		}
		paths(line, 6, t.Paths)
	}
	if len(r.Outward) > 0 {
		line(0, "\nWHAT IT REACHES")
		paths(line, 2, r.Outward)
	}
	if len(r.Names) > 0 {
		line(0, "\nNAMES")
	}
	for _, n := range r.Names {
		line(2, "%s", n)
	}
	if len(r.Foreign) > 0 {
		line(0, "\nTHE HOST'S OWN RULES (may drop; a drop is final)")
	}
	for _, c := range r.Foreign {
		line(2, "%s", c)
	}
	return b.String()
}

func missing(live bool) string {
	if live {
		return ""
	}
	return "   MISSING in the kernel"
}

func paths(line func(int, string, ...any), start int, all []Path) {
	indent := start + 11
	for _, p := range all {
		line(start, "%-8s   %s", p.Answer, p.What)
		if p.Why != "" {
			line(indent, "%s", p.Why)
		}
		if p.Rule != "" {
			line(indent, "rule in chain %s", p.Rule)
		}
		for _, c := range p.Unless {
			line(indent, "unless dropped by %s %s %s", c.Family, c.Table, c.Name)
		}
	}
}

func (n *Network) text() string {
	parts := []string{"interface " + n.Interface}
	for _, a := range n.Addresses {
		parts = append(parts, a.String())
	}
	if len(n.Gateways) > 0 {
		parts = append(parts, "gateway "+join(n.Gateways))
	}
	if n.Lan == "" {
		parts = append(parts, "bridge "+n.Bridge)
	}
	for _, w := range []struct {
		given bool
		word  string
	}{
		{n.Lan != "", n.Lan},
		{n.Default, "default route"},
		{n.Internal, "internal"},
		{n.Isolated, "members apart (enable_icc=false)"},
		{n.In != "", "in limited to " + n.In},
		{n.Out != "", "out limited to " + n.Out},
	} {
		if w.given {
			parts = append(parts, w.word)
		}
	}
	return n.Name + ": " + strings.Join(parts, ", ")
}

// printable keeps names of others' tables from writing to a terminal what they like.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
