package integration

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"berth/internal/testutil"
	"berth/ociruntime/lifecycle"
	"berth/spec"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The numbers are those of the project's list of regression tests.

// TestSecurity01OverwriteSelfExe tries to write the file that runs as the
// container's first process, from run and from exec (CVE-2019-5736).
func TestSecurity01OverwriteSelfExe(t *testing.T) {
	const attack = "ls -l /proc/1/exe /proc/self/exe; echo x > /proc/self/exe; for p in /proc/[0-9]*; do readlink $p/exe; done; true" // a process may end meanwhile
	b := newBox(t, attack+"; sleep 1000")
	if _, err := b.start(); err != nil {
		t.Fatal(err)
	}
	r := b.mustExec(attack, nil)
	r.want(t, 0, "/bin/busybox")
	r.lacks(t, "memfd", "berth")
}

// TestSecurity02SelfExeAsInterpreter runs a script whose interpreter is the
// runtime that starts it: it must neither get at a file of the host nor hang.
func TestSecurity02SelfExeAsInterpreter(t *testing.T) {
	b := newBox(t, "")
	b.write("bin/trap", "#!/proc/self/exe\n")
	if err := os.Chmod(b.image+"/bin/trap", 0o755); err != nil {
		t.Fatal(err)
	}
	b.config.Cmd = []string{"/bin/trap"}
	if _, err := b.start(); err != nil {
		return // refused: as good
	}
	r := collect(t, b.started.Process)
	if r.code == 0 || r.out != "" {
		t.Errorf("exit code %d, output %q", r.code, r.out)
	}
}

// TestSecurity03WorkdirIsAFile tries to get out by a leaked directory (CVE-2024-21626).
func TestSecurity03WorkdirIsAFile(t *testing.T) {
	for n := 3; n <= 64; n++ {
		b := newBox(t, "cat ../../../../etc/hostname ../../../../../../etc/shadow")
		b.config.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", n)
		if _, err := b.start(); err == nil {
			t.Errorf("%s: started", b.config.WorkingDir)
		}
	}
}

// TestSecurity04ExecCwdIsAFile is the same for exec.
func TestSecurity04ExecCwdIsAFile(t *testing.T) {
	b := newBox(t, "sleep 1000")
	if _, err := b.start(); err != nil {
		t.Fatal(err)
	}
	for n := 3; n <= 64; n++ {
		_, err := b.exec("true", func(p *specs.Process) { p.Cwd = fmt.Sprintf("/proc/self/fd/%d", n) })
		if err == nil {
			t.Errorf("exec in /proc/self/fd/%d started", n)
		}
	}
}

func TestSecurity05OnlyStandardFiles(t *testing.T) {
	// By the shell itself: a pipe or a directory that it opens would be seen too.
	// By the shell alone: a pipe or a directory that is open for this would be seen too.
	const list = "for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 20 30 200 201 202 203 204 205 206; do test -e /proc/self/fd/$n && echo fd $n; done"
	b := newBox(t, list+"; echo end; sleep 1000")
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for out := bufio.NewReader(c.IO().Stdout); err == nil && !strings.HasSuffix(got, "end\n"); {
		var line string
		line, err = out.ReadString('\n')
		got += line
	}
	const want = "fd 0\nfd 1\nfd 2\n"
	if err != nil || got != want+"end\n" {
		t.Errorf("files %q (%v), want 0 1 2", got, err)
	}
	if r := b.mustExec(list+"; exit 0", nil); r.out != want {
		t.Errorf("files of exec %q, want 0 1 2", r.out)
	}
}

// TestSecurity06DevIsASymlink has an image whose /dev points elsewhere.
func TestSecurity06DevIsASymlink(t *testing.T) {
	victim := t.TempDir()
	for _, target := range []string{victim, "/etc", "../../../../../../" + victim} {
		b := newBox(t, "true")
		if err := os.Symlink(target, b.image+"/dev"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.start(); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("/dev -> %s: %v, want ELOOP", target, err)
		}
	}
	if left, err := os.ReadDir(victim); err != nil || len(left) > 0 {
		t.Errorf("made on the host: %v %v", left, err)
	}
}

