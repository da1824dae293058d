package spec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/ociruntime/seccomp"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSecurity16Capabilities: nothing is inheritable or ambient, whoever the
// user is and whatever is added.
func TestSecurity16Capabilities(t *testing.T) {
	for _, c := range []struct {
		name           string
		uid            uint32
		add, drop      []string
		privileged     bool
		host           []string
		bounding       []string // nil: the default
		withoutEffects bool
	}{
		{name: "root"},
		{name: "user", uid: 1000, withoutEffects: true},
		{name: "add", add: []string{"sys_time"}, bounding: append(defaultCapabilities(), "CAP_SYS_TIME")},
		{name: "add one that is there", add: []string{"chown", "CAP_CHOWN"}},
		{name: "drop all, add", add: []string{"KILL"}, drop: []string{"ALL"}, bounding: []string{"CAP_KILL"}},
		{name: "drop all", drop: []string{"all"}, bounding: []string{}},
		{name: "add all, drop", add: []string{"ALL"}, drop: []string{"sys_admin"}, bounding: slices.DeleteFunc(linux.Capabilities(), func(s string) bool { return s == "CAP_SYS_ADMIN" })},
		{name: "dropped and added", add: []string{"SYS_TIME"}, drop: []string{"SYS_TIME"}},
		{name: "privileged", privileged: true, bounding: linux.Capabilities()},
		{name: "host lacks some", host: []string{"CAP_KILL", "CAP_CHOWN", "CAP_SYS_ADMIN"}, bounding: []string{"CAP_CHOWN", "CAP_KILL"}},
		{name: "privileged, host lacks some", privileged: true, host: []string{"CAP_KILL"}, bounding: []string{"CAP_KILL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := testInput()
			in.User.UID, in.Host.Capabilities = c.uid, c.host
			in.HostConfig.CapAdd, in.HostConfig.CapDrop, in.HostConfig.Privileged = c.add, c.drop, c.privileged
			s, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			got := s.Process.Capabilities
			if len(got.Inheritable) != 0 || len(got.Ambient) != 0 {
				t.Errorf("inheritable %v, ambient %v", got.Inheritable, got.Ambient)
			}
			want := c.bounding
			if want == nil {
				want = defaultCapabilities()
			}
			if !cmp.Equal(append([]string{}, got.Bounding...), want) {
				t.Errorf("bounding %v, want %v", got.Bounding, want)
			}
			effective := got.Bounding
			if c.withoutEffects {
				effective = nil
			}
			if !cmp.Equal(got.Effective, effective) || !cmp.Equal(got.Permitted, effective) {
				t.Errorf("effective %v, permitted %v", got.Effective, got.Permitted)
			}
		})
	}
}

// TestSecurity20Masked: what tells of the host is masked unless asked otherwise.
func TestSecurity20Masked(t *testing.T) {
	must := []string{
		"/sys/devices/virtual/powercap", "/sys/firmware", "/proc/kcore", "/proc/keys", "/proc/interrupts",
		"/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/proc/acpi", "/proc/latency_stats",
	}
	none := []string{}
	for _, c := range []struct {
		name   string
		change func(*container.HostConfig)
		masked []string
	}{
		{"default", func(*container.HostConfig) {}, append(must, "/sys/devices/system/cpu/cpu0/thermal_throttle")},
		{"host users", func(h *container.HostConfig) { h.UsernsMode = "host" }, must},
		{"privileged", func(h *container.HostConfig) { h.Privileged = true }, none},
		{"unconfined", func(h *container.HostConfig) { h.SecurityOpt = []string{"systempaths=unconfined"} }, none},
		{"unconfined by docker's client", func(h *container.HostConfig) { h.MaskedPaths, h.ReadonlyPaths = none, none }, none},
		{"own", func(h *container.HostConfig) { h.MaskedPaths = []string{"/x"} }, []string{"/x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := testInput()
			in.Host.Masked = []string{"/sys/devices/system/cpu/cpu0/thermal_throttle"}
			c.change(in.HostConfig)
			s, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.masked {
				if !slices.Contains(s.Linux.MaskedPaths, p) {
					t.Errorf("%s is not masked", p)
				}
			}
			if len(c.masked) == 0 && len(s.Linux.MaskedPaths) != 0 {
				t.Errorf("masked are %v", s.Linux.MaskedPaths)
			}
		})
	}
}

