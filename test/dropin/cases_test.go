package dropin

import (
	"strings"
	"testing"
)

// weight says which runs a case is part of.
type weight int

const (
	core weight = iota // make test
	once               // make test with one engine only: the runtime gets the same from the others
	rare               // make dropin only
)

// testCase is one thing that an engine asks of its runtime.
type testCase struct {
	name string
	when weight
	test func(t *testing.T, e *engine)
}

// runCases runs the cases side by side.
func runCases(t *testing.T, e *engine, tables ...[]testCase) {
	t.Helper()
	for _, table := range tables {
		for _, c := range table {
			if !all() && (c.when == rare || c.when == once && e.name == "podman") {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.test(t, e)
			})
		}
	}
}

// shared are the cases of Docker's and Podman's command line alike.
func shared() []testCase {
	var all []testCase
	for _, table := range [][]testCase{basics(), security(), namespaces(), resources(), mounts(), lifecycle(), processes(), errorCases()} {
		all = append(all, table...)
	}
	return all
}

// in is the test that a script in a container prints what matches, with these
// flags for the container.
func in(script, want string, flags ...string) func(*testing.T, *engine) {
	return func(t *testing.T, e *engine) {
		t.Helper()
		expect(t, e.run(t, script, flags...), 0, want)
	}
}

// noSignals is what /proc/self/status says of a process that blocks no signal and
// does not ignore SIGPIPE, as the programs that call runtimes do.
const noSignals = "SigBlk:\t0{16}\nSigIgn:\t0{12}[02468ace]..."

func basics() []testCase {
	return []testCase{
		{"output and exit code", core, func(t *testing.T, e *engine) {
			r := e.run(t, "echo out; echo err >&2; exit 7")
			expect(t, r, 7, "out")
			failsWith(t, r, 7, `(?m)^err$`)
		}},
		{"input", once, func(t *testing.T, e *engine) {
			expect(t, e.feed(t, "one\ntwo\n", "run", "--rm", "-i", imageName, "wc", "-l"), 0, "2")
		}},
		{"environment", core, in(`echo $A $HOME; pwd; hostname; id -u; id -g; id -G; umask`,
			"b /home/bob\n/var\nh1\n1000\n1001\n1001 2000\n0022",
			"-e", "A=b", "-w", "/var", "--hostname", "h1", "--user", "bob")},
		{"numeric user and groups", once, in(`id -u; id -g; id -G`, "1234\n5678\n5678 3000", "--user", "1234:5678", "--group-add", "3000")},
		{"terminal", core, testTerminal},
		{"init", once, func(t *testing.T, e *engine) {
			expect(t, e.run(t, `cat /proc/1/cmdline | tr '\0' ' '; sh -c '(true &)'; exit 3`, "--init"), 3, `\S*init -- sh -c .*`)
		}},
		{"only what the container may have open", core, in(`ls /proc/self/fd | tr '\n' ' '`, "0 1 2 3")},
		{"signals are as a program expects", core, in(`grep -E '^Sig(Ign|Blk)' /proc/self/status`,
			noSignals)},
		{"hosts", rare, in(`grep -c localhost /etc/hosts; cat /etc/hostname`, "[1-9]\nh2", "--hostname", "h2")},
		{"a command that reads much and writes much", rare, func(t *testing.T, e *engine) {
			r := e.feed(t, strings.Repeat("0123456789abcde\n", 1<<16), "run", "--rm", "-i", imageName, "cat")
			if r.code != 0 || len(r.out) != 1<<20-1 {
				t.Errorf("exit code %d, %d bytes, stderr %s", r.code, len(r.out), r.err)
			}
		}},
	}
}

func security() []testCase {
	const caps = `grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f 2 | tr '\n' ' '`
	const none = "0000000000000000"
	return []testCase{
		{"default capabilities", core, in(caps, none+` ([0-9a-f]{16}) [0-9a-f]{16} [0-9a-f]{16} `+none)},
		{"no capabilities", once, in(caps, strings.Repeat(none+" ?", 5), "--cap-drop", "ALL")},
		{"one capability", once, in(caps, none+" 0000000002000000 0000000002000000 0000000002000000 "+none, "--cap-drop", "ALL", "--cap-add", "SYS_TIME")},
		{"a user has none", once, in(`grep CapEff /proc/self/status`, "CapEff:\t"+none, "--user", "bob")},
		{"privileged", core, testPrivileged},
		{"no new privileges", once, in(`grep NoNewPrivs /proc/self/status`, "NoNewPrivs:\t1", "--security-opt", "no-new-privileges")},
		{"new privileges", once, in(`grep NoNewPrivs /proc/self/status`, "NoNewPrivs:\t0")},
		{"default seccomp", core, in(`grep Seccomp: /proc/self/status; swapoff /dev/null 2>&1; true`, "Seccomp:\t2\n.*Operation not permitted", "--cap-add", "SYS_ADMIN")},
		{"no seccomp", once, in(`grep Seccomp: /proc/self/status`, "Seccomp:\t0", "--security-opt", "seccomp=unconfined")},
		{"own seccomp profile", once, testSeccompProfile},
		{"masked and read-only paths", core, testMasks},
		{"devices are denied", core, in(
			`mknod /tmp/d b 7 0 && head -c 1 /tmp/d; echo $?; mknod /tmp/n c 1 3 && echo x > /tmp/n; echo $?`, "1\n0", "--cap-add", "MKNOD")},
		{"a device", once, testDevice},
		{"a device rule", rare, in(`mknod /tmp/k c 1 11 && head -c 0 /tmp/k; echo $?`, "0", "--cap-add", "MKNOD", "--cap-add", "SYSLOG", "--device-cgroup-rule", "c 1:11 rmw")},
		{"ulimits", once, in(`ulimit -n; ulimit -Hn; ulimit -c`, "100\n200\n0", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=4000:4096")},
		{"sysctls", once, in(`cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax`, "1\n9000", "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=9000")},
		{"oom score", once, in(`cat /proc/self/oom_score_adj`, "500", "--oom-score-adj", "500")},
	}
}
