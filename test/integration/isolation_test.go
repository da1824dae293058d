package integration

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/ociruntime/lifecycle"
	"berth/spec"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestIsolation is one row a thing that a container must or must not see.
func TestIsolation(t *testing.T) {
	hostNet, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		script string
		change func(b *box)
		code   int
		want   []string
		lacks  []string
	}{
		"PID 1 is the command": {script: "ps; echo pid $$", want: []string{"pid 1", "1 root     sh -c"}, lacks: []string{"berth-keeper", "process_api", "systemd"}},
		"exit code":            {script: "exit 42", code: 42},
		"ids are mapped":       {script: "id; cat /proc/self/uid_map /proc/self/gid_map", want: []string{"uid=0", "0     524288      65536"}},
		"only loopback, up":    {script: "ip addr", want: []string{"127.0.0.1/8", "LOOPBACK,UP"}, lacks: []string{"eth0", "docker0"}},
		"host network": {
			script: "readlink /proc/self/ns/net; ls /sys/class/net", change: func(b *box) { b.host.NetworkMode = "host" },
			want: []string{hostNet, "lo"},
		},
		"hostname":                       {script: "hostname", change: func(b *box) { b.config.Hostname = "kiosk" }, want: []string{"kiosk\n"}},
		"minimal dev":                    {script: "find /dev -type c -o -type b | sort | tr '\\n' ' '", want: []string{"/dev/full /dev/null /dev/pts/ptmx /dev/random /dev/tty /dev/urandom /dev/zero "}},
		"devices work":                   {script: "echo x >/dev/null && head -c4 /dev/zero | wc -c && head -c3 /dev/urandom | wc -c", want: []string{"4\n3\n"}},
		"no other device":                {script: "mknod /tmp/sda b 8 0; mknod /dev/sda b 8 0; ls /tmp /dev", want: []string{"Operation not permitted"}, lacks: []string{"sda\n"}},
		"shm is 64 MB":                   {script: "mount | grep /dev/shm", want: []string{"size=65536k"}},
		"sysfs is read-only":             {script: "mount | grep ' /sys '", want: []string{"sysfs on /sys type sysfs (ro,"}},
		"cgroups are read-only":          {script: "mkdir /sys/fs/cgroup/memory/x || mkdir /sys/fs/cgroup/x", code: 1, want: []string{"Read-only file system"}},
		"cgroup is the root of its view": {script: "cat /proc/self/cgroup", want: []string{":/\n"}, lacks: []string{"berth"}},
		"masked paths":                   {script: "cat /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats 2>/dev/null | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | wc -w", want: []string{"0\n"}},
		"protected paths":                {script: "echo 1 > /proc/sysrq-trigger; echo x > /proc/sys/kernel/domainname; exit 0", want: []string{"Read-only file system"}},
		"default capabilities":           {script: "grep Cap /proc/self/status", want: []string{"CapInh:\t0000000000000000", "CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "CapAmb:\t0000000000000000"}},
		"cap-drop ALL":                   {script: "grep CapEff /proc/self/status", change: func(b *box) { b.host.CapDrop = []string{"ALL"} }, want: []string{"0000000000000000"}},
		"cap-add":                        {script: "grep CapEff /proc/self/status", change: func(b *box) { b.host.CapAdd = []string{"SYS_ADMIN"} }, want: []string{"00000000a82425fb"}},
		"SYS_ADMIN can mount inside only": {
			script: "mount -t tmpfs none /tmp && echo mounted; mount -o remount,rw /sys; exit 0", change: func(b *box) { b.host.CapAdd = []string{"SYS_ADMIN"} },
			want: []string{"mounted"},
		},
		"seccomp is on":      {script: "grep Seccomp: /proc/self/status", want: []string{"Seccomp:\t2"}},
		"seccomp unconfined": {script: "grep Seccomp: /proc/self/status", change: func(b *box) { b.host.SecurityOpt = []string{"seccomp=unconfined"} }, want: []string{"Seccomp:\t0"}},
		"seccomp file": {script: "mkdir /tmp/x; echo code $?", change: func(b *box) {
			b.host.SecurityOpt = []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}`}
		}, want: []string{"Operation not permitted", "code 1"}},
		"seccomp denies a namespace": {script: "unshare -U true", code: 1, want: []string{"Operation not permitted"}},
		"no-new-privileges":          {script: "grep NoNewPrivs /proc/self/status", change: func(b *box) { b.host.SecurityOpt = []string{"no-new-privileges"} }, want: []string{"NoNewPrivs:\t1"}},
		"rlimits": {
			script: "grep 'open files' /proc/self/limits", change: func(b *box) { b.host.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}} },
			want: []string{"100                  200"},
		},
		"read-only root": {script: "touch /x; touch /dev/shm/y && echo shm", change: func(b *box) { b.host.ReadonlyRootfs = true }, want: []string{"Read-only file system", "shm"}},
		"tmpfs": {
			script: "mount | grep /scratch; touch /scratch/x && echo ok", change: func(b *box) { b.host.Tmpfs = map[string]string{"/scratch": "size=1m,mode=1777"} },
			want: []string{"size=1024k", "ok"},
		},
		"user": {
			script: "id; touch /tmp/x && stat -c %u:%g /tmp/x; touch /x", change: func(b *box) { b.user = spec.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{7}} },
			code: 1, want: []string{"uid=1000", "gid=1001", "groups=7", "1000:1001", "Permission denied"},
		},
		"host users": {script: "cat /proc/self/uid_map; stat -c %u /etc/passwd", change: func(b *box) { b.host.UsernsMode = "host" }, want: []string{"0          0 4294967295", "0\n"}},
		"privileged": {
			script: "grep -E 'Seccomp:|CapEff' /proc/self/status; cat /proc/self/uid_map; touch /proc/sys/kernel/domainname && echo rw", change: func(b *box) { b.host.Privileged = true },
			want: []string{"Seccomp:\t0", "4294967295", "rw"},
		},
		"host processes":           {script: "ps | wc -l; exit 0", change: func(b *box) { b.host.PidMode = "host" }, lacks: []string{"\n2\n"}},
		"working directory":        {script: "pwd", change: func(b *box) { b.config.WorkingDir = "/tmp" }, want: []string{"/tmp\n"}},
		"setuid root stays inside": {script: "su -c id; exit 0", change: func(b *box) { b.user = spec.User{UID: 0} }, want: []string{"uid=0"}},
		"loopback works":           {script: "while :; do nc -l -p 9 >>/tmp/got; done & until grep -q hello /tmp/got; do echo hello | nc 127.0.0.1 9; done; cat /tmp/got", want: []string{"hello"}},
		"terminal":                 {script: "tty; stty size; ls -l /dev/console; touch /dev/console && echo t", change: func(b *box) { b.config.Tty = true }, want: []string{"/dev/pts/0", "t\r\n"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, tc.script)
			if tc.change != nil {
				tc.change(b)
			}
			r := b.run()
			r.want(t, tc.code, tc.want...)
			r.lacks(t, tc.lacks...)
		})
	}
}

// TestTreeDiesWithPID1 leaves a daemonised process behind.
func TestTreeDiesWithPID1(t *testing.T) {
	b := newBox(t, "(sleep 1000 </dev/null >/dev/null 2>&1 &) ; echo left; exit 5")
	start := time.Now()
	b.run().want(t, 5, "left")
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v: the sleeping process was waited for", d)
	}
	pids, err := b.started.Cgroup().Pids()
	if err != nil || len(pids) > 0 {
		t.Errorf("left behind: %v %v", pids, err)
	}
}

func TestSignalsReachPID1(t *testing.T) {
	b := newBox(t, "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done")
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := c.IO().Stdout.Read(ready); err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	collect(t, c.Process).want(t, 9, "got")
}

func TestKilledByMemory(t *testing.T) {
	b := newBox(t, "dd if=/dev/zero of=/dev/null bs=64M count=1; echo survived")
	b.host.Memory = 16 * units.MiB
	r := b.run()
	r.lacks(t, "survived\n1+0")
	oom, err := b.started.Cgroup().OOMKilled()
	if err != nil || !oom {
		t.Errorf("OOMKilled %v, %v; output %q", oom, err, r.out)
	}
}

// TestPidsLimit starts more processes than allowed.
func TestPidsLimit(t *testing.T) {
	b := newBox(t, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 5 & done; echo end")
	limit := int64(8)
	b.host.PidsLimit = &limit
	r := b.run()
	if !strings.Contains(r.out, "fork") && !strings.Contains(r.out, "Resource temporarily unavailable") {
		t.Errorf("15 processes in a limit of 8: %q", r.out)
	}
}

// TestWrittenFilesKeepImageIDs looks at the writable layer from the host.
func TestWrittenFilesKeepImageIDs(t *testing.T) {
	b := newBox(t, "touch /new; chown 1000:1000 /new; echo x >> /etc/passwd; mkdir /d; rm /bin/wc")
	b.run().want(t, 0)
	for name, want := range map[string]uint32{"new": 1000, "etc/passwd": 0, "d": 0, "bin/wc": 0} {
		var st syscall.Stat_t
		if err := syscall.Lstat(b.root+"/upper/"+name, &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != want || st.Gid != want {
			t.Errorf("%s belongs to %d:%d, want %d", name, st.Uid, st.Gid, want)
		}
	}
	if _, err := os.Stat(b.image + "/bin/wc"); err != nil {
		t.Errorf("the layer changed: %v", err)
	}
}

// TestBinds shows files of the host with the container's ids.
func TestBinds(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/f", []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBox(t, "cat /data/f /one; stat -c %u /data/f; touch /data/new && echo wrote; touch /ro/x")
	b.host.Binds = []string{dir + ":/data", dir + ":/ro:ro", dir + "/f:/one"}
	b.run().want(t, 1, "hello\nhello\n0\nwrote", "Read-only file system")
	var st syscall.Stat_t
	if err := syscall.Stat(dir+"/new", &st); err != nil || st.Uid != 0 {
		t.Errorf("the new file belongs to %d on the host (%v), want 0", st.Uid, err)
	}
	if _, err := os.Stat(b.root + "/upper/data"); err != nil {
		t.Errorf("the mount point is made in the writable layer: %v", err)
	}
}

func TestStdin(t *testing.T) {
	b := newBox(t, "cat; echo end")
	b.stdin = true
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.IO().Stdin.WriteString("line\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.IO().Stdin.Close(); err != nil {
		t.Fatal(err)
	}
	collect(t, c.Process).want(t, 0, "line\nend")
}

func TestStartErrors(t *testing.T) {
	tests := map[string]struct {
		change func(b *box)
		want   string
		exec   bool
	}{
		"no such command":     {func(b *box) { b.config.Cmd = []string{"nonesuch"} }, "exec nonesuch: no such file or directory", true},
		"no such file":        {func(b *box) { b.config.Cmd = []string{"/bin/nonesuch"} }, "exec /bin/nonesuch: no such file or directory", true},
		"not executable":      {func(b *box) { b.config.Cmd = []string{"/etc/passwd"} }, "exec /etc/passwd: permission denied", true},
		"directory is a file": {func(b *box) { b.config.WorkingDir = "/etc/passwd" }, "open working directory /etc/passwd: not a directory: it must be a directory of the image: choose another", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "")
			tc.change(b)
			_, err := b.start()
			var step *lifecycle.StepError
			if !errors.As(err, &step) || step.Error() != tc.want || step.Exec != tc.exec {
				t.Fatalf("start: %v (%+v), want %q", err, step, tc.want)
			}
			entries, err := os.ReadDir(b.root + "/run")
			if err != nil || len(entries) != 0 {
				t.Errorf("run directory has %v (%v)", entries, err)
			}
		})
	}
}

func TestExecSeesTheContainer(t *testing.T) {
	b := newBox(t, "sleep 1000")
	if _, err := b.start(); err != nil {
		t.Fatal(err)
	}
	b.mustExec("ps; hostname; exit 6", nil).want(t, 6, "sleep 1000", b.id[:12])
	b.mustExec("id; cat /proc/self/cgroup", func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 1000} }).want(t, 0, "uid=1000", ":/\n")
	b.mustExec("tty", func(p *specs.Process) { p.Terminal = true }).want(t, 0, "/dev/pts/0")
}