// TestSecurity39Labels: an image's labels become nothing in the spec.
func TestSecurity39Labels(t *testing.T) {
	in := testInput()
	in.Image.Labels = map[string]string{"io.kubernetes.cri.x": "y", "org.systemd.property.X": "1", "run.oci.hooks.stderr": "/x"}
	in.HostConfig.Annotations = map[string]string{"mine": "1"}
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(s.Annotations, map[string]string{"mine": "1"}) {
		t.Errorf("annotations are %v", s.Annotations)
	}
}

// TestSecurity49Sysctls: only the container's own, with plain values.
func TestSecurity49Sysctls(t *testing.T) {
	host := func(in *Input) {
		in.HostConfig.NetworkMode, in.HostConfig.IpcMode, in.HostConfig.UTSMode = "host", "host", "host"
	}
	for _, c := range []struct {
		key, value string
		change     func(*Input)
		want       string // the key in the spec; empty: refused
	}{
		{"net.ipv4.ip_forward", "1", nil, "net.ipv4.ip_forward"},
		{"net/ipv4/ip_forward", "1", nil, "net.ipv4.ip_forward"},
		{"net.ipv4.ip_local_port_range", "1024 65000", nil, "net.ipv4.ip_local_port_range"},
		{"net.ipv4.tcp_congestion_control", "bbr", nil, "net.ipv4.tcp_congestion_control"},
		{"kernel.shmmax", "1000", nil, "kernel.shmmax"},
		{"fs.mqueue.msg_max", "10", nil, "fs.mqueue.msg_max"},
		{"kernel.domainname", "example.org", nil, "kernel.domainname"},
		{"net.ipv4.ip_forward", "1", host, ""},
		{"kernel.shmmax", "1", host, ""},
		{"fs.mqueue.msg_max", "1", host, ""},
		{"kernel.domainname", "x", host, ""},
		{"kernel.core_pattern", "|/x", nil, ""},
		{"kernel.hostname", "x", nil, ""},
		{"kernel.shm_next_id", "1", nil, ""},
		{"kernel.msgmax+kernel.core_pattern", "1", nil, ""},
		{"vm.overcommit_memory", "1", nil, ""},
		{"fs.mqueue", "1", nil, ""},
		{"net", "1", nil, ""},
		{"net..x", "1", nil, ""},
		{"net.../x", "1", nil, ""},
		{"net/../kernel/core_pattern", "1", nil, ""},
		{"net./../kernel/core_pattern", "1", nil, ""},
		{"net.ipv4/../../kernel/core_pattern", "1", nil, ""},
		{"../kernel/core_pattern", "1", nil, ""},
		{"/kernel/core_pattern", "1", nil, ""},
		{"net.ipv4.ip_forward\n", "1", nil, ""},
		{"net.ipv4.ip_forward", "1+kernel.core_pattern=|x", nil, ""},
		{"net.ipv4.ip_forward", "1\nkernel.core_pattern", nil, ""},
		{"net.ipv4.ip_forward", "", nil, ""},
		{"net.ipv4.ip_forward", "\x00", nil, ""},
	} {
		in := testInput()
		in.HostConfig.Sysctls = map[string]string{c.key: c.value}
		if c.change != nil {
			c.change(&in)
		}
		s, err := Build(in)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%q=%q is not refused", c.key, c.value)
		case c.want != "" && err != nil:
			t.Errorf("%q=%q: %v", c.key, c.value, err)
		case c.want != "" && s.Linux.Sysctl[c.want] != c.value:
			t.Errorf("%q=%q: got %v", c.key, c.value, s.Linux.Sysctl)
		}
	}
}

