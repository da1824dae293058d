package standalone

import (
	"os"
	"slices"
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
