package standalone

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// HOME is what the container's own /etc/passwd says, for a process and an exec,
// if the bundle does not say it; of a variable given twice the last counts.
func TestHome(t *testing.T) {
	c := newContainer(t, "sh", "-c", "echo $HOME $A; exec sleep 1000")
	c.capture()
	c.must(os.Mkdir(c.dir+"/rootfs/etc", 0o755))
	c.must(os.WriteFile(c.dir+"/rootfs/etc/passwd", []byte("root:x:0:0::/r:\nuser:x:7:7::/home/seven:\n"), 0o644))
	c.must(os.WriteFile(c.dir+"/users", []byte("user:x:7:7::/home/bound:\n"), 0o644))
	c.spec.Process.User, c.spec.Process.Env = specs.User{UID: 7}, []string{"A=1", "PATH=/bin", "A=2"}
	c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: "/etc/passwd", Source: c.dir + "/users", Options: []string{"bind"}})
	a := c.write()
	a.Detach = true
	_, err := c.runtime.Run(t.Context(), a)
	c.must(err)
	c.wantSaid(" 2\n")
	p := c.process("sh", "-c", "echo $HOME")
	p.User.UID = 8
	for range 2 {
		_, err = c.runtime.Exec(t.Context(), c.id, ExecArgs{Process: p})
		c.must(err)
		p = c.process("sh", "-c", "echo $HOME")
	}
	if said := c.said(); said != "/home/bound 2\n/\n/home/bound\n" {
		t.Errorf("HOME and A: %q", said)
	}
}

// The least that a bundle can say: no mounts but proc, no devices.
func TestBareRoot(t *testing.T) {
	c := newContainer(t, "sh", "-c", "echo x > /dev/null; cat /proc/keys /proc/timer_list; ls /proc/tty; (echo 1 > /proc/sys/kernel/panic) 2>/tmp/e || echo protected; "+
		"for f in null zero full random urandom tty; do [ -c /dev/$f ] && echo $f; done; for l in ptmx stdin fd; do readlink /dev/$l; done; pwd")
	c.capture()
	c.spec.Mounts, c.spec.Process.Cwd = c.spec.Mounts[:1], "/new/work"
	c.spec.Linux.MaskedPaths = []string{"/proc/keys", "/none", "/proc/timer_list", "/proc/tty"}
	code, err := c.runtime.Run(t.Context(), c.write())
	const want = "protected\nnull\nzero\nfull\nrandom\nurandom\ntty\npts/ptmx\n/proc/self/fd/0\n/proc/self/fd\n/new/work\n"
	if said := c.said(); code != 0 || err != nil || said != want {
		t.Errorf("exit %d, %v:\n%s", code, err, said)
	}
}

// The mount table is in the spec's order: from Linux 6.8 on it is that of the
// making, and both the keeper and the init make mounts.
func TestMountOrder(t *testing.T) {
	for _, userns := range []bool{false, true} {
		c := newContainer(t, "sh", "-c", "busybox awk '{print $5}' /proc/self/mountinfo")
		c.capture()
		if userns {
			ids := []specs.LinuxIDMapping{{HostID: 524288, Size: 65536}}
			c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			c.spec.Linux.UIDMappings, c.spec.Linux.GIDMappings = ids, ids
			c.must(os.Chown(c.dir+"/rootfs", 524288, 524288))
		}
		c.spec.Linux.MaskedPaths, c.spec.Linux.ReadonlyPaths = nil, nil
		c.spec.Mounts = append(c.spec.Mounts,
			specs.Mount{Destination: "/new", Type: "tmpfs", Source: "tmpfs"},
			specs.Mount{Destination: "/bound", Source: "/etc", Options: []string{"bind", "ro"}})
		var want []string
		for _, m := range c.spec.Mounts {
			want = append(want, m.Destination)
		}
		code, err := c.runtime.Run(t.Context(), c.write())
		got := strings.Fields(c.said())
		got = slices.DeleteFunc(got, func(at string) bool { return at == "/" }) // made beside them
		if code != 0 || err != nil || !slices.Equal(got, want) {
			t.Errorf("user namespace %v: exit %d, %v; mounts %q, want %q", userns, code, err, got, want)
		}
	}
}

