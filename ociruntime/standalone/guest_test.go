package standalone

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// live lets a container live in the mount namespace of a file, or of this
// process if that is empty. It says what processes of the container should see
// as theirs, and a file of the mount table that they share.
func (c *container) live(path string) (namespace, table string) {
	c.Helper()
	kind := func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace }
	c.spec.Linux.Namespaces = slices.DeleteFunc(c.spec.Linux.Namespaces, kind)
	table = "/proc/self/mountinfo"
	if path == "" {
		c.spec.Linux.MaskedPaths, c.spec.Linux.ReadonlyPaths = nil, nil
		path = "/proc/self/ns/mnt"
	} else {
		table = strings.Replace(path, "ns/mnt", "mountinfo", 1)
		c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.MountNamespace, Path: path})
	}
	namespace, err := os.Readlink(path)
	c.must(err)
	return namespace, table
}

// other starts a process with a mount namespace of its own, and returns that.
func (c *container) other() string {
	c.Helper()
	cmd := exec.Command("/bin/busybox", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	c.must(cmd.Start())
	c.Cleanup(func() {
		c.must(cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	})
	return "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/mnt"
}

// wantSaid waits until the output ends like this.
func (c *container) wantSaid(end string) {
	c.Helper()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		if strings.HasSuffix(c.said(), end) {
			return
		}
	}
	c.Fatalf("output %q does not end in %q", c.said(), end)
}

// mounts are the mounts of a table in the directory of the test.
func (c *container) mounts(table string) (found []string) {
	c.Helper()
	text, err := os.ReadFile(table)
	c.must(err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, c.dir) {
			found = append(found, line)
		}
	}
	return found
}

// A container in the mount namespace of others has its root, its mounts and its
// working directory, an exec has them too, and the others see nothing of it.
func TestMountNamespaceOfOthers(t *testing.T) {
	for name, joined := range map[string]bool{"of the runtime": false, "by path": true} {
		t.Run(name, func(t *testing.T) {
			const look = "readlink /proc/self/ns/mnt; echo $(ls /); pwd; cat /bound/file /work/tmp/x; (touch /bound/x || touch /root) 2>/dev/null || echo read-only; test -c /dev/null && test -d /dev/pts && echo devices"
			c := newContainer(t, "sh", "-c", "echo x >/work/tmp/x; "+look+"; exec sleep 1000")
			c.capture()
			path := ""
			if joined {
				path = c.other()
			}
			namespace, table := c.live(path)
			c.must(os.Mkdir(c.dir+"/bound", 0o755))
			c.must(os.WriteFile(c.dir+"/bound/file", []byte("bound\n"), 0o644))
			c.spec.Process.Cwd, c.spec.Root.Readonly = "/work/here", true
			c.spec.Linux.RootfsPropagation = "unbindable"
			c.spec.Mounts = append(c.spec.Mounts,
				specs.Mount{Destination: "/bound", Source: c.dir + "/bound", Options: []string{"rbind", "ro", "unbindable"}},
				specs.Mount{Destination: "/work/tmp", Type: "tmpfs", Source: "tmpfs"})
			ctx, a := t.Context(), c.write()
			c.must(c.runtime.Create(ctx, a))
			if found := c.mounts(table); len(found) > 0 {
				t.Errorf("the others see mounts: %v", found)
			}
			s := c.wantStatus(specs.StateCreated)
			if ns, err := os.Readlink("/proc/" + strconv.Itoa(s.Pid) + "/ns/mnt"); err != nil || ns != namespace {
				t.Errorf("the container lives in %s (%v), want %s", ns, err, namespace)
			}
			c.must(c.runtime.Start(ctx, c.id))
			c.wantSaid("devices\n")
			p := c.process("sh", "-c", look)
			p.Cwd = "/work"
			code, err := c.runtime.Exec(ctx, c.id, ExecArgs{Process: p})
			rest := "\nbin bound dev proc sys tmp work\n%s\nbound\nx\nread-only\ndevices\n"
			want := namespace + strings.Replace(rest, "%s", "/work/here", 1) + namespace + strings.Replace(rest, "%s", "/work", 1)
			if said := c.said(); code != 0 || err != nil || said != want {
				t.Errorf("exec: %d, %v; in all\n%swant\n%s", code, err, said, want)
			}
			c.must(c.runtime.Kill(ctx, c.id, syscall.SIGKILL, false))
			c.wantEnd()
			c.must(c.runtime.Delete(ctx, c.id, false))
			if found := c.mounts(table); len(found) > 0 {
				t.Errorf("mounts are left: %v", found)
			}
		})
	}
}

