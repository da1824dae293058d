package dropin

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// namespaceOf is a namespace of this process: the host's.
func namespaceOf(t *testing.T, kind string) string {
	t.Helper()
	name, err := os.Readlink("/proc/self/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// ofHost is the test that a flag gives the container the host's namespace.
func ofHost(kind string, flags ...string) func(*testing.T, *engine) {
	return func(t *testing.T, e *engine) {
		t.Helper()
		want := namespaceOf(t, kind)
		r := e.run(t, "readlink /proc/self/ns/"+kind, flags...)
		if r.code != 0 || r.out != want {
			t.Errorf("want %s: %v", want, r)
		}
	}
}

// ofOther is the test that a flag gives a container another one's namespace, by path.
func ofOther(kind, flag string, flags ...string) func(*testing.T, *engine) {
	return func(t *testing.T, e *engine) {
		t.Helper()
		other := e.start(t, flags, "sleep", "1000")
		ask := []string{"readlink", "/proc/self/ns/" + kind}
		want := e.must(t, append([]string{"exec", other}, ask...)...)
		r := e.run(t, strings.Join(ask, " "), flag, "container:"+other)
		if r.code != 0 || r.out != want || want == namespaceOf(t, kind) {
			t.Errorf("want the other container's %s: %v", want, r)
		}
		if got := e.must(t, append([]string{"exec", other}, ask...)...); got != want {
			t.Errorf("the other container has %s after that, %s before", got, want)
		}
	}
}

func namespaces() []testCase {
	return []testCase{
		{"own namespaces", core, func(t *testing.T, e *engine) {
			var script, host string
			for _, kind := range []string{"ipc", "mnt", "net", "pid", "uts"} {
				script += "readlink /proc/self/ns/" + kind + ";"
				host += namespaceOf(t, kind) + "\n"
			}
			r := e.run(t, script)
			expect(t, r, 0, `ipc:\S+\nmnt:\S+\nnet:\S+\npid:\S+\nuts:\S+`)
			for _, l := range strings.Split(r.out, "\n") {
				if strings.Contains(host, l+"\n") {
					t.Errorf("the container has the host's %s", l)
				}
			}
		}},
		{"pid of the host", once, ofHost("pid", "--pid=host")},
		{"pid of a container", core, ofOther("pid", "--pid")},
		{"ipc of the host", once, ofHost("ipc", "--ipc=host")},
		{"ipc of a container", once, ofOther("ipc", "--ipc", "--ipc=shareable")},
		{"network of the host", once, ofHost("net", "--network=host")},
		{"network of a container", core, ofOther("net", "--network")},
		{"uts of the host", once, ofHost("uts", "--uts=host")},
		{"cgroup namespace of the host", once, ofHost("cgroup", "--cgroupns=host")},
		{"own cgroup namespace", once, func(t *testing.T, e *engine) {
			r := e.run(t, "cut -d: -f 3 /proc/self/cgroup | sort -u; readlink /proc/self/ns/cgroup", "--cgroupns=private")
			expect(t, r, 0, `/\ncgroup:\S+`)
			if strings.Contains(r.out, namespaceOf(t, "cgroup")) {
				t.Error("it is the host's")
			}
		}},
		{"several of a container", rare, func(t *testing.T, e *engine) {
			other := e.start(t, []string{"--ipc=shareable"}, "sleep", "1000")
			flag := "container:" + other
			r := e.run(t, "ps | grep -c 'sleep 1000$'; readlink /proc/self/ns/net", "--pid", flag, "--ipc", flag, "--network", flag)
			expect(t, r, 0, "1\n"+regexp.QuoteMeta(e.must(t, "exec", other, "readlink", "/proc/self/ns/net")))
		}},
	}
}

func resources() []testCase {
	return []testCase{
		{"limits", core, testLimits},
		{"cgroup parent", once, func(t *testing.T, e *engine) {
			parent := e.parent + deepParent
			id := e.start(t, []string{"--cgroup-parent", parent}, "sleep", "1000")
			paths := cgroupsOf(t, e, id)
			if paths["memory"] == "" {
				paths["memory"], paths["pids"] = paths[""], paths[""]
			}
			for _, controller := range []string{"memory", "pids"} {
				if !strings.HasPrefix(paths[controller], parent+"/") {
					t.Errorf("cgroup of %s is %s, want one in %s", controller, paths[controller], parent)
				}
			}
		}},
		{"out of memory", core, testOutOfMemory},
		{"limits changed live", once, testUpdate},
		{"statistics", core, func(t *testing.T, e *engine) {
			id := e.start(t, []string{"--memory", "64m"}, "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=8; sleep 1000")
			counted(t, pollCommand(func() error {
				format := "{{.MemUsage}} {{.PIDs}}"
				out := e.must(t, "stats", "--no-stream", "--format", format, id)
				var used float64
				var unit, limit string
				var pids int
				if _, err := fmt.Sscanf(strings.ReplaceAll(out, "/", " "), "%f%s %s %d", &used, &unit, &limit, &pids); err != nil {
					return fmt.Errorf("%q: %w", out, err)
				}
				if used < 5 || !strings.HasPrefix(strings.ToUpper(unit), "M") || !strings.HasPrefix(limit, "6") || pids < 1 {
					return fmt.Errorf("used %f %s of %s, %d processes: want some MB of 64 MiB, 1 process", used, unit, limit, pids)
				}
				return nil
			}))
		}},
	}
}

func mounts() []testCase {
	return []testCase{
		{"read-only root", core, in(`touch /new; echo $?; touch /dev/shm/x && echo yes`, "1\nyes", "--read-only")},
		{"read-only root with tmpfs", once, in(`touch /new; echo $?; touch /work/x && echo yes`, "1\nyes", "--read-only", "--tmpfs", "/work")},
		{"tmpfs", once, in(`stat -c %a /work; df -k /work | awk 'NR==2{print $2}'; grep ' /work ' /proc/mounts`,
			"700\n1024\ntmpfs /work tmpfs .*nosuid.*nodev.*", "--tmpfs", "/work:size=1m,mode=700")},
		{"size of shm", once, in(`df -k /dev/shm | awk 'NR==2{print $2}'`, "8192", "--shm-size", "8m")},
		{"bind", core, func(t *testing.T, e *engine) {
			e.write(t, "bind/a", "from the host", 0o644)
			dir := e.path("bind")
			expect(t, e.run(t, "cat /vol/a; echo from inside > /vol/b", "-v", dir+":/vol"), 0, "from the host")
			if got, err := os.ReadFile(dir + "/b"); err != nil || string(got) != "from inside\n" {
				t.Errorf("the host sees %q, %v", got, err)
			}
		}},
		{"read-only bind", once, func(t *testing.T, e *engine) {
			file := e.write(t, "file", "content", 0o644)
			expect(t, e.run(t, "cat /etc/f; echo x > /etc/f; echo $?", "-v", file+":/etc/f:ro"), 0, "content1")
		}},
		{"propagation to the container", core, testSlave},
		{"propagation to the host", rare, testShared},
		{"volume", rare, func(t *testing.T, e *engine) {
			name := e.newName(t)
			expect(t, e.run(t, "cat /etc/passwd | wc -l; echo kept > /etc/kept", "-v", name+":/etc"), 0, "2")
			expect(t, e.run(t, "cat /v/kept", "-v", name+":/v:ro"), 0, "kept")
			e.must(t, "volume", "rm", name)
		}},
	}
}