// What a process is given besides credentials, without a keeper.
func TestAttributes(t *testing.T) {
	c := newContainer(t, "sh", "-c", "busybox uname -m; busybox cut -d' ' -f19,41 /proc/self/stat; busybox ionice; grep -c \" $KEYRING:\" /proc/keys")
	c.capture()
	c.spec.Process.Env = append(c.spec.Process.Env, "KEYRING=_ses."+c.id)
	c.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	c.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 4}
	c.spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
	code, err := c.runtime.Run(t.Context(), c.write())
	if said := c.said(); code != 0 || err != nil || said != "i686\n4 3\nidle\n1\n" {
		t.Errorf("exit %d, %v: %q", code, err, said)
	}
}

// Network devices of the host come into a new namespace, under their new names
// and with the addresses that somebody gave them.
func TestNetDevices(t *testing.T) {
	c := newContainer(t, "sh", "-c", "busybox ip -o addr | grep -v ' lo ' | busybox awk '$3 ~ /^inet/{print $2, $3, $4}' | grep -v fe80; busybox ip -o link | grep -c 'eth[0-9].*UP'; cat /proc/sys/net/ipv4/conf/eth0/rp_filter")
	c.capture()
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	one, two := "bt"+strconv.Itoa(os.Getpid()), "bu"+strconv.Itoa(os.Getpid())
	ip("link", "add", one, "type", "veth", "peer", "name", two)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", one).Run() }) // gone with the container, if that was made
	ip("addr", "add", "10.213.7.1/24", "dev", one)
	ip("addr", "add", "10.213.7.9", "peer", "10.213.8.9/32", "dev", one)
	ip("addr", "add", "fd13::7/64", "dev", one, "nodad")
	ip("link", "set", one, "up")
	c.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{one: {Name: "eth0"}, two: {Name: "eth%d"}}
	c.spec.Linux.Sysctl = map[string]string{"net.ipv4.conf.eth0.rp_filter": "2"}
	code, err := c.runtime.Run(t.Context(), c.write())
	const want = "eth0 inet 10.213.7.1/24\neth0 inet 10.213.7.9\neth0 inet6 fd13::7/64\n2\n2\n"
	if said := c.said(); code != 0 || err != nil || said != want {
		t.Errorf("exit %d, %v: %q, want %q", code, err, said, want)
	}
	if out, err := exec.Command("ip", "link", "show", one).CombinedOutput(); err == nil {
		t.Errorf("the device is still there: %s", out)
	}
}

// Devices that cannot be moved, each with its reason.
func TestNetDevicesRefused(t *testing.T) {
	for i, tc := range []struct{ device, newName, want string }{
		{"none-such", "", "names none-such, which the host does not have"},
		{"lo", "lo2", "move network device lo into the container"},
		{"", "lo", "a device there has that name"},
	} {
		// Of its own each: what was in a namespace goes with it, which takes time.
		name := fmt.Sprintf("b%d-%d", i, os.Getpid())
		c := newContainer(t, "true")
		c.capture()
		if out, err := exec.Command("ip", "link", "add", name, "type", "veth", "peer", "name", name+"p").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if tc.device == "" {
			tc.device = name
		}
		c.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{tc.device: {Name: tc.newName}}
		if _, err := c.runtime.Run(t.Context(), c.write()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("run: %v, want %s", err, tc.want)
		}
		_ = exec.Command("ip", "link", "del", name).Run() // it may be gone with the container
	}
}

// A machine without resctrl says so; nothing is left.
func TestIntelRdt(t *testing.T) {
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), " resctrl ") {
		t.Skip("resctrl is mounted: this is what happens without")
	}
	c := newContainer(t, "true")
	c.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"}
	if _, err := c.runtime.Run(t.Context(), c.write()); err == nil || !strings.Contains(err.Error(), "mount -t resctrl") {
		t.Errorf("run: %v", err)
	}
}

