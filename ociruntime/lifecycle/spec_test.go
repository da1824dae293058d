package lifecycle

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/internal/testutil"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// output runs a container's command, a shell script, and returns what it printed.
func output(t *testing.T, a Args, script string) string {
	t.Helper()
	out, err := tryOutput(t, a, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryOutput(t *testing.T, a Args, script string) (string, error) {
	t.Helper()
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	a.Spec.Process.Args = []string{"busybox", "sh", "-c", script}
	c, err := r.Start(t.Context(), a)
	if err != nil {
		return "", err
	}
	defer func() {
		if err := c.Delete(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	from := c.IO().Stdout
	if a.Spec.Process.Terminal {
		from = c.IO().Console
	}
	out, err := io.ReadAll(from)
	if err != nil && !a.Spec.Process.Terminal { // a terminal ends with EIO
		t.Error(err)
	}
	if f := c.IO().Stderr; f != nil {
		if errs, err := io.ReadAll(f); err != nil || len(errs) > 0 {
			t.Errorf("standard error: %s, %v", errs, err)
		}
	}
	if e, err := c.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("exit %+v, %v", e, err)
	}
	return string(out), nil
}

// hostUsers gives a container the host's ids and a directory as its root.
func hostUsers(t *testing.T, a *Args, root string) string {
	t.Helper()
	a.Spec.Linux.Namespaces = slices.DeleteFunc(a.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	a.Spec.Linux.UIDMappings, a.Spec.Linux.GIDMappings = nil, nil
	a.Rootfs, a.Spec.Root.Path = nil, root+"/layers/a"
	return a.Spec.Root.Path
}

func makeFiles(t *testing.T, dirs []string, files map[string]string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// mountOn mounts a tmpfs for the time of the test.
func mountOn(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	mountAs(t, "tmpfs", dir, flags)
}

// mountMappable mounts on dir what takes an id map: a tmpfs, or before Linux 6.3
// dir itself.
func mountMappable(t *testing.T, dir string) {
	t.Helper()
	major, minor, err := linux.KernelRelease()
	if err != nil {
		t.Fatal(err)
	}
	if major < 6 || major == 6 && minor < 3 {
		mountAs(t, dir, dir, syscall.MS_BIND)
		return
	}
	mountOn(t, dir, 0)
}

// mountAs mounts a tmpfs, or with MS_BIND the source, until the test ends.
func mountAs(t *testing.T, source, dir string, flags uintptr) {
	t.Helper()
	data := ""
	if flags&syscall.MS_BIND == 0 {
		data = "size=64k"
	}
	if err := syscall.Mount(source, dir, "tmpfs", flags, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// describe tells of each place what is mounted there last: "options
// propagation; type options", of a container's mountinfo.
func describe(t *testing.T, info string, places ...string) map[string]string {
	t.Helper()
	all, err := mountinfo.GetMountsFromReader(strings.NewReader(info), nil)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range all {
		if slices.Contains(places, m.Mountpoint) {
			propagation := "private"
			if m.Optional != "" {
				propagation = strings.Join(strings.FieldsFunc(m.Optional, func(r rune) bool { return r >= '0' && r <= '9' || r == ':' || r == ' ' }), "+")
			}
			found[m.Mountpoint] = m.Options + " " + propagation + "; " + m.FSType + " " + strings.TrimSuffix(m.VFSOptions, ",inode64")
		}
	}
	return found
}

func TestMountOptions(t *testing.T) {
	testutil.RequireRoot(t)
	a, root := bundle(t)
	src := root + "/src"
	makeFiles(t, []string{src, src + "/below", root + "/layers/a/modes", root + "/readonly"}, nil)
	if err := os.Chmod(root+"/layers/a/modes", 0o751|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	mountOn(t, src, 0)
	if err := syscall.Mount("", src, "", syscall.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	makeFiles(t, []string{src + "/below"}, nil)
	mountOn(t, src+"/below", 0)
	mountOn(t, root+"/readonly", syscall.MS_RDONLY|syscall.MS_NOSUID)
	bind := func(dest, source string, options ...string) specs.Mount {
		return specs.Mount{Destination: dest, Type: "none", Source: source, Options: options}
	}
	a.Spec.Mounts = append(a.Spec.Mounts,
		bind("/upper", src, "rbind", "ro", "nosuid"),
		bind("/all", src, "rbind", "rro", "rnoatime"),
		bind("/both", src, "bind", "slave", "shared"),
		bind("/kept", root+"/readonly", "bind"),
		bind("/cleared", root+"/readonly", "bind", "rw", "suid", "noexec"),
		specs.Mount{Destination: "modes", Type: "tmpfs", Options: []string{"ro", "size=1m,nr_inodes=50", "nosymfollow", "unbindable"}},
		specs.Mount{Destination: "/modes/in/it", Type: "tmpfs", Options: []string{"mode=700", "size=4k", "nodiratime", "strictatime"}},
		specs.Mount{Destination: "/sys", Type: "none", Options: []string{"remount", "rw"}},
	)
	got := output(t, a, `cat /proc/self/mountinfo; busybox stat -c "# %n %a" /modes /modes/in/it`)
	want := map[string]string{
		"/upper":       "ro,nosuid,relatime private; tmpfs rw,size=64k",
		"/upper/below": "rw,relatime private; tmpfs rw,size=64k",
		"/all":         "ro,noatime private; tmpfs rw,size=64k",
		"/all/below":   "ro,noatime private; tmpfs rw,size=64k",
		"/both":        "rw,relatime shared+master; tmpfs rw,size=64k",
		"/kept":        "ro,nosuid,relatime private; tmpfs ro,size=64k",
		"/cleared":     "rw,noexec,relatime private; tmpfs ro,size=64k",
		"/modes":       "ro,relatime,nosymfollow unbindable; tmpfs rw,size=1024k,nr_inodes=50,uid=600000,gid=600000",
		"/modes/in/it": "rw,nodiratime private; tmpfs rw,size=4k,mode=700,uid=600000,gid=600000",
		"/sys":         "rw,nosuid,nodev,noexec,relatime private; sysfs rw",
	}
	info, modes, _ := strings.Cut(got, "#")
	if diff := cmp.Diff(want, describe(t, info, slices.Sorted(maps.Keys(want))...)); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	if modes != " /modes 1751\n# /modes/in/it 700\n" {
		t.Errorf("modes: %q", modes)
	}
}

// Maps of ids that a mount has of its own, in a container with and without a
// user namespace, and below the mount too.
func TestMountIDMaps(t *testing.T) {
	testutil.RequireRoot(t)
	ids := func(container, host uint32) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: container, HostID: host, Size: 1000}}
	}
	for _, users := range []string{"own", "host"} {
		t.Run(users, func(t *testing.T) {
			a, root := bundle(t)
			base := uint32(600000)
			if users == "host" {
				hostUsers(t, &a, root)
				base = 0
			}
			src := root + "/src"
			makeFiles(t, []string{src}, nil)
			mountMappable(t, src)
			makeFiles(t, []string{src + "/below"}, map[string]string{src + "/f": ""})
			mountMappable(t, src+"/below")
			makeFiles(t, nil, map[string]string{src + "/below/f": ""})
			for _, f := range []string{src, src + "/f", src + "/below/f"} {
				if err := os.Chown(f, 5, 6); err != nil {
					t.Fatal(err)
				}
			}
			// A mount's map leads from the ids on disk to the host's.
			a.Spec.Mounts = append(a.Spec.Mounts,
				specs.Mount{Destination: "/a", Source: src, Options: []string{"rbind", "idmap"}, UIDMappings: ids(0, base+100), GIDMappings: ids(0, base+200)},
				specs.Mount{Destination: "/b", Source: src, Options: []string{"rbind", "ridmap"}, UIDMappings: ids(0, base+100), GIDMappings: ids(0, base+200)},
				specs.Mount{Destination: "/c", Source: src, Options: []string{"bind"}, UIDMappings: ids(5, base+0), GIDMappings: ids(5, base+0)})
			below := "5:6"
			if users == "own" {
				below = "65534:65534"
			}
			got := output(t, a, "busybox stat -c %u:%g /a/f /a/below/f /b/f /b/below/f /c/f; busybox touch /c/new; busybox stat -c %u:%g /c/new")
			if want := "105:206\n" + below + "\n105:206\n105:206\n0:1\n0:0\n"; got != want {
				t.Errorf("owners %q, want %q", got, want)
			}
			st, err := os.Stat(src + "/new")
			if err != nil {
				t.Fatal(err)
			}
			if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 5 || sys.Gid != 5 {
				t.Errorf("a file made by the container's root is %d:%d on disk, want 5:5", sys.Uid, sys.Gid)
			}
		})
	}
}

func TestRootPropagation(t *testing.T) {
	testutil.RequireRoot(t)
	for name, want := range map[string]string{
		"": "private", "private": "private", "slave": "master", "rslave": "master", "shared": "shared", "rshared": "shared", "unbindable": "unbindable",
	} {
		t.Run(name, func(t *testing.T) {
			a, root := bundle(t)
			dir := hostUsers(t, &a, root)
			shareMount(t, dir)
			a.Spec.Linux.RootfsPropagation = name
			got := describe(t, output(t, a, "cat /proc/self/mountinfo"), "/")["/"]
			if !strings.Contains(got, " "+want+";") {
				t.Errorf("root is %s, want %s", got, want)
			}
		})
	}
}

// The devices of a container that has no /dev of its own, or the host's.
func TestDevices(t *testing.T) {
	testutil.RequireRoot(t)
	mode, uid, gid := os.FileMode(0o640), uint32(3), uint32(4)
	null := specs.LinuxDevice{Path: "/dev/null", Type: "c", Major: 1, Minor: 3, FileMode: &mode}
	zero := specs.LinuxDevice{Path: "/dev/sub/zero", Type: "u", Major: 1, Minor: 5, UID: &uid, GID: &gid}
	pipe := specs.LinuxDevice{Path: "/opt/pipe", Type: "p"}
	ptmx := specs.LinuxDevice{Path: "/dev/ptmx", Type: "c", Major: 5, Minor: 2} // is a link all the same
	noDev := func(a *Args) {
		a.Spec.Mounts = slices.DeleteFunc(a.Spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
	}
	const script = `for f in null full tty; do busybox stat -c "%n %F %t:%T" /dev/$f; done; busybox stat -c "%n %F" /opt/pipe; ` +
		`if [ -e /dev/sub/zero ]; then busybox stat -c "%n %a %u:%g" /dev/null /dev/sub/zero; fi; for l in ptmx fd; do busybox readlink /dev/$l; done; ` +
		`echo x > /dev/null; cat /proc/keys /proc/timer_list; busybox head -c 1 /dev/zero | busybox od -An -c`
	const nodes = "/dev/null character special file 1:3\n/dev/full character special file 1:7\n/dev/tty character special file 5:0\n/opt/pipe fifo\n"
	const owners, links, bytes = "/dev/null 640 0:0\n/dev/sub/zero 666 3:4\n", "pts/ptmx\n/proc/self/fd\n", "  \\0\n"
	for name, tc := range map[string]struct {
		change func(a *Args, root string)
		want   string
	}{
		"own /dev": {func(a *Args, _ string) {
			a.Spec.Linux.Devices = []specs.LinuxDevice{null, zero, pipe, ptmx}
		}, nodes + owners + links + bytes},
		"no /dev, host's users": {func(a *Args, root string) {
			hostUsers(t, a, root)
			noDev(a)
			a.Spec.Linux.Devices = []specs.LinuxDevice{null, zero, pipe, ptmx}
		}, nodes + owners + links + bytes},
		"no /dev": {func(a *Args, _ string) {
			noDev(a)
			a.Spec.Linux.Devices = []specs.LinuxDevice{null, pipe}
		}, nodes + links + bytes},
		"the host's /dev": {func(a *Args, _ string) {
			noDev(a)
			a.Spec.Linux.Devices = []specs.LinuxDevice{null, zero, pipe} // but for the pipe they are the host's
			a.Spec.Mounts = append(a.Spec.Mounts, specs.Mount{Destination: "/dev", Type: "bind", Source: "/dev", Options: []string{"rbind", "rslave"}})
		}, nodes + "/proc/self/fd\n" + bytes},
	} {
		t.Run(name, func(t *testing.T) {
			a, root := bundle(t)
			tc.change(&a, root)
			for range 2 { // the second finds the nodes of the first
				if got := output(t, a, script); got != tc.want {
					t.Errorf("got:\n%swant:\n%s", got, tc.want)
				}
			}
		})
	}
}
