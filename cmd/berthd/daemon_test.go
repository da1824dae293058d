package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
)

func TestRunAttachedLosesNothing(t *testing.T) {
	d := newDaemon(t)
	r := sh("read x; echo out $x; echo err $x >&2; exit 7")
	r.OpenStdin, r.StdinOnce, r.HostConfig.AutoRemove = true, true, true
	id := d.create(r)
	conn, stream := d.hijack("/containers/"+id+"/attach?stream=1&stdin=1&stdout=1&stderr=1", nil)
	defer conn.Close()
	d.startContainer(id)
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := demux(t, stream)
	if stdout != "out hello\n" || stderr != "err hello\n" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	d.eventually("the container is removed", func() bool { return len(d.list()) == 0 })
	if left := append(d.leftovers(), traces(id)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A command that is killed between create and start leaves nothing.
func TestClientGoneBeforeStart(t *testing.T) {
	d := newDaemon(t)
	r := sh("true")
	kept := d.create(r)
	r.HostConfig.AutoRemove = true
	gone := d.create(r)
	for _, id := range []string{kept, gone} {
		conn, _ := d.hijack("/containers/"+id+"/attach?stream=1&stdout=1", nil)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d.eventually("only the container without --rm is left", func() bool {
		list := d.list()
		return len(list) == 1 && list[0].ID == kept
	})
}

func TestWaitRegisteredBeforeStart(t *testing.T) {
	d := newDaemon(t)
	r := sh("exit 3")
	r.HostConfig.AutoRemove = true
	id := d.create(r)
	code := make(chan string, 1)
	resp, err := d.http.Post("http://berth/containers/"+id+"/wait?condition=removed", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	go func() {
		body, _ := io.ReadAll(resp.Body)
		code <- string(body)
	}()
	d.startContainer(id)
	select {
	case got := <-code:
		if !strings.Contains(got, `"StatusCode":3`) {
			t.Errorf("wait answers %s", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("wait does not end")
	}
}

// Every failed start leaves the system as it was and names its cause.
func TestFailedStarts(t *testing.T) {
	d := newDaemon(t)
	tests := []struct {
		name   string
		change func(*request)
		code   string
		words  string
	}{
		{"no such command", func(r *request) { r.Cmd = []string{"nope"} }, `"exitCode":127`, "executable file not found"},
		{"no such file", func(r *request) { r.Cmd = []string{"/nope"} }, `"exitCode":127`, "no such file or directory"},
		{"a directory", func(r *request) { r.Cmd = []string{"/etc"} }, `"exitCode":126`, "is a directory"},
		{"not executable", func(r *request) { r.Cmd = []string{"/etc/passwd"} }, `"exitCode":126`, "permission denied"},
		{"working directory is a file", func(r *request) { r.WorkingDir = "/etc/passwd" }, "", "is not a directory"},
		{"unknown user", func(r *request) { r.User = "nobodyknows" }, "", "unknown user"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sh("true")
			r.HostConfig.AutoRemove = true
			tt.change(&r)
			id := d.create(r)
			status, body := d.raw("POST", "/containers/"+id+"/start", nil)
			if status < 400 || status >= 500 || !strings.Contains(string(body), tt.words) || !strings.Contains(string(body), tt.code) {
				t.Errorf("start: %d %s", status, body)
			}
			if left := append(d.leftovers(), traces(id)...); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
	t.Run("another's namespace", func(t *testing.T) {
		for _, change := range []func(*request){
			func(r *request) { r.HostConfig.NetworkMode = "container:other" },
			func(r *request) { r.HostConfig.PidMode = "container:other" },
			func(r *request) { r.HostConfig.IpcMode = "container:other" },
		} {
			r := sh("true")
			change(&r)
			status, body := d.raw("POST", "/containers/create", r)
			if status != 400 || !strings.Contains(string(body), "No such container: other") {
				t.Errorf("create: %d %s", status, body)
			}
		}
	})
	t.Run("kept without --rm", func(t *testing.T) {
		r := sh("true")
		r.Cmd = []string{"nope"}
		id := d.create(r)
		d.do("POST", "/containers/"+id+"/start", nil, nil)
		if s := d.inspect(id).State; s.Status != "created" || s.ExitCode != 127 || s.Error == "" {
			t.Errorf("state %+v", s)
		}
	})
	t.Run("bad requests change nothing", func(t *testing.T) {
		before := len(d.leftovers())
		for name, change := range map[string]func(*request){
			"memory":  func(r *request) { r.HostConfig.Memory = 1 },
			"network": func(r *request) { r.HostConfig.NetworkMode = "nope" },
			"image":   func(r *request) { r.Image = "nope" },
			"signal":  func(r *request) { r.StopSignal = "NOPE" },
			"log":     func(r *request) { r.HostConfig.LogConfig.Type = "syslog" },
			"restart": func(r *request) { r.HostConfig.RestartPolicy.Name = "sometimes" },
			"workdir": func(r *request) { r.WorkingDir = "relative" },
		} {
			r := sh("true")
			change(&r)
			if status, body := d.raw("POST", "/containers/create", r); status < 400 || status >= 500 {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
		if after := len(d.leftovers()); after != before {
			t.Errorf("%d leftovers before, %d after", before, after)
		}
	})
}

func TestVerbs(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("trap 'exit 5' TERM; while true; do sleep 0.05; done"))
	at := "/containers/" + id
	d.startContainer(id)
	d.must(304, "POST", at+"/start", nil, nil)
	d.must(409, "DELETE", at, nil, nil)
	d.must(204, "POST", at+"/pause", nil, nil)
	d.must(409, "POST", at+"/pause", nil, nil)
	if s := d.inspect(id).State; s.Status != "paused" || !s.Running {
		t.Errorf("paused: %+v", s)
	}
	d.must(204, "POST", at+"/unpause", nil, nil)
	d.must(204, "POST", at+"/rename?name=other", nil, nil)
	var top container.TopResponse
	d.must(200, "GET", "/containers/other/top", nil, &top)
	if len(top.Processes) == 0 || !strings.Contains(fmt.Sprint(top.Processes), "trap") {
		t.Errorf("top: %v", top.Processes)
	}
	var stats container.StatsResponse
	d.must(200, "GET", at+"/stats?stream=0&one-shot=1", nil, &stats)
	if stats.PidsStats.Current == 0 || stats.MemoryStats.Usage == 0 {
		t.Errorf("stats: %+v", stats.PidsStats)
	}
	d.must(204, "POST", at+"/restart?t=0", nil, nil)
	if s := d.inspect(id).State; s.Status != "running" {
		t.Errorf("after restart: %+v", s)
	}
	d.must(204, "POST", at+"/kill", nil, nil)
	if s := d.inspect(id).State; s.Status != "exited" || s.ExitCode != 137 {
		t.Errorf("after kill: %+v", s)
	}
	d.must(304, "POST", at+"/stop", nil, nil)
	d.must(409, "POST", at+"/kill", nil, nil)
	d.must(204, "DELETE", at, nil, nil)
	d.must(404, "GET", at+"/json", nil, nil)
}

func TestExec(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("sleep 1000"))
	d.startContainer(id)
	for _, tt := range []struct {
		req    container.ExecCreateRequest
		stdout string
		stderr string
		code   int
	}{
		{container.ExecCreateRequest{Cmd: []string{"sh", "-c", "echo $A; exit 4"}, Env: []string{"A=b"}}, "b\n", "", 4},
		{container.ExecCreateRequest{Cmd: []string{"pwd"}, WorkingDir: "/etc"}, "/etc\n", "", 0},
		{container.ExecCreateRequest{Cmd: []string{"nope"}}, "", "executable file not found", 127},
		{container.ExecCreateRequest{Cmd: []string{"/etc"}}, "", "is a directory", 126},
		{container.ExecCreateRequest{Cmd: []string{"true"}, User: "nobodyknows"}, "", "unknown user", 126},
	} {
		tt.req.AttachStdout, tt.req.AttachStderr = true, true
		var created container.ExecCreateResponse
		d.must(201, "POST", "/containers/"+id+"/exec", tt.req, &created)
		conn, stream := d.hijack("/exec/"+created.ID+"/start", container.ExecStartRequest{})
		stdout, stderr := demux(t, stream)
		_ = conn.Close()
		var info container.ExecInspectResponse
		d.must(200, "GET", "/exec/"+created.ID+"/json", nil, &info)
		if stdout != tt.stdout || !strings.Contains(stderr, tt.stderr) || info.ExitCode == nil || *info.ExitCode != tt.code {
			t.Errorf("%v: stdout %q, stderr %q, code %v", tt.req.Cmd, stdout, stderr, info.ExitCode)
		}
		d.must(409, "POST", "/exec/"+created.ID+"/start", container.ExecStartRequest{Detach: true}, nil)
	}
	if !strings.Contains(d.log.String(), "msg=exec container="+id) {
		t.Error("no audit line in berthd's log")
	}
	d.must(204, "DELETE", "/containers/"+id+"?force=1", nil, nil)
	if left := append(d.leftovers(), traces(id)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestOutOfMemoryIsSaid(t *testing.T) {
	d := newDaemon(t)
	r := sh("x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done")
	r.HostConfig.Memory, r.HostConfig.MemorySwap = 32<<20, 32<<20
	id := d.create(r)
	d.startContainer(id)
	if code := d.wait(id); code != 137 {
		t.Errorf("exit code %d", code)
	}
	if s := d.inspect(id).State; !s.OOMKilled {
		t.Errorf("state %+v", s)
	}
}

func TestRestartPolicy(t *testing.T) {
	d := newDaemon(t)
	r := sh("exit 9")
	r.HostConfig.RestartPolicy = container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}
	id := d.create(r)
	d.startContainer(id)
	d.eventually("the retries are used up", func() bool {
		info := d.inspect(id)
		return info.RestartCount == 2 && info.State.Status == "exited" && info.State.ExitCode == 9
	})
	r = sh("sleep 1000")
	r.HostConfig.RestartPolicy.Name = "always"
	id = d.create(r)
	d.startContainer(id)
	pid := d.inspect(id).State.Pid
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.eventually("it runs again", func() bool {
		s := d.inspect(id).State
		return s.Status == "running" && s.Pid != pid && s.Pid != 0
	})
	d.must(204, "POST", "/containers/"+id+"/stop?t=0", nil, nil)
	if s := d.inspect(id).State; s.Status != "exited" {
		t.Errorf("a stopped container is %s", s.Status)
	}
}

// Clients come and go while a container is silent: nothing of them stays.
func TestSecurity34AttachAndExecAreFlat(t *testing.T) {
	d := newDaemon(t)
	r := sh("sleep 1000")
	r.OpenStdin = true
	id := d.create(r)
	d.startContainer(id)
	cycle := func() {
		conn, _ := d.hijack("/containers/"+id+"/attach?stream=1&stdin=1&stdout=1&stderr=1", nil)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		half, _ := d.hijack("/containers/"+id+"/attach?stream=1&stdout=1", nil)
		if err := half.CloseWrite(); err != nil { // as docker's client does without input
			t.Fatal(err)
		}
		if err := half.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info := func() (i system.Info) {
		d.must(200, "GET", "/info", nil, &i)
		return i
	}
	cycle()
	before := info()
	for range 300 {
		cycle()
	}
	d.eventually("goroutines and files are as before", func() bool {
		now := info()
		return now.NGoroutines <= before.NGoroutines+3 && now.NFd <= before.NFd+3
	})
}

func TestSecurity24PrivateDirectories(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("sleep 1000"))
	d.startContainer(id)
	for _, p := range []string{
		d.root, d.run, filepath.Join(d.root, "containers"), filepath.Join(d.root, "containers", id),
		filepath.Join(d.root, "content"), filepath.Join(d.root, "layers"), filepath.Join(d.root, "volumes"),
		filepath.Join(d.run, "containers"), filepath.Join(d.run, "containers", id),
	} {
		if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want 0700", p, fi.Mode(), err)
		}
	}
	if fi, err := os.Stat(filepath.Join(d.run, "berth.sock")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want 0600", fi.Mode(), err)
	}
	unix, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(unix), "@berth") {
		t.Error("berth listens on an abstract socket (Security25)")
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	d := newDaemon(t)
	cmd := exec.Command("/proc/self/exe", "--root", d.root, "--run", t.TempDir())
	cmd.Env = append(os.Environ(), asDaemon+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another berthd works on "+d.root) {
		t.Errorf("second daemon: %v, %s", err, out)
	}
}

func TestOnDemandEndsWhenIdle(t *testing.T) {
	d := newDaemon(t, "--on-demand", "--idle-timeout", "300ms")
	id := d.create(sh("sleep 2"))
	d.startContainer(id)
	ended := make(chan error, 1)
	cmd := d.cmd
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		t.Fatal("berthd ended while a container ran")
	case <-time.After(time.Second):
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("idle end: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("berthd does not end")
	}
	d.cmd, d.args = nil, nil
}

func TestSocketActivation(t *testing.T) {
	d := newDaemon(t)
	d.stop(syscall.SIGTERM)
	path := filepath.Join(d.run, "given.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// LISTEN_PID must be the daemon's own, so a shell sets it and becomes it.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, "/proc/"+strconv.Itoa(os.Getpid())+"/exe", "--root", d.root, "--run", d.run)
	cmd.Env = append(os.Environ(), asDaemon+"=1")
	cmd.ExtraFiles = []*os.File{f}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET /_ping HTTP/1.0\r\n\r\n")
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), "OK") {
		t.Errorf("answer %q, %v\n%s", answer, err, log.String())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("systemd's socket was removed: %v", err)
	}
}

// What an ordinary user lacks is said in one line (test/rootless has the rest).
func TestNotRoot(t *testing.T) {
	testutil.RequireRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asDaemon + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "HOME is not set") {
		t.Errorf("%v, %q", err, out)
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args  string
		code  int
		words string
	}{
		{"--help", 0, "Usage: berthd"},
		{"--version", 0, "berthd unknown"},
		{"--nope", 2, "unknown flag"},
		{"word", 2, "unexpected argument"},
	} {
		var out bytes.Buffer
		if code := run(strings.Fields(tt.args), &out, &out); code != tt.code || !strings.Contains(out.String(), tt.words) {
			t.Errorf("%s: code %d, %q", tt.args, code, out.String())
		}
	}
}

func TestVolumes(t *testing.T) {
	d := newDaemon(t)
	r := sh("echo data >> /etc/added; ls /etc/passwd && cat /etc/added")
	r.HostConfig.Binds = []string{"etc:/etc"}
	for i, want := range []string{"/etc/passwd\ndata\n", "/etc/passwd\ndata\ndata\n"} {
		id := d.create(r)
		d.startContainer(id)
		if code := d.wait(id); code != 0 {
			t.Errorf("run %d: exit code %d", i, code)
		}
		if out, _ := d.logs(id); out != want {
			t.Errorf("run %d prints %q, want %q", i, out, want)
		}
		d.must(204, "DELETE", "/containers/"+id+"?v=1", nil, nil) // keeps named volumes
	}
	anonymous := sh("ls /data")
	anonymous.Volumes = map[string]struct{}{"/data": {}}
	id := d.create(anonymous)
	d.startContainer(id)
	d.wait(id)
	if got := len(d.leftovers()); got != 3 { // container, both volumes
		t.Errorf("%d things on disk: %q", got, d.leftovers())
	}
	d.must(204, "DELETE", "/containers/"+id+"?v=1", nil, nil)
	if got := d.leftovers(); len(got) != 1 || filepath.Base(got[0]) != "etc" {
		t.Errorf("left: %q", got)
	}
}