// A root file system whose places are links, in a container that has no /dev of
// its own to cover them: nothing of the host is touched.
func TestSecurity06And07And09And11Links(t *testing.T) {
	for name, tc := range map[string]struct {
		path, leads string // the link, and where it leads from the directory of the root
		terminal    bool
		want        string
	}{
		"/dev":         {"dev", "../victim", false, "/dev"},
		"/dev/null":    {"dev/null", "/proc/sys/kernel/core_pattern", false, "make device /dev/null 1:3: file exists: another file is there"},
		"/dev/console": {"dev/console", "../../victim/file", true, "bind the terminal at /dev/console: too many levels of symbolic links"},
		"/proc":        {"proc", "../victim", false, "mount proc at /proc: too many levels of symbolic links"},
		"/sys":         {"sys", "/victim", false, "mount sysfs at /sys: too many levels of symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, "true")
			c.capture()
			c.must(os.Mkdir(c.dir+"/victim", 0o755))
			c.must(os.WriteFile(c.dir+"/victim/file", []byte("mine"), 0o644))
			c.must(os.MkdirAll(c.dir+"/rootfs/"+filepath.Dir(tc.path), 0o755))
			c.must(os.Symlink(tc.leads, c.dir+"/rootfs/"+tc.path))
			c.spec.Process.Terminal = tc.terminal
			c.spec.Mounts = slices.DeleteFunc(c.spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" })
			c.spec.Linux.MaskedPaths = []string{"/proc/keys"}
			if _, err := c.runtime.Run(t.Context(), c.write()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("run: %v, want %s", err, tc.want)
			}
			entries, err := os.ReadDir(c.dir + "/victim")
			text, rerr := os.ReadFile(c.dir + "/victim/file")
			if err != nil || rerr != nil || len(entries) != 1 || string(text) != "mine" {
				t.Errorf("where the link leads there are %v, %q (%v, %v)", entries, text, err, rerr)
			}
		})
	}
}

// What is no proc is not shown as one.
func TestSecurity11NoProc(t *testing.T) {
	for name, m := range map[string]specs.Mount{
		"tmpfs": {Destination: "/proc", Type: "tmpfs"},
		"bind":  {Destination: "/proc/", Source: "/tmp", Options: []string{"rbind"}},
	} {
		c := newContainer(t, "true")
		c.spec.Mounts[0] = m
		if _, err := c.runtime.Run(t.Context(), c.write()); err == nil || !strings.Contains(err.Error(), "must be a proc file system") {
			t.Errorf("%s at /proc: %v", name, err)
		}
	}
	c := newContainer(t, "test", "-e", "/proc/1/status")
	c.capture()
	c.spec.Mounts[0] = specs.Mount{Destination: "/proc", Source: "/proc", Options: []string{"rbind"}}
	if code, err := c.runtime.Run(t.Context(), c.write()); code != 0 || err != nil {
		t.Errorf("the host's proc at /proc: %d, %v", code, err)
	}
}

// SECURITY 12: what a container has at /proc/self/attr and /proc/sys is not
// where labels and kernel parameters are written.
func TestSecurity12FakeProc(t *testing.T) {
	c := newContainer(t, "sh", "-c", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/domainname")
	c.capture()
	c.must(os.MkdirAll(c.dir+"/fake/net/ipv4", 0o755))
	for _, f := range []string{"/fake/exec", "/fake/net/ipv4/ip_forward"} {
		c.must(os.WriteFile(c.dir+f, []byte("fake\n"), 0o666))
	}
	c.spec.Mounts = append(c.spec.Mounts,
		specs.Mount{Destination: "/proc/sys/net", Source: c.dir + "/fake/net", Options: []string{"bind"}},
		specs.Mount{Destination: "/proc/sys/kernel", Source: c.dir + "/fake", Options: []string{"bind"}})
	c.must(os.WriteFile(c.dir+"/fake/domainname", []byte("faked\n"), 0o666))
	c.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.domainname": "real"}
	code, err := c.runtime.Run(t.Context(), c.write())
	if said := c.said(); code != 0 || err != nil || said != "fake\nfaked\n" {
		t.Errorf("exit %d, %v: %q", code, err, said)
	}
	// A process's own file of labels is opened before the container is entered.
	c.spec.Process.SelinuxLabel = "no:such:label"
	if _, err := c.runtime.Run(t.Context(), c.write()); err == nil || !strings.Contains(err.Error(), "set SELinux label no:such:label") {
		t.Errorf("run with a label: %v", err)
	}
	if text, err := os.ReadFile(c.dir + "/fake/exec"); err != nil || string(text) != "fake\n" {
		t.Errorf("the label went to %q, %v", text, err)
	}
}
