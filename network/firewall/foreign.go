package firewall

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Chain is a base chain of another table, which may drop what passes its hook.
type Chain struct {
	Family   string // ip, ip6, inet or bridge
	Table    string
	Name     string
	Hook     string // prerouting, input, forward, output or postrouting
	Priority int32
	// Policy is accept or drop. With accept some rule drops, or one that
	// berth cannot read.
	Policy string
}

// String is the chain in one line, the hook and policy as nft(8) writes them.
func (c Chain) String() string {
	return fmt.Sprintf("table %s %s chain %s (hook %s priority %d; policy %s)", c.Family, c.Table, c.Name, c.Hook, c.Priority, c.Policy)
}

// Foreign lists the base chains of other tables that may drop packets: by their policy, or by
// a rule of theirs or of a chain that they jump to. Their rules are not weighed: whether one
// fits a packet is not known.
func (t *Table) Foreign() ([]Chain, error) {
	c, err := t.connect(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	defer func() { _ = c.CloseLasting() }() // it was read from
	all, err := c.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	tables, err := c.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list nftables tables: %w", err)
	}
	var found []Chain
	for _, chain := range all {
		family, hook := familyText(chain.Table.Family), hookText(chain)
		if t.wrote(c, chain) || family == "" || hook == "" || dormant(tables, chain.Table) {
			continue
		}
		out := Chain{Family: family, Table: chain.Table.Name, Name: chain.Name, Hook: hook, Priority: int32(*chain.Priority), Policy: "accept"}
		drops := chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop
		if drops {
			out.Policy = "drop"
		} else {
			drops = mayDrop(c, chain.Table, chain.Name, map[string]bool{})
		}
		if drops {
			found = append(found, out)
		}
	}
	slices.SortFunc(found, func(a, b Chain) int {
		return cmp.Or(cmp.Compare(a.Hook, b.Hook), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.String(), b.String()))
	})
	return found, nil
}

// wrote says whether a chain is one of berth's, or of another berthd of the host: its rules are
// the same, for other bridges.
func (t *Table) wrote(c *nftables.Conn, base *nftables.Chain) bool {
	if base.Table.Family != nftables.TableFamilyINet {
		return false
	}
	if base.Table.Name == t.name {
		return true
	}
	return slices.ContainsFunc(chains(), func(own chain) bool {
		if own.name != base.Name {
			return false
		}
		got, err := c.GetRules(base.Table, &nftables.Chain{Name: base.Name})
		return err == nil && sameRules(got, own.rules())
	})
}

func familyText(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyBridge:
		return "bridge"
	}
	return "" // its hooks are none of a packet's way between containers and hosts
}

// hookText names a hook (NF_INET_*, NF_BR_*: the same numbers); empty for another, and for
// a chain without one.
func hookText(c *nftables.Chain) string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting"}
	if c.Hooknum == nil || c.Priority == nil || int(*c.Hooknum) >= len(names) {
		return ""
	}
	return names[*c.Hooknum]
}

// dormant says whether a table is switched off (NFT_TABLE_F_DORMANT). The library does not
// turn the flags from the network's order into the host's.
func dormant(tables []*nftables.Table, table *nftables.Table) bool {
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool {
		return t.Name == table.Name && t.Family == table.Family && binary.BigEndian.Uint32(native(t.Flags))&1 != 0
	})
}

// mayDrop looks for a rule that drops in a chain and where it jumps to. What cannot be read may drop.
func mayDrop(c *nftables.Conn, table *nftables.Table, name string, seen map[string]bool) bool {
	if seen[name] {
		return false
	}
	seen[name] = true
	rules, err := c.GetRules(table, &nftables.Chain{Name: name})
	if err != nil {
		return true
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if drops, next := judges(e); drops || next != "" && mayDrop(c, table, next, seen) {
				return true
			}
		}
	}
	return false
}

// judges says whether an expression may drop a packet, or to which chain it goes.
func judges(e expr.Any) (drops bool, next string) {
	switch e := e.(type) {
	case *expr.Verdict:
		switch e.Kind {
		case expr.VerdictDrop:
			return true, ""
		case expr.VerdictJump, expr.VerdictGoto:
			return false, e.Chain
		}
	case *expr.Reject, *expr.Queue, *expr.SynProxy:
		return true, ""
	case *expr.Target: // of iptables-nft
		return slices.Contains([]string{"REJECT", "DROP", "TARPIT", "NFQUEUE", "SYNPROXY"}, e.Name), ""
	case *expr.Lookup: // in a map of verdicts: register 0 is the verdict
		return e.IsDestRegSet && e.DestRegister == 0, ""
	}
	return false, ""
}
