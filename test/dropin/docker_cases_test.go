package dropin

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func dockerOnly() []testCase {
	return []testCase{
		{"info", core, func(t *testing.T, e *engine) {
			matches(t, "docker info", e.must(t, "info", "--format", "{{.DefaultRuntime}}"), "berth")
		}},
		{"stop signal", rare, func(t *testing.T, e *engine) {
			id := e.start(t, []string{"--stop-signal", "USR1"}, "sh", "-c", "trap 'exit 8' USR1; echo up; while :; do sleep 0.05; done")
			e.untilLog(t, id, "up")
			e.must(t, "stop", "-t", "20", id)
			e.until(t, id, ".State.ExitCode", "8")
		}},
		{"unmasked", rare, in(`grep -c ' /proc/sys ' /proc/mounts; true`, "0", "--security-opt", "systempaths=unconfined")},
		{"restart policy", rare, func(t *testing.T, e *engine) {
			id := e.start(t, []string{"--restart", "on-failure:2"}, "sh", "-c", "echo ran; exit 3")
			e.until(t, id, ".RestartCount", "2")
			e.untilLog(t, id, "ran\nran\nran")
			e.clean(t, id)
		}},
		{"health", rare, func(t *testing.T, e *engine) {
			id := e.start(t, []string{"--health-cmd", "test -e /root/ok", "--health-interval", "1s", "--health-retries", "1"}, "sleep", "1000")
			e.until(t, id, ".State.Health.Status", "unhealthy")
			e.must(t, "exec", id, "touch", "/root/ok")
			e.until(t, id, ".State.Health.Status", "healthy")
		}},
		{"processes by ps's flags", rare, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sleep", "1234")
			if out := e.must(t, "top", id, "-o", "pid,args"); !strings.Contains(out, pidOf(t, e, id)) {
				t.Errorf("top does not show pid %s: %s", pidOf(t, e, id), out)
			}
		}},
		{"throttled device", rare, func(t *testing.T, e *engine) {
			var disk string
			for _, d := range []string{"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0"} {
				if _, err := os.Stat(d); err == nil {
					disk = d
					break
				}
			}
			if disk == "" {
				t.Skip("no disk that this test knows")
			}
			id := e.start(t, []string{"--device-read-bps", disk + ":1mb"}, "sleep", "1000")
			matches(t, "throttle", limit(t, e, id, "blkio", "blkio.throttle.read_bps_device", "io.max"), `\d+:\d+ .*1048576.*`)
		}},
		{"terminal session", core, testSession},
		{"attach", rare, func(t *testing.T, e *engine) {
			id := e.container(t, "create", []string{"-i"}, "sh", "-c", "read line; echo got $line; exit 6")
			expect(t, e.feed(t, "hello\n", "start", "-ai", id), 6, "got hello")
		}},
		{"daemon started again", rare, testLiveRestore},
	}
}

// testDockerRemapped has a dockerd whose containers run in a user namespace.
func testDockerRemapped(t *testing.T) {
	t.Parallel()
	runtimePath(t)
	dir := t.TempDir()
	sub := dir + "/sub"
	if err := os.WriteFile(sub, []byte("nobody:300000:65536\nnogroup:300000:65536\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// dockerd reads these two files and no others.
	script := fmt.Sprintf(`mount --bind %s /etc/subuid && mount --bind %s /etc/subgid && exec "$@"`, sub, sub)
	e := dockerEngine(t, []string{"unshare", "-m", "sh", "-c", script, "sh"}, "--bridge=none", "--userns-remap=nobody:nogroup")
	runCases(t, e, []testCase{
		{"ids", core, in("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /x /tmp/y; stat -c %u /x",
			`0 +300000 +65536\n +0 +300000 +65536\n0\n0`)},
		{"bind", core, func(t *testing.T, e *engine) {
			file := e.write(t, "bind/file", "content", 0o644)
			expect(t, e.run(t, "cat /f; echo x > /f; echo $?", "-v", file+":/f"), 0, "content1")
		}},
		{"exec", core, func(t *testing.T, e *engine) {
			id := e.start(t, []string{"--memory", "64m"}, "sleep", "1000")
			expect(t, e.try(t, "exec", "-u", "bob", id, "sh", "-c", "id -u; grep CapEff /proc/self/status"), 0, "1000\nCapEff:\t0{16}")
			expect(t, e.onTerminal(t, "exec", "-t", id, "sh", "-c", "tty; echo > $(tty) && exit 3"), 3, `(?:\^@)?/dev/pts/\d+\s*`)
		}},
		{"terminal", core, testTerminal},
		{"host's user namespace", core, ofHost("user", "--userns=host")},
		{"read-only root", core, in(`touch /new; echo $?; echo x > /dev/shm/x && echo yes`, "1\nyes", "--read-only", "--tmpfs", "/t")},
		{"stop", core, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", onTerm)
			e.untilLog(t, id, "up")
			e.must(t, "stop", "-t", "20", id)
			e.until(t, id, ".State.ExitCode", "5")
		}},
	})
}

// testDockerBridge has a dockerd with a network, in a network namespace of its own.
func testDockerBridge(t *testing.T) {
	t.Parallel()
	runtimePath(t)
	e := dockerEngine(t, []string{"unshare", "-n", "-m", "--propagation", "unchanged"}, "--bip=10.213.7.1/24")
	runCases(t, e, []testCase{
		{"address", core, in(`ip -4 addr show eth0 | grep -o 'inet [0-9.]*'; ping -c 1 -W 5 10.213.7.1 > /dev/null && echo answers`, `inet 10\.213\.7\.\d+\nanswers`)},
		{"between containers", core, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", "echo hello | nc -l -p 7000")
			address := e.inspect(t, id, ".NetworkSettings.IPAddress")
			expect(t, e.run(t, "until nc "+address+" 7000 < /dev/null; do sleep 0.1; done"), 0, "hello")
		}},
		{"own network", core, func(t *testing.T, e *engine) {
			e.must(t, "network", "create", "--subnet", "10.213.8.0/24", "net1")
			expect(t, e.run(t, `ip -4 addr show eth0 | grep -c 'inet 10.213.8'`, "--network", "net1"), 0, "1")
			e.must(t, "network", "rm", "net1")
		}},
		{"of a container", core, ofOther("net", "--network")},
	})
}

// testLiveRestore: containers go on while their dockerd is away.
func testLiveRestore(t *testing.T, _ *engine) {
	e := dockerEngine(t, nil, "--bridge=none", "--live-restore")
	id := e.start(t, nil, "sh", "-c", onTerm)
	e.untilLog(t, id, "up")
	before := pidOf(t, e, id)
	e.halt(t)
	e.boot(t)
	if after := pidOf(t, e, id); after != before {
		t.Errorf("pid %s after dockerd came back, %s before", after, before)
	}
	expect(t, e.try(t, "exec", id, "echo", "hello"), 0, "hello")
	e.must(t, "stop", "-t", "20", id)
	e.until(t, id, ".State.ExitCode", "5")
}
