package seccomp

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"

	mobyseccomp "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSecurity21EveryWayToASocket: AF_ALG and AF_VSOCK, which Docker's profile
// does not list, are denied by every ABI's calls, with bits set above the 32 that
// the kernel looks at, and by way of socketcall, if the profile does not permit
// that one whatever it is for.
func TestSecurity21EveryWayToASocket(t *testing.T) {
	p, err := mobyseccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: dockerCaps}}})
	if err != nil {
		t.Fatal(err)
	}
	p.Architectures = allArchs
	for i := range p.Syscalls {
		p.Syscalls[i].Names = slices.DeleteFunc(slices.Clone(p.Syscalls[i].Names), func(name string) bool { return name == "socketcall" })
	}
	const unix, alg, vsock = 1, 38, 40
	tried := 0
	for goarch, abis := range map[string]map[abi]uint32{
		"amd64": {amd64: auditAMD64, x32: auditAMD64, x86: audit386}, "arm64": {arm64: auditARM64, arm: auditARM},
	} {
		f, err := Compile(p, goarch)
		if err != nil {
			t.Fatal(err)
		}
		for b, audit := range abis {
			nr, ok := b.number("socket")
			if !ok {
				t.Fatalf("abi %d has no socket", b)
			}
			if got, _ := execute(f, data{nr: nr, arch: audit, args: [6]uint64{unix}}); got != retAllow {
				t.Errorf("AF_UNIX in abi %d: %#x", b, uint32(got))
			}
			for _, family := range []uint64{alg, vsock} {
				for _, high := range []uint64{0, 1 << 32, 1 << 33, 1 << 63, 0xffffffff << 32} {
					d := data{nr: nr, arch: audit, args: [6]uint64{family | high, 5}}
					if got, _ := execute(f, d); got.permits() {
						t.Errorf("%s, %+v: %#x", goarch, d, uint32(got))
					}
					tried++
				}
			}
			if b != x86 {
				continue
			}
			nr, _ = b.number("socketcall")
			for _, pointer := range []uint64{0, unix, alg, 0x8048000, 0xfffffff0} {
				const socket = 1
				d := data{nr: nr, arch: audit, args: [6]uint64{socket, pointer}}
				if got, _ := execute(f, d); got.permits() {
					t.Errorf("socketcall, %+v: %#x", d, uint32(got))
				}
				tried++
			}
		}
	}
	t.Logf("%d ways", tried)
}

// TestSecurity22FilterStays: a program that a filtered process executes has the
// filter, and cannot get rid of it by another that allows all.
func TestSecurity22FilterStays(t *testing.T) {
	switch os.Getenv(childEnv) {
	case "load":
		loadAndExec()
		os.Exit(1)
	case "executed":
		reportFilter()
		os.Exit(0)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecurity22FilterStays$")
	cmd.Env = append(os.Environ(), childEnv+"=load")
	out, err := cmd.CombinedOutput()
	const want = "filters: 1\nreboot: operation not permitted\nanother filter: <nil>\nfilters: 2\nreboot: operation not permitted\nswitch off: invalid argument\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

func loadAndExec() {
	runtime.LockOSThread()
	f, err := Compile(defaultProfile(&testing.T{}), runtime.GOARCH)
	if err == nil {
		err = linux.SetNoNewPrivs()
	}
	if err == nil {
		_, err = linux.LoadSeccomp(f.Bytes(), f.Flags)
	}
	if err == nil {
		err = os.Setenv(childEnv, "executed")
	}
	if err == nil {
		err = syscall.Exec("/proc/self/exe", []string{"child", "-test.run=^TestSecurity22FilterStays$"}, os.Environ())
	}
	fmt.Println(err)
}

func reportFilter() {
	runtime.LockOSThread()
	report := func() {
		status, err := os.ReadFile("/proc/thread-self/status")
		if err != nil {
			fmt.Println(err)
		}
		_, rest, _ := strings.Cut(string(status), "Seccomp_filters:\t")
		line, _, _ := strings.Cut(rest, "\n")
		fmt.Println("filters:", line)
		_, _, errno := syscall.RawSyscall(syscall.SYS_REBOOT, 0, 0, 0)
		fmt.Println("reboot:", errno)
	}
	report()
	all, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: allArchs}, runtime.GOARCH)
	if err == nil {
		_, err = linux.LoadSeccomp(all.Bytes(), 0)
	}
	fmt.Println("another filter:", err)
	report()
	const setSeccomp, disabled = 22, 0 // PR_SET_SECCOMP, SECCOMP_MODE_DISABLED
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setSeccomp, disabled, 0)
	fmt.Println("switch off:", errno)
}
