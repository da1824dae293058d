package network

import (
	"berth/test/berthtest"
	"encoding/json"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// path and told are what the tests read of an explanation.
type path struct {
	Answer, What, Rule, Why string
	Unless                  []struct{ Family, Table, Name string }
}

type told struct {
	Networks []struct {
		Name     string
		Elements []struct {
			Set, Text string
			Live      bool
		}
	}
	Inward []struct {
		What  string
		Paths []path
	}
	Outward         []path
	Names, Problems []string
}

func (l *lab) explain(name string) (x told) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.Must(l.t, "network", "explain", "--format", "json", name)), &x); err != nil {
		l.t.Fatal(err)
	}
	return x
}

// at finds what is said of the one thing of the container that has these words.
func (x told) at(t *testing.T, words string) []path {
	t.Helper()
	for _, in := range x.Inward {
		if strings.Contains(in.What, words) {
			return in.Paths
		}
	}
	t.Fatalf("nothing is said of %q: %+v", words, x.Inward)
	return nil
}

// says finds the one path whose words begin so.
func says(t *testing.T, paths []path, words string) path {
	t.Helper()
	var found []path
	for _, p := range paths {
		if strings.HasPrefix(p.What, words) {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d paths begin with %q: %+v", len(found), words, paths)
	}
	return found[0]
}

// really compares an answer with a connection.
func really(t *testing.T, p path) func(got string, err error) {
	t.Helper()
	return func(got string, err error) {
		t.Helper()
		if p.Answer != "yes" && p.Answer != "no" || (p.Answer == "yes") != (err == nil) {
			t.Errorf("said: %+v; a connection: %q, %v", p, got, err)
		}
	}
}

// rules is what nft shows of berth's table.
func (l *lab) rules() string {
	l.t.Helper()
	out, err := exec.Command("nft", "list", "table", "inet", l.table()).CombinedOutput()
	if err != nil {
		l.t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

// quoted checks that nft lists every rule and element that is named.
func (l *lab) quoted(x told) {
	l.t.Helper()
	listed := map[string]string{} // chain or set to what nft shows of it
	name := ""
	for line := range strings.Lines(l.rules()) {
		if words := strings.Fields(line); len(words) == 3 && words[2] == "{" && words[0] != "table" {
			name = words[1]
		}
		listed[name] += strings.TrimSpace(line) + "\n"
	}
	all := slices.Clone(x.Outward)
	for _, in := range x.Inward {
		all = append(all, in.Paths...)
	}
	for _, p := range all {
		chain, rule, _ := strings.Cut(p.Rule, ": ")
		if p.Rule == "" && p.Why == "" || p.Rule != "" && !strings.Contains(listed[chain], rule+"\n") {
			l.t.Errorf("no such rule: %+v in\n%s", p, listed[chain])
		}
	}
	for _, n := range x.Networks {
		for _, e := range n.Elements {
			if !e.Live || !strings.Contains(listed[e.Set], e.Text) {
				l.t.Errorf("network %s: element %+v is not in\n%s", n.Name, e, listed[e.Set])
			}
		}
	}
}

// TestExplain: what is said is what connections meet.
func TestExplain(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--ipv6", "n1")
	l.Must(t, "network", "create", "n2")
	l.Must(t, "network", "create", "--internal", "inner")
	l.Must(t, "network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "lonely")
	l.serve("web", "--network n1 -p 8080:80 -p 127.0.0.1:8081:80 -p 192.0.2.1:8082:80/udp -p [::1]:8083:80")
	l.serve("peer", "--network n1")
	l.serve("other", "--network n2")
	l.serve("i1", "--network inner")
	l.serve("i2", "--network inner")
	l.serve("l1", "--network lonely -p 8090:80")
	l.serve("l2", "--network lonely")
	o.listen(t)

	x := l.explain("web")
	if len(x.Problems) > 0 {
		t.Errorf("problems: %v", x.Problems)
	}
	l.quoted(x)
	all := x.at(t, "0.0.0.0:8080/tcp")
	really(t, says(t, all, "other hosts"))(o.ask("tcp", at(hostAddr, "8080")))
	really(t, says(t, all, "this host, by each"))(ask("tcp", at(hostAddr, "8080")))
	really(t, says(t, all, "this host, by 127"))(ask("tcp", "127.0.0.1:8080"))
	really(t, says(t, all, "containers of every network"))(l.in("other", "ask", "tcp", at(hostAddr, "8080")))
	really(t, says(t, all, "containers of every network"))(l.in("peer", "ask", "tcp", at(hostAddr, "8080")))
	really(t, says(t, all, "containers of internal"))(l.in("i1", "ask", "tcp", at(text(l.endpoint("i1", "inner").Gateway), "8080")))
	all = x.at(t, "[::]:8080/tcp")
	really(t, says(t, all, "other hosts"))(o.ask("tcp", at(hostAddr6, "8080")))
	really(t, says(t, all, "this host, by ::1"))(ask("tcp", "[::1]:8080"))
	all = x.at(t, "127.0.0.1:8081")
	really(t, says(t, all, "this host"))(ask("tcp", "127.0.0.1:8081"))
	really(t, says(t, all, "other hosts"))(o.ask("tcp", at(hostAddr, "8081")))
	all = x.at(t, "192.0.2.1:8082/udp")
	really(t, says(t, all, "other hosts"))(o.ask("udp", at(hostAddr, "8082")))
	really(t, says(t, all, "this host"))(ask("udp", at(hostAddr, "8082")))
	really(t, says(t, x.at(t, "[::1]:8083"), "this host"))(ask("tcp", "[::1]:8083"))
	all = x.at(t, "every port at")
	really(t, says(t, all, "containers of network n1"))(l.in("peer", "ask", "tcp", at(l.addr("web", "n1"), "80")))
	really(t, says(t, all, "this host"))(ask("tcp", at(l.addr("web", "n1"), "80")))
	really(t, says(t, all, "containers of other networks"))(l.in("other", "ask", "tcp", at(l.addr("web", "n1"), "80")))
	really(t, says(t, all, "other hosts"))(o.ask("tcp", at(l.addr("web", "n1"), "80")))
	really(t, says(t, x.Outward, "every port of containers of network n1: peer "+l.addr("peer", "n1")))(l.in("web", "ask", "tcp", at(l.addr("peer", "n1"), "80")))
	really(t, says(t, x.Outward, "published ports"))(l.in("web", "ask", "tcp", at(hostAddr, "8090")))
	really(t, says(t, x.Outward, "other ports"))(l.in("web", "ask", "tcp", at(l.addr("other", "n2"), "80")))
	really(t, says(t, x.Outward, "other hosts, by IPv4, with the address of the interface"))(l.in("web", "ask", "tcp", at(otherAddr, "80")))
	really(t, says(t, x.Outward, "other hosts, by IPv6, with the address of the interface"))(l.in("web", "ask", "tcp", at(other6, "80")))

	x = l.explain("l1")
	l.quoted(x)
	really(t, says(t, x.at(t, "every port"), "containers of network lonely"))(l.in("l2", "ask", "tcp", at(l.addr("l1", "lonely"), "80")))
	all = x.at(t, "0.0.0.0:8090")
	really(t, says(t, all, "containers of every"))(l.in("other", "ask", "tcp", at(hostAddr, "8090")))
	back := "containers of every network" // with br_netfilter it is said apart
	if slices.ContainsFunc(all, func(p path) bool { return strings.HasPrefix(p.What, "containers of network lonely") }) {
		back = "containers of network lonely"
	}
	really(t, says(t, all, back))(l.in("l2", "ask", "tcp", at(hostAddr, "8090")))
	really(t, says(t, x.Outward, "other hosts, by IPv6"))(l.in("l1", "ask", "tcp", at(other6, "80")))

	x = l.explain("i1")
	l.quoted(x)
	really(t, says(t, x.at(t, "every port"), "containers of network inner"))(l.in("i2", "ask", "tcp", at(l.addr("i1", "inner"), "80")))
	really(t, says(t, x.at(t, "every port"), "containers of other networks"))(l.in("web", "ask", "tcp", at(l.addr("i1", "inner"), "80")))
	really(t, says(t, x.at(t, "every port"), "containers of other networks, and other hosts"))(o.ask("tcp", at(l.addr("i1", "inner"), "80")))
	really(t, says(t, x.at(t, "every port"), "this host"))(ask("tcp", at(l.addr("i1", "inner"), "80")))
	really(t, says(t, x.Outward, "other hosts"))(l.in("i1", "ask", "tcp", at(otherAddr, "80")))
	really(t, says(t, x.Outward, "containers of other networks"))(l.in("i1", "ask", "tcp", at(text(l.endpoint("i1", "inner").Gateway), "8080")))
	gw := text(l.endpoint("i1", "inner").Gateway)
	ours, err := net.Listen("tcp", at(gw, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	go berthtest.Answer(ours) // ends with the listener
	_, port, _ := net.SplitHostPort(ours.Addr().String())
	really(t, says(t, x.Outward, "this host's own ports, at "+gw))(l.in("i1", "ask", "tcp", at(gw, port)))
}

// TestExplainFirewall: what others changed is told: chains of their own that may drop, and
// elements that the kernel has no more.
func TestExplainFirewall(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "n1")
	l.serve("web", "--network n1 -p 8080:80 -p 8081:80")
	shell(t, `nft -f - <<-'X'
		table inet foreign {
			chain judge {
				tcp dport 80 drop
			}
			chain some {
				type filter hook forward priority 10
				jump judge
			}
			chain every {
				type filter hook forward priority 20; policy drop
			}
			chain none {
				type filter hook forward priority 30
				counter
			}
		}
		table ip6 six {
			chain every {
				type filter hook output priority 0; policy drop
			}
		}
		table ip asleep {
			flags dormant
			chain every {
				type filter hook output priority 0; policy drop
			}
		}
	X`)
	t.Cleanup(func() {
		for _, table := range []string{"inet foreign", "ip6 six", "ip asleep"} {
			_ = exec.Command("nft", "delete table "+table).Run() // the test may have ended before
		}
	})
	p := says(t, l.explain("web").at(t, ":8080"), "other hosts")
	if p.Answer != "perhaps" || len(p.Unless) != 2 || p.Unless[0].Name != "some" || p.Unless[1].Name != "every" || p.Unless[0].Table != "foreign" {
		t.Errorf("foreign chains: %+v", p)
	}
	wantError(t, "what may be dropped", "silent")(o.ask("tcp", at(hostAddr, "8080")))
	really(t, says(t, l.explain("web").at(t, ":8080"), "this host, by each"))(ask("tcp", at(hostAddr, "8080")))
	wantWords(t, "text", l.Must(t, "network", "explain", "web"),
		"perhaps    other hosts", "unless dropped by inet foreign every",
		"table inet foreign chain some (hook forward priority 10; policy accept)", "table ip6 six chain every (hook output priority 0; policy drop)")
	if text := l.Must(t, "network", "explain", "web"); strings.Contains(text, "chain none") || strings.Contains(text, "asleep") {
		t.Errorf("chains that drop nothing are listed:\n%s", text)
	}
	shell(t, "nft delete table inet foreign; nft delete table ip6 six; nft delete table ip asleep")

	table := "inet " + l.table()
	bridge := l.bridge("n1")
	self := l.addr("web", "n1")
	// While a port leads elsewhere berthd does not add others that are missing.
	shell(t, "nft 'delete element "+table+" ports4 { tcp . 8081 }; add element "+table+" ports4 { tcp . 8081 : 172.31.255.9 . 81 }'; nft 'delete element "+table+" ports4 { tcp . 8080 }'")
	x := l.explain("web")
	really(t, says(t, x.at(t, ":8080"), "everybody"))(o.ask("tcp", at(hostAddr, "8080")))
	if p := says(t, x.at(t, ":8081"), "everybody"); p.Answer != "no" || !strings.Contains(p.Why, "172.31.255.9 . 81") {
		t.Errorf("a port that leads elsewhere: %+v", p)
	}
	wantWords(t, "problems", strings.Join(x.Problems, "\n"), "the kernel has no ports4 { tcp . 8080 : "+self+" . 80 }", "leads to 172.31.255.9 . 81")
	// A bridge is added again, perhaps before it is looked for.
	again(t, "no bridge", "yes", func() (string, error) {
		shell(t, "nft add element "+table+" bridges '{ \""+bridge+"\" }'; nft delete element "+table+" bridges '{ \""+bridge+"\" }'")
		x = l.explain("web")
		return x.at(t, "every port")[2].Answer, nil
	})
	wantWords(t, "problems", strings.Join(x.Problems, "\n"), `the kernel has no bridges { "`+bridge+`" }`)
	wantWords(t, "text", l.Must(t, "network", "explain", "web"), "PROBLEMS", "MISSING in the kernel")
}

// TestExplainOthers: containers without a network of berth's, or with another's.
func TestExplainOthers(t *testing.T) {
	l := start(t)
	l.serve("web", "-p 8080:80")
	l.Must(t, args("run -d --name guest --network container:web toolbox sleep 1000")...)
	l.Must(t, args("run -d --name hosted --network host toolbox sleep 1000")...)
	l.Must(t, args("run -d --name alone --network none toolbox sleep 1000")...)
	l.Must(t, args("create --name down toolbox true")...)
	wantWords(t, "guest", l.Must(t, "network", "explain", "guest"), "the network of container web", "0.0.0.0:8080/tcp", l.addr("web", "bridge"))
	wantWords(t, "hosted", l.Must(t, "network", "explain", "hosted"), "the host's own network")
	wantWords(t, "alone", l.Must(t, "network", "explain", "alone"), "no network")
	if got := l.Must(t, "network", "explain", "-f", "{{len .Networks}} {{(index .Inward 0).Port.Element.Set}}", "web"); got != "1 ports4" {
		t.Errorf("template: %s", got)
	}
	l.Must(t, "network", "disconnect", "bridge", "web")
	wantWords(t, "without networks", l.Must(t, "network", "explain", "web"), "the container is in no network")
	l.Must(t, "restart", "-t", "0", "web")
	for name, want := range map[string]string{
		"down": "container down does not run", "nobody": "nobody", "a/b": "no name",
		"guest": "berth restart guest joins the present one",
	} {
		out, errOut, code := l.Berth(t, "network", "explain", name)
		if code == 0 || out != "" || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("explain %s: exit code %d: %s%s; want %s", name, code, out, errOut, want)
		}
	}
}
