package dropin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/test/berthtest"
)

func podmanOnly() []testCase {
	return []testCase{
		{"own user namespace", core, in(`cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /x; stat -c %u /x; grep -c ^Cap /proc/self/status`,
			`0 +300000 +3000\n +0 +400000 +3000\n0\n0\n5`, "--uidmap", "0:300000:3000", "--gidmap", "0:400000:3000")},
		{"exec in a user namespace", rare, func(t *testing.T, e *engine) {
			id := e.start(t, []string{"--uidmap", "0:300000:3000"}, "sleep", "1000")
			expect(t, e.try(t, "exec", "-u", "bob", id, "sh", "-c", "id -u; cat /proc/self/uid_map"), 0, `1000\n +0 +300000 +3000`)
			expect(t, e.onTerminal(t, "exec", "-t", id, "sh", "-c", "tty; exit 3"), 3, `(?:\^@)?/dev/pts/\d+\s*`)
			want := regexp.QuoteMeta(e.must(t, "exec", id, "readlink", "/proc/self/ns/user"))
			expect(t, e.run(t, "readlink /proc/self/ns/user", "--userns", "container:"+id), 0, want)
		}},
		{"pod", core, testPod},
		{"hooks", core, testHooks},
		{"health check", core, func(t *testing.T, e *engine) {
			id := e.start(t, []string{"--health-cmd", "test -e /root/ok", "--health-interval", "disable"}, "sleep", "1000")
			if r := e.try(t, "healthcheck", "run", id); r.code != 1 {
				t.Errorf("not healthy yet: %v", r)
			}
			e.must(t, "exec", id, "touch", "/root/ok")
			if r := e.try(t, "healthcheck", "run", id); r.code != 0 {
				t.Errorf("healthy: %v", r)
			}
		}},
		{"preserved descriptors", core, testPreserved},
		{"umask", rare, in("umask", "0077", "--umask", "0077")},
		{"personality", rare, func(t *testing.T, e *engine) {
			peerLacks(t, "runc knows it from 1.2 on")
			in("uname -m", "i[36]86", "--personality", "LINUX32")(t, e)
		}},
		{"root of the host", rare, func(t *testing.T, e *engine) {
			root := e.path("rootfs")
			e.untar(t, root)
			r := e.try(t, "run", "--rm", "--rootfs", root, "sh", "-c", "id -u; echo x > /root/file")
			expect(t, r, 0, "0")
			if _, err := os.Stat(root + "/root/file"); err != nil {
				t.Error(err)
			}
		}},
		{"unmasked", rare, in(`grep -c ' /proc/sys ' /proc/mounts; true`, "0", "--security-opt", "unmask=ALL")},
		{"systemd mode", rare, in(`grep -c ' /run tmpfs' /proc/mounts; test -d /sys/fs/cgroup/systemd -o -e /sys/fs/cgroup/cgroup.procs && echo yes`, "1\nyes", "--systemd=always")},
		{"a copy of a bind", rare, func(t *testing.T, e *engine) {
			e.write(t, "lower/a", "old", 0o644)
			expect(t, e.run(t, "cat /v/a; echo new > /v/a; cat /v/a", "-v", e.path("lower")+":/v:O"), 0, "oldnew")
			if got, err := os.ReadFile(e.path("lower/a")); err != nil || string(got) != "old" {
				t.Errorf("the host has %q, %v", got, err)
			}
		}},
		{"terminal session", rare, testSession},
		{"image mount", rare, in("test -e /i/bin/busybox && echo there", "there", "--mount", "type=image,source="+imageName+",destination=/i")},
		{"read-only tmpfs", rare, in("touch /tmp/a /run/b /dev/shm/c && echo ok", "ok", "--read-only")},
		{"user namespace kept for a name", rare, in("id -u; cat /proc/self/uid_map | wc -l", "0\n1", "--userns", "host")},
		{"checkpoint and restore", rare, testCheckpoint},
	}
}