// TestSecurity50Unknown: a value that is none of the known ones is refused,
// never taken for a default.
func TestSecurity50Unknown(t *testing.T) {
	for name, change := range map[string]func(*container.HostConfig){
		"security option": func(h *container.HostConfig) { h.SecurityOpt = []string{"foo=bar"} },
		"bare option":     func(h *container.HostConfig) { h.SecurityOpt = []string{"seccomp"} },
		"upper case":      func(h *container.HostConfig) { h.SecurityOpt = []string{"SECCOMP=unconfined"} },
		"boolean":         func(h *container.HostConfig) { h.SecurityOpt = []string{"no-new-privileges=maybe"} },
		"systempaths":     func(h *container.HostConfig) { h.SecurityOpt = []string{"systempaths=none"} },
		"empty profile":   func(h *container.HostConfig) { h.SecurityOpt = []string{"seccomp="} },
		"profile by name": func(h *container.HostConfig) { h.SecurityOpt = []string{"seccomp=Unconfined"} },
		"SELinux label":   func(h *container.HostConfig) { h.SecurityOpt = []string{"label=type:x"} },
		"userns":          func(h *container.HostConfig) { h.UsernsMode = "Host" },
		"pid":             func(h *container.HostConfig) { h.PidMode = "private" },
		"ipc":             func(h *container.HostConfig) { h.IpcMode = "x" },
		"uts":             func(h *container.HostConfig) { h.UTSMode = "private" },
		"cgroupns":        func(h *container.HostConfig) { h.CgroupnsMode = "x" },
		"isolation":       func(h *container.HostConfig) { h.Isolation = "x" },
		"runtime":         func(h *container.HostConfig) { h.Runtime = "x" },
		"propagation": func(h *container.HostConfig) {
			h.Mounts = []mount.Mount{{Type: "bind", Source: "/a", Target: "/b", BindOptions: &mount.BindOptions{Propagation: "x"}}}
		},
		"two bind modes": func(h *container.HostConfig) { h.Binds = []string{"/a:/b:ro,rw"} },
		"mount type":     func(h *container.HostConfig) { h.Mounts = []mount.Mount{{Type: "x", Target: "/b"}} },
		"volume driver":  func(h *container.HostConfig) { h.VolumeDriver = "x" },
		"options of a bind": func(h *container.HostConfig) {
			h.Mounts = []mount.Mount{{Type: "volume", Target: "/b", BindOptions: &mount.BindOptions{}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := testInput()
			change(in.HostConfig)
			if _, err := Build(in); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("got %v, want invalid argument", err)
			}
		})
	}
}

func TestSecurityOptions(t *testing.T) {
	for _, c := range []struct {
		opts       []string
		privileged bool
		profile    int // rules: -1 the default's, 0 none
		nnp        bool
	}{
		{nil, false, -1, false},
		{[]string{"seccomp=builtin", "no-new-privileges=false"}, false, -1, false},
		{[]string{"seccomp=unconfined", "no-new-privileges"}, false, 0, true},
		{[]string{"seccomp:unconfined", "no-new-privileges:true"}, false, 0, true},
		{[]string{`seccomp={"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`}, false, 1, false},
		{nil, true, 0, false},
		{[]string{`seccomp={"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW"}]}`}, true, 1, false},
		{[]string{`seccomp={"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
			{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
			{"names":["b"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_CHOWN"]}},
			{"names":["c"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
			{"names":["d"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"7.0"}},
			{"names":["e"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.18","caps":["CAP_CHOWN"],"arches":["amd64"]}}]}`}, false, 1, false},
	} {
		in := testInput()
		in.HostConfig.SecurityOpt, in.HostConfig.Privileged = c.opts, c.privileged
		s, err := Build(in)
		if err != nil {
			t.Errorf("%v: %v", c.opts, err)
			continue
		}
		rules := 0
		if s.Linux.Seccomp != nil {
			rules = len(s.Linux.Seccomp.Syscalls)
		}
		if c.profile == -1 && rules < 20 || c.profile >= 0 && rules != c.profile || s.Process.NoNewPrivileges != c.nnp {
			t.Errorf("%v: got %d rules, no_new_privs %t", c.opts, rules, s.Process.NoNewPrivileges)
		}
	}
}

const childEnv = "BERTH_SPEC_SECCOMP_CHILD"

// TestSecurity21SocketFamilies loads the default profile in a child, and tries
// to make sockets of 64-bit and of 32-bit programs.
func TestSecurity21SocketFamilies(t *testing.T) {
	if dir := os.Getenv(childEnv); dir != "" {
		socketChild(dir)
		os.Exit(0)
	}
	dir := t.TempDir()
	run32 := runtime.GOARCH == "amd64" && writePrograms32(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecurity21SocketFamilies$")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "AF_UNIX errno 0\nAF_INET errno 0\nAF_ALG operation not permitted\nAF_VSOCK operation not permitted\n"
	if run32 {
		want += "alg EPERM\ninet allowed\nsocketcall-alg EPERM\nsocketcall-inet EPERM\nsocketcall-vsock EPERM\n"
	} else {
		t.Log("this machine runs no 32-bit programs: that half is not tested")
	}
	if string(out) != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func socketChild(dir string) {
	runtime.LockOSThread()
	s, err := Build(testInput())
	var f seccomp.Filter
	if err == nil {
		f, err = seccomp.Compile(s.Linux.Seccomp, runtime.GOARCH)
	}
	if err == nil {
		err = linux.SetNoNewPrivs()
	}
	if err == nil {
		const allThreads = 1 // SECCOMP_FILTER_FLAG_TSYNC
		_, err = linux.LoadSeccomp(f.Bytes(), f.Flags|allThreads)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, a := range []struct {
		name         string
		family, kind uintptr
	}{{"AF_UNIX", 1, 1}, {"AF_INET", 2, 1}, {"AF_ALG", 38, 5}, {"AF_VSOCK", 40, 1}} {
		_, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, a.family, a.kind, 0)
		fmt.Println(a.name, errno)
	}
	programs, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		panic(err)
	}
	for _, p := range programs {
		err := exec.Command(p).Run()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && exit.ExitCode() == int(syscall.EPERM):
			fmt.Println(filepath.Base(p), "EPERM")
		case errors.As(err, &exit) && exit.ExitCode() > 200: // the negative of a file's number
			fmt.Println(filepath.Base(p), "allowed")
		default:
			fmt.Println(filepath.Base(p), err)
		}
	}
}