// Above the root of such a container there is nothing, so that who may change it
// (chroot(2)) does not find that of the others; and theirs stays.
func TestMountNamespaceOfOthersIsNotEscaped(t *testing.T) {
	c := newContainer(t, "sh", "-c", "cat /proc/self/mountinfo; mount -t tmpfs none /tmp 2>/dev/null || echo no mount; busybox unshare -U true 2>/dev/null || echo no user namespace; exec sleep 1000")
	c.capture()
	path := c.other()
	c.live(path)
	caps := []string{"CAP_SYS_CHROOT", "CAP_SYS_ADMIN"}
	c.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	a := c.write()
	a.Detach = true
	_, err := c.runtime.Run(t.Context(), a)
	c.must(err)
	c.wantSaid("no mount\nno user namespace\n")
	same := func(a, b string) {
		t.Helper()
		one, err := os.Stat(a)
		c.must(err)
		two, err := os.Stat(b)
		c.must(err)
		if !os.SameFile(one, two) {
			t.Errorf("%s is not %s", a, b)
		}
	}
	root := "/proc/" + strconv.Itoa(c.wantStatus(specs.StateRunning).Pid) + "/root"
	same(root+"/", c.dir+"/rootfs")
	same(root+"/..", c.dir+"/rootfs") // walks as a process does whose root is elsewhere
	same(strings.Replace(path, "ns/mnt", "root/", 1), "/")
}

// Hooks of a container in the mount namespace of others find its root where
// they should.
func TestMountNamespaceOfOthersHooks(t *testing.T) {
	c := newContainer(t, "cat", "/tmp/hooks")
	c.capture()
	namespace, _ := c.live("")
	script := "#!/bin/busybox sh\nread state; test -e $2/proc/self && in=mounted; echo $1 $(/bin/busybox readlink /proc/self/ns/mnt) $in >> $2/tmp/hooks\n"
	c.must(os.WriteFile(c.dir+"/hook", []byte(script), 0o755))
	c.must(os.WriteFile(c.dir+"/rootfs/hook", []byte(script), 0o755))
	hook := func(path, kind, root string) []specs.Hook {
		return []specs.Hook{{Path: path, Args: []string{"hook", kind, root}}}
	}
	c.spec.Hooks = &specs.Hooks{
		CreateRuntime:   hook(c.dir+"/hook", "createRuntime", c.dir+"/rootfs"),
		CreateContainer: hook(c.dir+"/hook", "createContainer", c.dir+"/rootfs"),
		StartContainer:  hook("/hook", "startContainer", ""),
	}
	code, err := c.runtime.Run(t.Context(), c.write())
	lines := strings.Split(c.said(), "\n")
	if code != 0 || err != nil || len(lines) != 4 {
		t.Fatalf("exit %d, %v: %q", code, err, lines)
	}
	if lines[0] != "createRuntime "+namespace || !strings.HasPrefix(lines[1], "createContainer ") || !strings.HasSuffix(lines[1], " mounted") || lines[2] != "startContainer "+namespace+" mounted" {
		t.Errorf("hooks: %q", lines)
	}
}

// What cannot be had in the mount namespace of others is refused.
func TestMountNamespaceOfOthersRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*container)
		want   string
	}{
		"user namespace": {func(c *container) {
			ids := []specs.LinuxIDMapping{{HostID: 524288, Size: 65536}}
			c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			c.spec.Linux.UIDMappings, c.spec.Linux.GIDMappings = ids, ids
			c.live("")
		}, "without a user namespace"},
		"masked paths": {func(c *container) { c.live(""); c.spec.Linux.MaskedPaths = []string{"/proc/kcore"} }, "need a mount namespace"},
		"another kind": {func(c *container) { c.live("/proc/self/ns/net") }, "it must be a namespace of type mount"},
		"no directory": {func(c *container) { c.live(""); c.spec.Process.Cwd = "/bin/sh" }, "working directory /bin/sh"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, "true")
			c.capture()
			tc.change(c)
			if _, err := c.runtime.Run(t.Context(), c.write()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("run: %v, want %q", err, tc.want)
			}
		})
	}
}
