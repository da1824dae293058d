package lan

import (
	"strings"
	"testing"

	"berth/network/bridge"

	"github.com/containerd/errdefs"
)

func TestSet(t *testing.T) {
	id := strings.Repeat("a", 64)
	for _, c := range []struct {
		driver, key, value string
		ok                 bool
	}{
		{"macvlan", "parent", "eth0.50", true},
		{"macvlan", "parent", "", true},
		{"macvlan", "parent", "a/b", false},
		{"macvlan", "parent", "far-too-long-for-a-device", false},
		{"macvlan", "macvlan_mode", "passthru", true},
		{"macvlan", "macvlan_mode", "l2", false},
		{"macvlan", "ipvlan_mode", "l2", false},
		{"ipvlan", "ipvlan_mode", "l3s", true},
		{"ipvlan", "ipvlan_mode", "bridge", false},
		{"ipvlan", "ipvlan_flag", "vepa", true},
		{"ipvlan", "ipvlan_flag", "passthru", false},
		{"ipvlan", "macvlan_mode", "bridge", false},
		{"ipvlan", "com.docker.network.bridge.name", "x", false},
	} {
		err := Set(New(c.driver, id), c.key, c.value, "mtu")
		if c.ok != (err == nil) || err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s %s=%s: %v", c.driver, c.key, c.value, err)
		}
	}
	if err := New("ipvlan", id).Check(); err != nil {
		t.Errorf("defaults of ipvlan: %v", err)
	}
}

func TestShare(t *testing.T) {
	m := func(mode string) bridge.Lan { return bridge.Lan{Kind: bridge.Macvlan, Mode: mode, Parent: "eth0"} }
	i := func(mode, flag string) bridge.Lan {
		return bridge.Lan{Kind: bridge.Ipvlan, Mode: mode, Flag: flag, Parent: "eth0"}
	}
	other := m("passthru")
	other.Parent = "eth1"
	for _, c := range []struct {
		a, b bridge.Lan
		ok   bool
	}{
		{m("bridge"), m("bridge"), true},
		{m("bridge"), m("private"), true},
		{m("bridge"), other, true},
		{m("bridge"), m("passthru"), false},
		{m("passthru"), m("bridge"), false},
		{m("bridge"), i("l2", "bridge"), false},
		{i("l2", "bridge"), i("l2", "bridge"), true},
		{i("l2", "bridge"), i("l3", "bridge"), false},
		{i("l2", "bridge"), i("l2", "private"), false},
	} {
		if err := Share(c.a, c.b, "n"); c.ok != (err == nil) || err != nil && !errdefs.IsConflict(err) {
			t.Errorf("%+v beside %+v: %v", c.a, c.b, err)
		}
	}
}
