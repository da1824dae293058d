package seccomp

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// childEnv tells a re-executed test binary to load a filter and report.
const childEnv = "BERTH_SECCOMP_CHILD"

// TestKernel loads the default profile in a child and looks at what the
// kernel then answers. It needs no root: the child sets no_new_privs.
func TestKernel(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		kernelChild()
		os.Exit(0)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKernel$")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run the child: %v\n%s", err, out)
	}
	want := `getpid: 0
reboot, not in the profile: operation not permitted
mount, needs a capability: operation not permitted
clone3, asks for the fallback: function not implemented
newer than the profile: function not implemented
unshare(CLONE_NEWUSER): operation not permitted
socket(AF_UNIX): 0
socket(AF_ALG): operation not permitted
socket(AF_VSOCK): operation not permitted
personality(UNAME26): operation not permitted
personality(query): 0
`
	if got := string(out); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func kernelChild() {
	runtime.LockOSThread()
	p := defaultProfile(&testing.T{})
	p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{"mseal"}, Action: specs.ActAllow})
	f, err := Compile(p, runtime.GOARCH)
	if err == nil {
		err = linux.SetNoNewPrivs()
	}
	if err == nil {
		_, err = linux.LoadSeccomp(f.Bytes(), f.Flags)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var b strings.Builder
	try := func(what, name string, nr uint32, args ...uintptr) {
		if name != "" {
			native := amd64
			if runtime.GOARCH == "arm64" {
				native = arm64
			}
			nr, _ = native.number(name)
		}
		args = append(args, 0, 0, 0)
		_, _, errno := syscall.RawSyscall(uintptr(nr), args[0], args[1], args[2])
		if errno == 0 {
			fmt.Fprintf(&b, "%s: 0\n", what)
			return
		}
		fmt.Fprintf(&b, "%s: %v\n", what, errno)
	}
	try("getpid", "getpid", 0)
	try("reboot, not in the profile", "reboot", 0)
	try("mount, needs a capability", "mount", 0)
	try("clone3, asks for the fallback", "clone3", 0)
	try("newer than the profile", "", 600)
	try("unshare(CLONE_NEWUSER)", "unshare", 0, syscall.CLONE_NEWUSER)
	try("socket(AF_UNIX)", "socket", 0, syscall.AF_UNIX, syscall.SOCK_STREAM)
	try("socket(AF_ALG)", "socket", 0, 38, syscall.SOCK_SEQPACKET)
	try("socket(AF_VSOCK)", "socket", 0, 40, syscall.SOCK_STREAM)
	try("personality(UNAME26)", "personality", 0, 0x0020000^0x0400000)
	try("personality(query)", "personality", 0, 0xffffffff)
	fmt.Print(b.String())
}

// TestKernelTakesFlags loads a filter with each flag that a profile may have; the
// one that needs a listener is in TestNotify.
func TestKernelTakesFlags(t *testing.T) {
	for _, flags := range [][]specs.LinuxSeccompFlag{
		nil,
		{},
		{"SECCOMP_FILTER_FLAG_TSYNC"},
		{specs.LinuxSeccompFlagLog},
		{specs.LinuxSeccompFlagSpecAllow},
		{"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv},
	} {
		f, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: allArchs, Flags: flags}, runtime.GOARCH)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { // joined by what it sends
			runtime.LockOSThread() // and never unlocked: the thread ends with its filter
			err := linux.SetNoNewPrivs()
			if err == nil {
				_, err = linux.LoadSeccomp(f.Bytes(), f.Flags)
			}
			done <- err
		}()
		if err := <-done; err != nil {
			t.Errorf("%v: %v", flags, err)
		}
	}
}

// BenchmarkLoad loads the default profile in a thread of its own, which then ends.
func BenchmarkLoad(b *testing.B) {
	f, err := Compile(defaultProfile(b), runtime.GOARCH)
	if err != nil {
		b.Fatal(err)
	}
	program := f.Bytes()
	for b.Loop() {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its filter
			err := linux.SetNoNewPrivs()
			if err == nil {
				_, err = linux.LoadSeccomp(program, f.Flags)
			}
			done <- err
		}()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