// TestSecurity07NullIsASymlink has a /dev/null in the image that points at what
// masking would then expose (CVE-2025-31133).
func TestSecurity07NullIsASymlink(t *testing.T) {
	b := newBox(t, "cat /proc/timer_list | wc -c; ls -l /dev/null; echo x > /proc/sys/kernel/core_pattern")
	if err := os.MkdirAll(b.image+"/dev", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/sys/kernel/core_pattern", b.image+"/dev/null"); err != nil {
		t.Fatal(err)
	}
	r := b.run()
	r.want(t, 1, "0\n", "crw-rw-rw-", "Read-only file system")
}

// TestSecurity08FakePtmx covers /dev/pts before an exec asks for a terminal.
func TestSecurity08FakePtmx(t *testing.T) {
	b := newBox(t, "mount -t tmpfs none /dev/pts && echo evil > /dev/pts/ptmx && ln -s /etc/passwd /dev/pts/0; echo ready; sleep 1000")
	b.host.CapAdd = []string{"SYS_ADMIN"}
	b.host.SecurityOpt = []string{"seccomp=unconfined"}
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.IO().Stdout.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	b.mustExec("test -t 0 && test -t 1 && test -t 2 && stty size && echo real", func(p *specs.Process) { p.Terminal = true }).want(t, 0, "real")
}

// TestSecurity09ConsoleIsASymlink has a /dev/console that points at a file (CVE-2025-52565).
func TestSecurity09ConsoleIsASymlink(t *testing.T) {
	b := newBox(t, "ls -l /dev/console; ls -l /etc/target; cat /etc/target")
	b.config.Tty = true
	b.write("etc/target", "unchanged\n")
	if err := os.MkdirAll(b.image+"/dev", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/target", b.image+"/dev/console"); err != nil {
		t.Fatal(err)
	}
	b.run().want(t, 0, "crw", "unchanged")
}

// TestSecurity10RacingDestination starts containers with a mount below a shared
// volume in which another process swaps a directory for a link (CVE-2021-30465).
func TestSecurity10RacingDestination(t *testing.T) {
	testutil.RequireRoot(t)
	victim := t.TempDir()
	shared, err := os.MkdirTemp("/dev/shm", "berth-race") // in memory, for many swaps
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(shared)
	lay := func() error {
		return errors.Join(os.Mkdir(shared+"/dir", 0o755), os.Symlink(victim, shared+"/link"))
	}
	if err := lay(); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	var swaps atomic.Int64
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			before := swaps.Load()
			for _, step := range [][2]string{{"dir", "spare"}, {"link", "dir"}, {"dir", "link"}, {"spare", "dir"}} {
				if os.Rename(shared+"/"+step[0], shared+"/"+step[1]) == nil {
					swaps.Add(1)
				}
			}
			if swaps.Load() == before {
				// A start came while there was no dir, and made it: begin again. What a
				// start makes meanwhile is removed the next time.
				for _, name := range []string{"dir", "spare", "link"} {
					_ = os.RemoveAll(shared + "/" + name)
				}
				_ = lay()
			}
		}
	}()
	starts, refused := 0, 0
	for ; starts < 50 || swaps.Load() < 10_000 && starts < 150; starts++ {
		b := newBox(t, "echo here > /vol/dir/marker; true")
		b.host.Binds = []string{shared + ":/vol"}
		b.host.Tmpfs = map[string]string{"/vol/dir/sub": "size=4k"}
		c, err := b.start()
		if err != nil {
			refused++
			continue
		}
		collect(t, c.Process)
	}
	close(stop)
	<-done
	t.Logf("%d starts, %d refused, %d swaps", starts, refused, swaps.Load())
	if swaps.Load() < 1000 { // 10,000 and far more, but for a very busy machine
		t.Errorf("only %d swaps", swaps.Load())
	}
	if left, err := os.ReadDir(victim); err != nil || len(left) > 0 {
		t.Errorf("made on the host: %v %v", left, err)
	}
}

