package network

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"berth/test/berthtest"
)

// TestForwardingOff: forwarding that somebody turns off is turned on again.
func TestForwardingOff(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.serve("web", "-p 8080:80")
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		shell(t, "echo 0 > "+path)
		err := berthtest.Poll(func() error {
			if have, err := os.ReadFile(path); err != nil || string(have) != "1\n" {
				return fmt.Errorf("%s is %q, %w", path, have, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	again(t, "port", otherAddr, func() (string, error) { return o.ask("tcp", at(hostAddr, "8080")) })
}

// TestNoIPv6: a host without IPv6 has networks of IPv4, and says why not others.
func TestNoIPv6(t *testing.T) {
	shell(t, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
	t.Cleanup(func() { shell(t, "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0") })
	l := start(t)
	l.Must(t, "network", "create", "four")
	l.serve("web", "--network four -p 8080:80")
	gw := text(l.endpoint("web", "four").Gateway)
	want(t, "port", gw)(ask("tcp", "127.0.0.1:8080"))
	l.serve("c2", "--network four")
	l.found("c2", map[string]string{"web": l.addr("web", "four")})
	_, errOut, code := l.Berth(t, "network", "create", "--ipv6", "six")
	if code != 1 || !strings.Contains(errOut, "IPv6 is turned off on this host") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("a network with IPv6: exit code %d: %s", code, errOut)
	}
	if _, errOut, code = l.Berth(t, "run", "--rm", "-p", "8090:80/sctp", "toolbox", "true"); code != 0 &&
		(!strings.Contains(errOut, "the kernel has no SCTP") || strings.Count(errOut, "\n") != 1) {
		t.Errorf("SCTP: exit code %d: %s", code, errOut)
	}
	l.Must(t, "rm", "-f", "web", "c2")
	l.Must(t, "network", "rm", "four")
}

// TestNoNetfilter: a kernel without nftables is one clear error.
func TestNoNetfilter(t *testing.T) {
	l := start(t)
	cmd := l.Command("run", "--rm", "toolbox", "true")
	cmd.Env = append(cmd.Env, roleEnv+"=without-netfilter")
	cmd.Args = append([]string{"x", cmd.Path}, cmd.Args[1:]...)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = self
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the kernel has no netfilter") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: %s", err, out)
	}
	if out, err = l.Command("run", "--rm", "--network", "none", "toolbox", "true").CombinedOutput(); err != nil {
		t.Errorf("without a network: %v: %s", err, out)
	}
}

// withoutNetfilter runs a program for which the kernel has no NETLINK_NETFILTER: a filter
// of seccomp(2) refuses such sockets.
func withoutNetfilter(args []string) error {
	const (
		loadWord, jumpIfEqual, giveBack = 0x20, 0x15, 0x06 // linux/bpf_common.h: BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
		allow, refuse                   = 0x7fff0000, 0x00050000 | uint32(syscall.EPROTONOSUPPORT)
		setModeFilter, toAllThreads     = 1, 1
		sysSeccomp                      = 317 // x86-64; others' is looked up below
	)
	number := uintptr(sysSeccomp)
	if syscall.SYS_SOCKET != 41 { // the generic table of arm64 and riscv64
		number = 277
	}
	program := []syscall.SockFilter{
		{Code: loadWord, K: 0}, // the call's number
		{Code: jumpIfEqual, Jf: 5, K: syscall.SYS_SOCKET},
		{Code: loadWord, K: 16}, // the low word of the first argument
		{Code: jumpIfEqual, Jf: 3, K: syscall.AF_NETLINK},
		{Code: loadWord, K: 32}, // of the third
		{Code: jumpIfEqual, Jf: 1, K: syscall.NETLINK_NETFILTER},
		{Code: giveBack, K: refuse},
		{Code: giveBack, K: allow},
	}
	f := syscall.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := syscall.RawSyscall(number, setModeFilter, toAllThreads, uintptr(unsafe.Pointer(&f))); errno != 0 {
		return errno
	}
	if err := os.Unsetenv(roleEnv); err != nil {
		return err
	}
	return syscall.Exec(args[0], args, os.Environ())
}
