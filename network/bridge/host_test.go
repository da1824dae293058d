package bridge

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux/netns"
	"berth/internal/testutil"
)

// host is a network namespace of a test that stands for the host's.
type host struct {
	*Links
	t  *testing.T
	ns *os.File
}

func newHost(t *testing.T) *host {
	t.Helper()
	testutil.RequireRoot(t)
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	var links *Links
	err = netns.Do(ns, func() error {
		links, err = Open()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := links.Close(); err != nil {
			t.Error(err)
		}
		ns.Close()
	})
	h := &host{Links: links, t: t, ns: ns}
	h.run("ip", "link", "set", "lo", "up")
	return h
}

// run runs a command in the host and returns its output.
func (h *host) run(name string, args ...string) string {
	h.t.Helper()
	return runIn(h.t, h.ns, name, args...)
}

func runIn(t *testing.T, ns *os.File, name string, args ...string) string {
	t.Helper()
	var out []byte
	err := netns.Do(ns, func() error {
		var err error
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// device is what ip(8) tells of a device.
type device struct {
	Index    int      `json:"ifindex"`
	Name     string   `json:"ifname"`
	Flags    []string `json:"flags"`
	MTU      int      `json:"mtu"`
	Master   string   `json:"master"`
	Address  string   `json:"address"`
	Alias    string   `json:"ifalias"`
	GenMode  string   `json:"inet6_addr_gen_mode"`
	LinkInfo struct {
		Kind      string `json:"info_kind"`
		SlaveData struct {
			Isolated bool `json:"isolated"`
		} `json:"info_slave_data"`
	} `json:"linkinfo"`
	Addresses []struct {
		Local     string `json:"local"`
		Length    int    `json:"prefixlen"`
		Scope     string `json:"scope"`
		Tentative bool   `json:"tentative"`
		NoDAD     bool   `json:"nodad"`
	} `json:"addr_info"`
}

func (d *device) up() bool {
	for _, f := range d.Flags {
		if f == "UP" {
			return true
		}
	}
	return false
}

// global are its addresses without the link-local ones.
func (d *device) global(t *testing.T) string {
	var all []string
	for _, a := range d.Addresses {
		if a.Scope == "link" {
			continue
		}
		if a.Tentative {
			t.Errorf("%s: address %s is tentative", d.Name, a.Local)
		}
		all = append(all, netip.PrefixFrom(netip.MustParseAddr(a.Local), a.Length).String())
	}
	return strings.Join(all, " ")
}

// devices asks ip(8), by name.
func devices(t *testing.T, ns *os.File) map[string]*device {
	t.Helper()
	var all []*device
	if err := json.Unmarshal([]byte(runIn(t, ns, "ip", "-d", "-j", "address", "show")), &all); err != nil {
		t.Fatal(err)
	}
	byName := map[string]*device{}
	for _, d := range all {
		byName[d.Name] = d
	}
	return byName
}

func (h *host) sysctl(path string) string { return sysctlIn(h.t, h.ns, path) }

func sysctlIn(t *testing.T, ns *os.File, path string) string {
	t.Helper()
	return strings.TrimSpace(runIn(t, ns, "cat", sysctlRoot+path))
}

// container is a process in a network namespace of its own.
type container struct {
	pid int
	ns  *os.File
}

func newContainer(t *testing.T) *container {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ns, err := netns.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have been killed by the test
		_ = cmd.Wait()
		ns.Close()
	})
	return &container{cmd.Process.Pid, ns}
}

func prefixes(s string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range strings.Fields(s) {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func addrs(s string) []netip.Addr {
	var all []netip.Addr
	for _, a := range strings.Fields(s) {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
