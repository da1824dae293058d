package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"berth/internal/linux/netns"
	"berth/test/berthtest"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Addresses of the cable between the host and the other host.
const (
	hostAddr  = "192.0.2.1"
	otherAddr = "192.0.2.2"
	hostAddr6 = "2001:db8::1"
	other6    = "2001:db8::2"
)

// outside is another host: a network namespace that has the host as its router.
type outside struct{ ns *os.File }

// cable makes another host for a test. Tests that use it do not run at once.
func cable(t *testing.T) *outside {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{ns}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", "cable").Run() // the namespace may be gone with its end
		ns.Close()
	})
	shell(t, fmt.Sprintf(`
		ip link add cable type veth peer name eth0 netns /proc/%d/fd/%d
		ip addr add %s/24 dev cable
		ip addr add %s/64 dev cable nodad
		ip link set cable up`, os.Getpid(), ns.Fd(), hostAddr, hostAddr6))
	o.do(t, func() error {
		return script(fmt.Sprintf(`
		ip link set lo up
		ip addr add %s/24 dev eth0
		ip addr add %s/64 dev eth0 nodad
		ip link set eth0 up
		ip route add default via %s
		ip -6 route add default via %s`, otherAddr, other6, hostAddr, hostAddr6))
	})
	return o
}

func (o *outside) do(t *testing.T, f func() error) {
	t.Helper()
	if err := netns.Do(o.ns, f); err != nil {
		t.Fatal(err)
	}
}

// ask is ask from the other host.
func (o *outside) ask(proto, addr string) (answer string, err error) {
	err = netns.Do(o.ns, func() (err error) {
		answer, err = ask(proto, addr)
		return err
	})
	return answer, err
}

func script(commands string) error {
	if out, err := exec.Command("sh", "-ec", commands).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", commands, err, out)
	}
	return nil
}

func shell(t *testing.T, commands string) {
	t.Helper()
	if err := script(commands); err != nil {
		t.Fatal(err)
	}
}

// lab is a berth with the tests' own words.
type lab struct {
	*berthtest.Instance
	t *testing.T
}

func start(t *testing.T) *lab {
	t.Helper()
	l := &lab{berthtest.Start(t), t}
	t.Cleanup(func() {
		if t.Failed() {
			for line := range strings.Lines(l.Log()) {
				if !strings.Contains(line, "level=INFO") {
					t.Log("berthd: " + line)
				}
			}
		}
	})
	return l
}

// player are the arguments that make a container play a role.
func player(role string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err) // procfs is not mounted
	}
	return []string{"-v", self + ":/x:ro", "-e", roleEnv + "=" + role}
}

// args joins lists of arguments.
func args(parts ...any) (all []string) {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			all = append(all, strings.Fields(p)...)
		case []string:
			all = append(all, p...)
		}
	}
	return all
}

// serve runs a container that serves port 80, with more options, and waits until it does.
func (l *lab) serve(name, options string) {
	l.t.Helper()
	l.Must(l.t, args("run -d --name", name, player("serve"), options, "toolbox /x 80")...)
	l.serving(name)
}

func (l *lab) serving(name string) {
	l.t.Helper()
	err := berthtest.Poll(func() error {
		if out, _, _ := l.Berth(l.t, "logs", name); !strings.Contains(out, "serving") {
			return fmt.Errorf("container %s serves not: %s", name, out)
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// in plays a role in a running container.
func (l *lab) in(name, role string, what ...string) (string, error) {
	l.t.Helper()
	out, errOut, code := l.Berth(l.t, args("exec -e", roleEnv+"="+role, name, "/x", what)...)
	if code != 0 {
		return "", errors.New(strings.TrimSpace(errOut))
	}
	return strings.TrimSuffix(out, "\n"), nil
}

// look resolves names in a container, one a line.
func (l *lab) look(name string, names ...string) string {
	l.t.Helper()
	out, err := l.in(name, "look", names...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func (l *lab) inspect(name string) (c container.InspectResponse) {
	l.t.Helper()
	decode(l.t, l.Must(l.t, "container", "inspect", name), &c)
	return c
}

func (l *lab) network(name string) (n network.Inspect) {
	l.t.Helper()
	decode(l.t, l.Must(l.t, "network", "inspect", name), &n)
	return n
}

// decode reads the one object of a list.
func decode[T any](t *testing.T, text string, to *T) {
	t.Helper()
	var all []T
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	*to = all[0]
}

// addr is a container's IPv4 address in a network, addr6 its IPv6 one.
func (l *lab) addr(name, in string) string  { return text(l.endpoint(name, in).IPAddress) }
func (l *lab) addr6(name, in string) string { return text(l.endpoint(name, in).GlobalIPv6Address) }

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (l *lab) endpoint(name, in string) network.EndpointSettings {
	l.t.Helper()
	c := l.inspect(name)
	if ep := c.NetworkSettings.Networks[in]; ep != nil {
		return *ep
	}
	return network.EndpointSettings{}
}

// bridge is the interface of a network.
func (l *lab) bridge(name string) string {
	n := l.network(name)
	if b := n.Options["com.docker.network.bridge.name"]; b != "" {
		return b
	}
	return "br-" + n.ID[:12]
}

// want checks an answer.
func want(t *testing.T, what, want string) func(got string, err error) {
	t.Helper()
	return func(got string, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", what, got, err, want)
		}
	}
}

// wantError checks that there is no answer, for the reason why.
func wantError(t *testing.T, what, why string) func(got string, err error) {
	t.Helper()
	return func(got string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %q, %v; want %s", what, got, err, why)
		}
	}
}

// listen serves port 80 on the other host until the test ends.
func (o *outside) listen(t *testing.T) {
	t.Helper()
	var server net.Listener
	o.do(t, func() (err error) {
		server, err = net.Listen("tcp", ":80")
		return err
	})
	t.Cleanup(func() { server.Close() })
	go berthtest.Answer(server) // ends with the server
}