// TestSecurity11ProcIsASymlink has mount points that are links (CVE-2019-19921).
func TestSecurity11ProcIsASymlink(t *testing.T) {
	for _, name := range []string{"proc", "sys"} {
		b := newBox(t, "true")
		if err := os.Symlink("/tmp", b.image+"/"+name); err != nil {
			t.Fatal(err)
		}
		if _, err := b.start(); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("/%s is a link: %v, want ELOOP", name, err)
		}
	}
	b := newBox(t, "true")
	b.host.Tmpfs = map[string]string{"/proc": ""}
	if _, err := b.start(); err == nil {
		t.Error("a tmpfs at /proc was accepted")
	}
}

// TestSecurity12FakeProc has an image whose /proc looks like one (CVE-2025-52881).
func TestSecurity12FakeProc(t *testing.T) {
	b := newBox(t, "cat /proc/sys/net/ipv4/ip_forward")
	if err := os.MkdirAll(b.image+"/proc/sys/net/ipv4", 0o755); err != nil {
		t.Fatal(err)
	}
	b.write("proc/sys/net/ipv4/ip_forward", "decoy\n")
	b.host.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
	b.run().want(t, 0, "1\n")
	if got, err := os.ReadFile(b.root + "/upper/proc/sys/net/ipv4/ip_forward"); err == nil {
		t.Errorf("the value went to the fake file: %q", got)
	}
}

// TestSecurity13MissingTargets binds at places that do not exist.
func TestSecurity13MissingTargets(t *testing.T) {
	name := fmt.Sprintf("/berth-missing-%d", os.Getpid())
	b := newBox(t, "ls -d "+name+"/a/b; ls -l "+name+"/file")
	src := t.TempDir()
	if err := os.WriteFile(src+"/f", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.host.Binds = []string{src + ":" + name + "/a/b", src + "/f:" + name + "/file"}
	b.run().want(t, 0, name+"/a/b")
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s exists on the host: %v", name, err)
	}
}

// TestSecurity14DanglingLink has a link to nowhere in the path of a mount.
func TestSecurity14DanglingLink(t *testing.T) {
	victim := fmt.Sprintf("/tmp/berth-dangling-%d", os.Getpid())
	b := newBox(t, "ls /link")
	if err := os.Symlink(victim, b.image+"/link"); err != nil {
		t.Fatal(err)
	}
	b.host.Binds = []string{t.TempDir() + ":/link/sub"}
	_, err := b.start()
	var step *lifecycle.StepError
	if err != nil && !errors.As(err, &step) {
		t.Errorf("start: %v", err)
	}
	if _, err := os.Lstat(victim); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s exists on the host: %v", victim, err)
	}
}

func TestSecurity15MasksHoldAfterExec(t *testing.T) {
	b := newBox(t, "sleep 1000")
	if _, err := b.start(); err != nil {
		t.Fatal(err)
	}
	b.mustExec("cat /proc/kcore | wc -c; echo x > /proc/sys/kernel/domainname", nil).want(t, 1, "0\n", "Read-only file system")
	b.mustExec("umount /proc/kcore", nil).want(t, 1, "not permitted")
}

func TestSecurity16InheritableIsEmpty(t *testing.T) {
	b := newBox(t, "grep -E 'CapInh|CapAmb' /proc/self/status; sleep 1000")
	b.config.Cmd[2] = "sleep 1000"
	if _, err := b.start(); err != nil {
		t.Fatal(err)
	}
	b.mustExec("grep -E 'CapInh|CapAmb' /proc/1/status /proc/self/status | grep -vc 0000000000000000", nil).want(t, 1, "0\n")
}

