package network

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux/netns"
)

// needs skips a test if the kernel is built without a kind of device. Linux 6.1 in
// make test-vm has all of them.
func needs(t *testing.T, kinds ...string) {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	how := map[string]string{
		"macvlan": "link add link x1 name y1 type macvlan", "ipvlan": "link add link x1 name y1 type ipvlan",
		"vlan": "link add link x1 name y1 type vlan id 2", "dummy": "link add y1 type dummy",
	}
	for _, kind := range kinds {
		err := netns.Do(ns, func() error {
			return script("ip link show x1 >/dev/null 2>&1 || ip link add x1 type veth peer name x2; ip " + how[kind] + "; ip link del y1")
		})
		if err != nil && (strings.Contains(err.Error(), "Unknown device type") || strings.Contains(err.Error(), "not supported")) {
			t.Skipf("this kernel has no %s", kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// lan are the options of a network at the LAN of the cable.
const lan = "--subnet 192.0.2.0/24 --gateway 192.0.2.2 --ip-range 192.0.2.128/26 --ipv6 --subnet 2001:db8::/64 --gateway 2001:db8::2 --ip-range 2001:db8::1:0/112 -o parent=cable "

// TestLan: containers at the LAN of a device of the host are reached there, and
// reach others, by their own addresses; by name among each other.
func TestLan(t *testing.T) {
	for name, options := range map[string]string{
		"macvlan": "-d macvlan", "ipvlan": "-d ipvlan", "ipvlan l2": "-d ipvlan -o ipvlan_mode=l2 -o ipvlan_flag=bridge", "mtu": "-d macvlan -o com.docker.network.driver.mtu=1400",
	} {
		t.Run(name, func(t *testing.T) {
			needs(t, strings.Fields(options)[1])
			l := start(t)
			o := cable(t)
			o.listen(t)
			before := devices(t, "")
			l.Must(t, args("network create", options, lan, "lan")...)
			l.Must(t, "network", "create", "side")
			l.serve("c1", "--network lan --network-alias web")
			l.serve("c2", "--network lan")
			l.serve("mover", "--network side")
			for _, v := range []struct {
				addr  func(name, in string) string
				other string
			}{{l.addr, otherAddr}, {l.addr6, other6}} {
				c1, c2 := v.addr("c1", "lan"), v.addr("c2", "lan")
				want(t, "from the LAN", v.other)(o.ask("tcp", at(c1, "80")))
				want(t, "to the LAN", c1)(l.in("c1", "ask", "tcp", at(v.other, "80")))
				want(t, "container to container", c1)(l.in("c1", "ask", "tcp", at(c2, "80")))
				if got, err := ask("tcp", at(c1, "80")); err == nil {
					t.Errorf("the host reaches a container at its LAN: %s", got)
				}
			}
			self := sorted(l.addr("c1", "lan"), l.addr6("c1", "lan"))
			l.found("c2", map[string]string{"c1": self, "web": self, "web.lan": self, l.addr("c1", "lan"): "c1.lan.", "mover": "-"})
			if got := l.Must(t, "exec", "c1", "cat", "/etc/resolv.conf"); !strings.Contains(got, "nameserver 192.0.2.191") {
				t.Errorf("the name server is not in the range:\n%s", got)
			}
			if got := l.Must(t, "exec", "c1", "ip", "route"); !strings.Contains(got, "default via 192.0.2.2 dev eth0") {
				t.Errorf("routes:\n%s", got)
			}
			if mac := l.endpoint("c1", "lan").MacAddress.String(); !strings.Contains(l.Must(t, "exec", "c1", "ip", "a", "show", "eth0"), mac) {
				t.Errorf("inspect shows another MAC address: %s", mac)
			}
			if name == "mtu" && !strings.Contains(l.Must(t, "exec", "c1", "ip", "a", "show", "eth0"), "mtu 1400") {
				t.Error("MTU is not 1400")
			}
			if out := l.Must(t, "stats", "--no-stream", "--format", "{{.NetIO}}", "c1"); strings.HasPrefix(out, "0B") {
				t.Errorf("stats of c1: %s", out)
			}

			// A running container moves between a bridge and the LAN.
			l.Must(t, "network", "connect", "--alias", "moved", "lan", "mover")
			want(t, "connected", otherAddr)(o.ask("tcp", at(l.addr("mover", "lan"), "80")))
			l.found("c1", map[string]string{"moved": sorted(l.addr("mover", "lan"), l.addr6("mover", "lan"))})
			gone := l.addr("mover", "lan")
			l.Must(t, "network", "disconnect", "lan", "mover")
			wantError(t, "disconnected", "")(o.ask("tcp", at(gone, "80")))
			l.Must(t, "network", "disconnect", "side", "mover")
			l.Must(t, "network", "connect", "lan", "mover")
			want(t, "in the LAN alone", l.addr("mover", "lan"))(l.in("mover", "ask", "tcp", at(otherAddr, "80")))

			// An address is free at once when a container has ended, however short it was.
			for range 3 {
				l.Must(t, args("run --rm --network lan --ip 192.0.2.77 toolbox true")...)
			}
			l.Must(t, "restart", "-t", "0", "c1")
			again(t, "after a restart", otherAddr, func() (string, error) { return o.ask("tcp", at(l.addr("c1", "lan"), "80")) })

			_, errOut, code := l.Berth(t, args("run --rm --network lan -p 8080:80 toolbox true")...)
			if code != 0 || !strings.Contains(errOut, "discarded") {
				t.Errorf("-p in a LAN: exit code %d, %q; want a warning", code, errOut)
			}
			l.Must(t, "rm", "-f", "c1", "c2", "mover")
			l.Must(t, "network", "rm", "lan", "side")
			nothingNew(t, before)
		})
	}
}

// nothingNew checks that the host has no device that it had not before, but the default
// network's bridge. What an earlier test has left may still be on its way out.
func nothingNew(t *testing.T, before []string) {
	t.Helper()
	again(t, "new devices on the host", "", func() (string, error) {
		left := slices.DeleteFunc(devices(t, ""), func(name string) bool {
			return slices.Contains(before, name) || strings.HasPrefix(name, "berth0")
		})
		return strings.Join(left, " "), nil
	})
}

// TestLanRecovery: a parent that is made again, and a berthd that is killed.
func TestLanRecovery(t *testing.T) {
	for _, kind := range []string{"macvlan", "ipvlan"} {
		t.Run(kind, func(t *testing.T) {
			needs(t, kind)
			l := start(t)
			o := cable(t)
			l.Must(t, args("network create -d", kind, lan, "lan")...)
			l.serve("c1", "--network lan")
			l.serve("c2", "--network lan")
			c1 := sorted(l.addr("c1", "lan"), l.addr6("c1", "lan"))
			addr := l.addr("c1", "lan")
			if err := l.Kill(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			want(t, "without a daemon", otherAddr)(o.ask("tcp", at(addr, "80")))
			l.Must(t, "ps")
			l.found("c2", map[string]string{"c1": c1})

			shell(t, "ip link del cable")
			o = cable(t)
			again(t, "with the parent made again", otherAddr, func() (string, error) { return o.ask("tcp", at(addr, "80")) })
			again(t, "with the parent made again, IPv6", other6, func() (string, error) { return o.ask("tcp", at(l.addr6("c1", "lan"), "80")) })
			again(t, "by name", l.addr("c2", "lan"), func() (string, error) { return l.in("c2", "ask", "tcp4", "c1:80") })
			l.Must(t, "restart", "-t", "0", "c1")
			again(t, "after a restart", otherAddr, func() (string, error) { return o.ask("tcp", at(l.addr("c1", "lan"), "80")) })
			l.Must(t, "rm", "-f", "c1", "c2")
			l.Must(t, "network", "rm", "lan")
		})
	}
}

// TestLanModes: what the modes let through.
func TestLanModes(t *testing.T) {
	needs(t, "macvlan")
	l := start(t)
	o := cable(t)
	o.listen(t)
	run := func(options string) {
		t.Helper()
		l.Must(t, args("network create", lan, options, "lan")...)
		l.serve("c1", "--network lan")
		o.do(t, func() error { return script("ip neigh flush all") }) // the same address had another MAC address
		want(t, options+": from the LAN", otherAddr)(o.ask("tcp", at(l.addr("c1", "lan"), "80")))
	}
	end := func(names ...string) {
		t.Helper()
		l.Must(t, args("rm -f", names)...)
		l.Must(t, "network", "rm", "lan")
	}
	run("-d macvlan -o macvlan_mode=private")
	l.serve("c2", "--network lan")
	wantError(t, "private", "")(l.in("c1", "ask", "tcp", at(l.addr("c2", "lan"), "80")))
	if got := l.Must(t, "exec", "c1", "cat", "/etc/resolv.conf"); strings.Contains(got, "192.0.2.") {
		t.Errorf("a name server that private containers do not reach:\n%s", got)
	}
	end("c1", "c2")

	run("-d macvlan -o macvlan_mode=passthru")
	if _, errOut, code := l.Berth(t, args("run --rm --network lan toolbox true")...); code != 125 || !strings.Contains(errOut, "c1 is in it") {
		t.Errorf("a second container in mode passthru: exit code %d, %q", code, errOut)
	}
	l.Must(t, "restart", "-t", "0", "c1")
	again(t, "after a restart in mode passthru", otherAddr, func() (string, error) { return o.ask("tcp", at(l.addr("c1", "lan"), "80")) })
	end("c1")

	run("-d macvlan -o macvlan_mode=vepa")
	l.serve("c2", "--network lan")
	wantError(t, "vepa, a switch that sends nothing back", "")(l.in("c1", "ask", "tcp", at(l.addr("c2", "lan"), "80")))
	end("c1", "c2")
}

// TestIpvlanL3: the host routes, so the LAN needs a route to the containers.
func TestIpvlanL3(t *testing.T) {
	needs(t, "ipvlan")
	for _, mode := range []string{"l3", "l3s"} {
		t.Run(mode, func(t *testing.T) {
			l := start(t)
			o := cable(t)
			o.listen(t)
			o.do(t, func() error { return script("ip route add 10.44.0.0/24 via " + hostAddr) })
			l.Must(t, args("network create -d ipvlan --subnet 10.44.0.0/24 -o parent=cable -o ipvlan_mode="+mode, "lan")...)
			l.serve("c1", "--network lan")
			l.serve("c2", "--network lan")
			want(t, "from the LAN", otherAddr)(o.ask("tcp", at(l.addr("c1", "lan"), "80")))
			want(t, "to the LAN", l.addr("c1", "lan"))(l.in("c1", "ask", "tcp", at(otherAddr, "80")))
			want(t, "by name", l.addr("c1", "lan"))(l.in("c1", "ask", "tcp", "c2:80"))
			if got := l.Must(t, "exec", "c1", "ip", "route"); !strings.Contains(got, "default dev eth0") {
				t.Errorf("routes:\n%s", got)
			}
			if ep := l.endpoint("c1", "lan"); ep.Gateway.IsValid() {
				t.Errorf("inspect shows gateway %s", ep.Gateway)
			}
			_, errOut, code := l.Berth(t, args("network create -d ipvlan --subnet 10.45.0.0/24 -o parent=cable other")...)
			if code == 0 || !strings.Contains(errOut, "one mode for all") {
				t.Errorf("a second mode on a parent: %d, %s", code, errOut)
			}
			l.Must(t, "rm", "-f", "c1", "c2")
			l.Must(t, "network", "rm", "lan")
		})
	}
}

// TestVLAN: the parent is a VLAN that berth makes, and removes if nobody has it.
func TestVLAN(t *testing.T) {
	needs(t, "macvlan", "vlan")
	l := start(t)
	o := cable(t)
	o.do(t, func() error {
		return script("ip link add link eth0 name eth0.50 type vlan id 50; ip addr add 10.50.0.2/24 dev eth0.50; ip link set eth0.50 up")
	})
	l.Must(t, args("network create -d macvlan -o parent=cable.50 --subnet 10.50.0.0/25 --gateway 10.50.0.2 --ip-range 10.50.0.16/28 v1")...)
	l.Must(t, args("network create -d macvlan -o parent=cable.50 --subnet 10.50.0.128/25 v2")...)
	l.serve("c1", "--network v1")
	want(t, "in the VLAN", "10.50.0.2")(o.ask("tcp", at(l.addr("c1", "v1"), "80")))
	addr := l.addr("c1", "v1")
	shell(t, "ip link del cable.50") // as a reboot does
	again(t, "in the VLAN that was made again", "10.50.0.2", func() (string, error) { return o.ask("tcp", at(addr, "80")) })
	l.Must(t, "rm", "-f", "c1")
	l.Must(t, "network", "rm", "v1")
	if len(devices(t, "cable.50")) != 1 {
		t.Error("the parent of another network was removed")
	}
	l.Must(t, "network", "prune", "-f")
	if left := devices(t, "cable."); len(left) > 0 {
		t.Errorf("left: %s", left)
	}
	shell(t, "ip link add link cable name cable.60 type vlan id 60")
	l.Must(t, args("network create -d macvlan -o parent=cable.60 v3")...)
	l.Must(t, "network", "rm", "v3")
	if len(devices(t, "cable.60")) != 1 {
		t.Error("a VLAN that berth did not make was removed")
	}
}

// TestLanWithoutParent: the network is an internal one.
func TestLanWithoutParent(t *testing.T) {
	for _, kind := range []string{"macvlan", "ipvlan"} {
		t.Run(kind, func(t *testing.T) {
			needs(t, kind, "dummy")
			l := start(t)
			cable(t)
			before := devices(t, "")
			l.Must(t, "network", "create", "-d", kind, "inner")
			l.serve("c1", "--network inner")
			l.serve("c2", "--network inner")
			want(t, "within it", l.addr("c1", "inner"))(l.in("c1", "ask", "tcp", "c2:80"))
			wantError(t, "out of it", "unreachable")(l.in("c1", "ask", "tcp", at(otherAddr, "80")))
			if !l.network("inner").Internal {
				t.Error("inspect does not show that it is internal")
			}
			dummy := map[string]string{"macvlan": "dm-", "ipvlan": "di-"}[kind] + l.network("inner").ID[:12]
			shell(t, "ip link del "+dummy) // as a reboot does
			again(t, "with the parent made again", l.addr("c1", "inner"), func() (string, error) { return l.in("c1", "ask", "tcp", "c2:80") })
			l.Must(t, "rm", "-f", "c1", "c2")
			l.Must(t, "network", "rm", "inner")
			nothingNew(t, before)
		})
	}
}

// TestLanErrors: each mistake gets one line, and leaves nothing.
func TestLanErrors(t *testing.T) {
	needs(t, "macvlan")
	l := start(t)
	cable(t)
	shell(t, "ip link add bridged type veth peer name bridged1; ip link add swi type bridge; ip link set bridged master swi")
	t.Cleanup(func() { shell(t, "ip link del bridged; ip link del swi; ip link del cable1 2>/dev/null || true") })
	l.Must(t, args("network create -d macvlan", lan, "lan")...)
	l.serve("c1", "--network lan")
	before := devices(t, "")
	cases := map[string]string{
		"create -d macvlan -o parent=nowhere n2":                                                          "parent device nowhere does not exist",
		"create -d macvlan -o parent=nowhere.5 n2":                                                        "parent device nowhere.5 does not exist",
		"create -d macvlan -o parent=cable.5000 n2":                                                       "1 to 4094",
		"create -d macvlan -o parent=cable.x n2":                                                          "1 to 4094",
		"create -d macvlan -o parent=cable.007 n2":                                                        "1 to 4094",
		"create -d macvlan -o parent=a/b n2":                                                              "a/b",
		"create -d macvlan -o parent=lo n2":                                                               "loopback",
		"create -d macvlan -o parent=bridged n2":                                                          "choose another parent",
		"create -d macvlan -o parent=cable -o macvlan_mode=odd n2":                                        "macvlan_mode=",
		"create -d macvlan -o parent=cable -o ipvlan_mode=l2 n2":                                          "unknown option",
		"create -d macvlan -o parent=cable -o macvlan_mode=passthru n2":                                   "network lan, and mode passthru takes a parent alone",
		"create -d ipvlan -o parent=cable n2":                                                             "macvlan network lan",
		"create -d ipvlan -o parent=bridged1 -o ipvlan_mode=l4 n2":                                        "ipvlan_mode=",
		"create -d ipvlan -o parent=bridged1 -o ipvlan_flag=odd n2":                                       "ipvlan_flag=",
		"create -d macvlan -o parent=cable -o com.docker.network.driver.mtu=9000 --subnet 10.3.0.0/24 n2": "parent cable",
		"create -d macvlan -o parent=cable --subnet 192.0.2.0/25 n2":                                      "of network lan",
		"create -d macvlan -o parent=bridged1 -o com.docker.network.bridge.name=x n2":                     "unknown option",
		"rm lan": "in use by c1",
	}
	for how, why := range cases {
		_, errOut, code := l.Berth(t, args("network", how)...)
		if code == 0 || !strings.Contains(errOut, why) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("berth network %s: exit code %d, %q; want one line with %q", how, code, errOut, why)
		}
	}
	nothingNew(t, before)
	if got := l.Must(t, "network", "ls", "--filter", "driver=macvlan", "--format", "{{.Name}} {{.Driver}}"); strings.TrimSpace(got) != "lan macvlan" {
		t.Errorf("network ls: %s", got)
	}
}

// TestLanDockerCLI: the stock docker CLI makes and uses such a network.
func TestLanDockerCLI(t *testing.T) {
	needs(t, "macvlan")
	cli, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal("there is no docker CLI: make test-deps installs it")
	}
	l := start(t)
	o := cable(t)
	l.Must(t, "pull", "-q", "toolbox")
	docker := l.docker(cli)
	docker(args("network create -d macvlan --subnet 192.0.2.0/24 --gateway 192.0.2.2 --ip-range 192.0.2.64/27 --aux-address x=192.0.2.64 -o parent=cable lan")...)
	docker(args("run -d --name web --network lan", player("serve"), "toolbox /x 80")...)
	l.serving("web")
	if got := l.addr("web", "lan"); got != "192.0.2.65" {
		t.Errorf("the address is %s", got)
	}
	want(t, "from the LAN", otherAddr)(o.ask("tcp", at("192.0.2.65", "80")))
	if got := docker("network", "inspect", "lan", "-f", "{{.Driver}} {{.Options.parent}} {{len .Containers}}"); got != "macvlan cable 1" {
		t.Errorf("inspect: %s", got)
	}
	docker("network", "disconnect", "lan", "web")
	docker("network", "connect", "--ip", "192.0.2.70", "lan", "web")
	want(t, "connected again", otherAddr)(o.ask("tcp", at("192.0.2.70", "80")))
	docker("rm", "-f", "web")
	docker("network", "rm", "lan")
}