// testPodmanVFS has Podman's other storage and its own network.
func testPodmanVFS(t *testing.T) {
	t.Parallel()
	e := podmanEngine(t, "vfs")
	for i, a := range e.command {
		if a == "--events-backend" {
			e.command[i+1] = "file"
		}
	}
	runCases(t, e, []testCase{
		{"output and exit code", core, basics()[0].test},
		{"own user namespace", core, podmanOnly()[0].test},
		{"exec", core, testExec},
		{"events", core, func(t *testing.T, e *engine) {
			id := e.container(t, "create", nil, "sh", "-c", "exit 3")
			expect(t, e.try(t, "start", "-a", id), 3, "")
			out := e.must(t, "events", "--stream=false", "--filter", "container="+id, "--format", "{{.Status}} {{.ContainerExitCode}}")
			matches(t, "events", out, `create 0\ninit 0\n(attach 0\n)?start 0\n(attach 0\n)?died 3.*`)
		}},
	})
}

// TestPodmanDefaults has a Podman that calls the runtime without a wrapper, which
// then keeps its state where it does by default.
func TestPodmanDefaults(t *testing.T) {
	t.Parallel()
	runtime := runtimePath(t)
	e := podmanEngine(t, "overlay")
	for i, a := range e.command {
		if a == "--runtime" {
			e.command[i+1] = runtime
		}
	}
	id := e.start(t, nil, "sleep", "1000")
	expect(t, e.try(t, "exec", id, "echo", "hello"), 0, "hello")
	e.must(t, "rm", "-f", "-t", "0", id)
	e.clean(t, id)
}

// testPodmanNetwork has containers on Podman's default network, in a network
// namespace of the test's own.
func testPodmanNetwork(t *testing.T) {
	t.Parallel()
	e := podmanEngine(t, "overlay")
	// The namespace lives as long as this process.
	holder := exec.Command("unshare", "-n", "sh", "-c", "echo ready; exec sleep 1000", e.dir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill() // it ends in no other way
		_ = holder.Wait()         // killed, as it should be
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	e.command = append([]string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", holder.Process.Pid)}, e.command...)
	expect(t, e.run(t, `ip -4 addr show eth0 | grep -c 'inet 10'`, "--network", "podman"), 0, "1")
	id := e.start(t, []string{"--network", "podman"}, "sh", "-c", "echo hello | nc -l -p 7000")
	address := e.inspect(t, id, `(index .NetworkSettings.Networks "podman").IPAddress`)
	expect(t, e.run(t, "until nc "+address+" 7000 < /dev/null; do sleep 0.1; done", "--network", "podman"), 0, "hello")
}

// testPod: containers that share an infra container's namespaces.
func testPod(t *testing.T, e *engine) {
	pod := e.newName(t)
	created := e.try(t, "pod", "create", "--name", pod, "--infra-image", imageName, "--infra-command", "/bin/sleep 1000",
		"--network", "none", "--cgroup-parent", e.parent+podParent, "--hostname", "inpod")
	if created.code != 0 {
		counted(t, errText(created.String()))
		t.FailNow()
	}
	t.Cleanup(func() { e.removePod(t, pod) })
	inPod := func(args ...string) result {
		t.Helper()
		all := append(append([]string{}, e.command...), "run", "--pod", pod) // it says the cgroup
		return e.plain(t, append(all, args...)...)
	}
	a := inPod("-d", imageName, "sleep", "1000")
	if a.code != 0 {
		t.Fatal(a)
	}
	script := "hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts"
	want := e.must(t, "exec", a.out, "sh", "-c", script)
	expect(t, inPod("--rm", imageName, "sh", "-c", script), 0, regexp.QuoteMeta(want))
	matches(t, "in the pod", want, `inpod\nnet.*`)
	e.must(t, "pod", "stop", "-t", "0", pod)
	e.must(t, "pod", "start", pod)
	expect(t, e.try(t, "exec", a.out, "hostname"), 0, "inpod")
	e.must(t, "pod", "pause", pod)
	e.must(t, "pod", "unpause", pod)
}

// removePod removes a pod at the end of a test.
func (e *engine) removePod(t *testing.T, pod string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), berthtest.Limit)
	defer cancel()
	r := finish(ctx, t, e.cmd(ctx, "pod", "rm", "-f", "-t", "0", pod))
	// Podman stumbles over a directory of a hierarchy that is no longer mounted.
	if r.code != 0 && !strings.Contains(r.err, "/sys/fs/cgroup/hugetlb/") {
		t.Error(r)
	}
}