func TestSecurity17SupplementaryGroups(t *testing.T) {
	b := newBox(t, "grep Groups /proc/self/status")
	b.run().want(t, 0, "Groups:\t \n")
	b = newBox(t, "grep Groups /proc/self/status")
	b.user = spec.User{AdditionalGids: []uint32{20, 30}}
	b.run().want(t, 0, "Groups:\t20 30 \n")
}

// TestSecurity19ReleaseAgent tries what gave root of the host (CVE-2022-0492).
func TestSecurity19ReleaseAgent(t *testing.T) {
	b := newBox(t, `for f in /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/release_agent; do echo /tmp/x > $f && echo WROTE $f; done
echo '|/tmp/x' > /proc/sys/kernel/core_pattern && echo WROTE core_pattern
mkdir /tmp/cg && mount -t cgroup -o memory none /tmp/cg && echo /tmp/x > /tmp/cg/release_agent && echo WROTE mounted; exit 0`)
	b.host.CapAdd = []string{"SYS_ADMIN"}
	b.host.SecurityOpt = []string{"seccomp=unconfined"}
	b.run().lacks(t, "WROTE")
}

func TestSecurity20PowercapMasked(t *testing.T) {
	// What /sys/class/powercap has are links into the masked directory.
	b := newBox(t, "ls -A /sys/devices/virtual/powercap 2>/dev/null; cat /sys/class/powercap/*/* 2>/dev/null; echo end")
	if r := b.run(); r.out != "end\n" {
		t.Errorf("powercap shows %q", r.out)
	}
}

// TestSecurity22FilterHoldsAfterExec looks at the filter of every process.
func TestSecurity22FilterHoldsAfterExec(t *testing.T) {
	b := newBox(t, "sleep 1000")
	if _, err := b.start(); err != nil {
		t.Fatal(err)
	}
	r := b.mustExec("grep Seccomp: /proc/1/status /proc/self/status; sh -c 'grep Seccomp: /proc/self/status'; unshare -U true", nil)
	r.want(t, 1, "not permitted")
	if n := strings.Count(r.out, "Seccomp:\t2"); n != 3 {
		t.Errorf("%d of 3 processes have a filter:\n%s", n, r.out)
	}
}

// TestExecCannotBeTraced looks from inside at a process that is being entered:
// at no moment may the container open its memory or its files.
func TestExecCannotBeTraced(t *testing.T) {
	b := newBox(t, `while :; do for p in /proc/[0-9]*; do
  case $(readlink $p/exe) in *memfd*) echo SAW exe $p;; esac
  ls $p/fd 2>/dev/null | grep -qE '^[3-9][0-9]*$' && case $p in /proc/1|/proc/$$) ;; *) : ;; esac
done; done`)
	b.host.CapAdd = []string{"SYS_PTRACE"}
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		b.mustExec("true", nil)
	}
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	collect(t, c.Process).lacks(t, "SAW")
}

// TestSecurity25NoAbstractSockets looks for sockets of berth's own from a
// container on the host's network: it has none without a path (CVE-2020-15257).
func TestSecurity25NoAbstractSockets(t *testing.T) {
	testutil.RequireRoot(t)
	before, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, line := range strings.Split(string(before), "\n") {
		known[line[strings.LastIndex(line, " ")+1:]] = true
	}
	b := newBox(t, "sleep 1000")
	b.host.NetworkMode = "host"
	b.config.Tty = true
	if _, err := b.start(); err != nil {
		t.Fatal(err)
	}
	r := b.mustExec("cat /proc/net/unix", func(p *specs.Process) { p.Terminal = true })
	r.want(t, 0, "RefCount")
	for _, line := range strings.Split(r.out, "\n") {
		name := strings.TrimSpace(line[strings.LastIndex(line, " ")+1:])
		if strings.HasPrefix(name, "@") && strings.Contains(name, "berth") && !known[name] {
			t.Errorf("abstract socket %s", name)
		}
	}
}