// writePrograms32 writes 32-bit programs that make one system call and exit
// with its result's negative. It reports whether this machine can run them.
func writePrograms32(t *testing.T, dir string) bool {
	t.Helper()
	const socketcall, socket = 102, 359
	for name, c := range map[string]struct {
		nr     byte // of socketcall, or 0
		family byte
	}{
		"socketcall-alg": {socketcall, 38}, "socketcall-vsock": {socketcall, 40}, "socketcall-inet": {socketcall, 2},
		"alg": {0, 38}, "inet": {0, 2},
	} {
		const base, codeAt = 0x08048000, 84
		code := []byte{0xb8, socketcall, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9} // mov eax, socketcall; mov ebx, SYS_SOCKET; mov ecx,
		code = binary.LittleEndian.AppendUint32(code, base+codeAt+28)     // the arguments below
		code = append(code, 0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3)           // int 0x80; neg eax; mov ebx, eax
		code = append(code, 0xb8, 1, 0, 0, 0, 0xcd, 0x80)                 // mov eax, exit; int 0x80
		code = append(code, c.family, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
		if c.nr == 0 {
			code = []byte{0xb8, socket & 0xff, socket >> 8, 0, 0, 0xbb, c.family, 0, 0, 0, 0xb9, 1, 0, 0, 0, 0xba, 0, 0, 0, 0}
			code = append(code, 0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80)
		}
		if err := os.WriteFile(filepath.Join(dir, name), elf32(base, code), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := exec.Command(filepath.Join(dir, "inet")).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true
	}
	programs, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, p := range programs {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	return false
}

// elf32 is a 386 executable of one segment that starts with the code.
func elf32(base uint32, code []byte) []byte {
	size := uint32(84 + len(code))
	b := []byte("\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, h := range []uint16{2, 3} { // ET_EXEC, EM_386
		b = binary.LittleEndian.AppendUint16(b, h)
	}
	for _, w := range []uint32{1, base + 84, 52, 0, 0} { // version, entry, program headers, none, flags
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	for _, h := range []uint16{52, 32, 1, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint16(b, h)
	}
	for _, w := range []uint32{1, 0, base, base, size, size, 5, 0x1000} { // PT_LOAD, readable and executable
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return append(b, code...)
}

// TestDefaultProfile checks the changes to Docker's: no way around the list of
// families, and what a capability adds.
func TestDefaultProfile(t *testing.T) {
	has := func(s *specs.Spec, name string) bool {
		return slices.ContainsFunc(s.Linux.Seccomp.Syscalls, func(c specs.LinuxSyscall) bool {
			return slices.Contains(c.Names, name) && c.Action == specs.ActAllow && len(c.Args) == 0
		})
	}
	in := testInput()
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	in.HostConfig.CapAdd = []string{"SYS_ADMIN"}
	admin, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if has(s, "socketcall") || has(s, "socket") || has(s, "mount") || !has(s, "read") || !has(s, "chroot") {
		t.Error("the default profile is not what it should be")
	}
	if !has(admin, "mount") || has(admin, "socketcall") {
		t.Error("CAP_SYS_ADMIN does not add mount, or adds socketcall")
	}
	in.Host.Arch = "arm64"
	s, err = Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Linux.Seccomp.Architectures); !strings.Contains(got, "SCMP_ARCH_AARCH64 SCMP_ARCH_ARM") {
		t.Errorf("arm64 has architectures %s", got)
	}
}