// testHooks: hooks of all kinds at their moments, in order.
func testHooks(t *testing.T, e *engine) {
	log := e.path("hooks.log")
	script := e.write(t, "hook", "#!/bin/sh\nread -r state\necho \"$1 $(readlink /proc/self/ns/mnt) $state\" >> "+log+"\n", 0o755)
	dir := e.path("somehooks")
	stages := []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}
	for _, stage := range stages {
		path, args := script, []string{"hook", stage}
		if stage == "startContainer" {
			// It runs in the container's root.
			path, args = "/bin/sh", []string{"sh", "-c", "read -r state; echo \"startContainer $(readlink /proc/self/ns/mnt) $state\" >> /vol/hooks.log"}
		}
		data, err := json.Marshal(map[string]any{
			"version": "1.0.0", "hook": map[string]any{"path": path, "args": args, "env": []string{"PATH=/bin:/usr/bin"}},
			"when": map[string]any{"always": true}, "stages": []string{stage},
		})
		if err != nil {
			t.Fatal(err)
		}
		e.write(t, "somehooks/"+stage+".json", string(data), 0o644)
	}
	args := append(append([]string{}, e.command...), "--hooks-dir", dir, "run", "--rm", "--cgroup-parent", e.parent,
		"-v", e.dir+":/vol", imageName, "readlink", "/proc/self/ns/mnt")
	r := e.plain(t, args...)
	expect(t, r, 0, `mnt:\S+`)
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatalf("%v; %v", err, r)
	}
	host, inside := namespaceOf(t, "mnt"), r.out
	var got []string
	for _, l := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		f := strings.SplitN(l, " ", 3)
		var state struct {
			ID, Status, Bundle string
			Pid                int
		}
		if err := json.Unmarshal([]byte(f[2]), &state); err != nil || len(state.ID) != 64 || state.Bundle == "" {
			t.Errorf("%s: state %q: %v", f[0], f[2], err)
		}
		where := host
		if f[0] == "startContainer" || f[0] == "createContainer" {
			where = inside
		}
		if f[1] != where {
			t.Errorf("%s ran in %s, want %s", f[0], f[1], where)
		}
		status := map[string]string{"prestart": "creat", "createRuntime": "creat", "createContainer": "creat", "startContainer": "created", "poststart": "running", "poststop": "stopped"}[f[0]]
		if f[0] == "poststart" && peer() {
			status = "" // runc does not wait for startContainer
		}
		if !strings.HasPrefix(state.Status, status) || f[0] != "poststop" && state.Pid == 0 {
			t.Errorf("%s: status %q, pid %d", f[0], state.Status, state.Pid)
		}
		got = append(got, f[0])
	}
	if peer() {
		slices.Sort(got)
		slices.Sort(stages)
	}
	if fmt.Sprint(got) != fmt.Sprint(stages) {
		t.Errorf("hooks ran in the order %v, want %v", got, stages)
	}
}

// testPreserved: --preserve-fds in run and exec.
func testPreserved(t *testing.T, e *engine) {
	file, err := os.Create(e.path("preserved"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	with := func(args ...string) result {
		t.Helper()
		cmd := e.cmd(t.Context(), args...)
		cmd.ExtraFiles = []*os.File{file, file}
		return finish(t.Context(), t, cmd)
	}
	script := "echo $0 >&4; ls /proc/self/fd | tr '\\n' ' '"
	expect(t, with("run", "--rm", "--preserve-fds", "2", imageName, "sh", "-c", script, "run"), 0, "0 1 2 3 4 5")
	expect(t, with("run", "--rm", "--preserve-fds", "1", imageName, "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"), 0, "0 1 2 3 4")
	id := e.start(t, nil, "sleep", "1000")
	expect(t, with("exec", "--preserve-fds", "2", id, "sh", "-c", script, "exec"), 0, "0 1 2 3 4 5")
	if got, err := os.ReadFile(file.Name()); err != nil || string(got) != "run\nexec\n" {
		t.Errorf("the file has %q, %v", got, err)
	}
}

func testCheckpoint(t *testing.T, e *engine) {
	id := e.start(t, nil, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
	r := e.try(t, "container", "checkpoint", id)
	if r.code != 0 {
		t.Skipf("no checkpoint here: %v", r)
	}
	before := e.must(t, "logs", "--tail", "1", id)
	e.must(t, "container", "restore", id)
	if err := pollCommand(func() error {
		if after := e.must(t, "logs", "--tail", "1", id); after == before {
			return errText("it does not go on after " + before)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
