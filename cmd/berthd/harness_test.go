package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/image/toolbox"
	"berth/internal/testutil"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
)

// The test binary is the daemon when this is set.
const asDaemon = "BERTHD_TEST_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// daemon is a berthd of a test, with its own directories. It can be killed and
// started again.
type daemon struct {
	t         *testing.T
	root, run string
	args      []string
	cmd       *exec.Cmd
	log       logBuffer
	http      *http.Client
}

// logBuffer takes what the daemon writes while the test reads it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // +checklocks:mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	testutil.RequireRoot(t)
	archive, err := toolbox.Open()
	if err != nil {
		t.Fatal(err)
	}
	_ = archive.Close()
	dir, err := os.MkdirTemp("", "berthd") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, root: filepath.Join(dir, "root"), run: filepath.Join(dir, "run"), args: args}
	d.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(d.run, "berth.sock"))
		},
	}}
	d.start()
	t.Cleanup(func() {
		if d.cmd == nil {
			d.start()
		}
		for _, c := range d.list() {
			d.do("DELETE", "/containers/"+c.ID+"?force=1", nil, nil)
		}
		d.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("log of berthd:\n%s", d.log.String())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command("/proc/self/exe", append([]string{"--root", d.root, "--run", d.run}, d.args...)...)
	d.cmd.Env = append(os.Environ(), asDaemon+"=1")
	d.cmd.Stderr = &d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("berthd answers", func() bool {
		r, err := d.http.Get("http://berth/_ping")
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil
	})
}

// stop ends the daemon with a signal and waits for its end.
func (d *daemon) stop(sig syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait() // killed or not
	d.cmd = nil
}

func (d *daemon) eventually(what string, ok func() bool) {
	d.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			d.t.Fatalf("not within 30 s: %s\n%s", what, d.log.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// do sends a request and decodes its answer into out. It returns the status.
func (d *daemon) do(method, path string, in, out any) int {
	d.t.Helper()
	status, body := d.raw(method, path, in)
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			d.t.Fatalf("%s %s: %d %s: %v", method, path, status, body, err)
		}
	}
	return status
}

func (d *daemon) raw(method, path string, in any) (int, []byte) {
	d.t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		d.t.Fatal(err)
	}
	if in == nil {
		data = nil
	}
	r, err := http.NewRequest(method, "http://berth"+path, bytes.NewReader(data))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := d.http.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, body
}

// must is do with the wanted status.
func (d *daemon) must(status int, method, path string, in, out any) {
	d.t.Helper()
	got, body := d.raw(method, path, in)
	if got != status {
		d.t.Fatalf("%s %s: %d %s, want %d", method, path, got, body, status)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			d.t.Fatal(err)
		}
	}
}

type request struct {
	container.Config
	HostConfig container.HostConfig
}

// sh asks for a shell of the toolbox with a script, without a network.
func sh(script string) request {
	r := request{Config: container.Config{Image: "toolbox", Cmd: []string{"sh", "-c", script}}}
	r.HostConfig.NetworkMode = "none"
	return r
}

func (d *daemon) create(r request) string {
	d.t.Helper()
	var created container.CreateResponse
	d.must(201, "POST", "/containers/create", r, &created)
	return created.ID
}

func (d *daemon) list() []container.Summary {
	d.t.Helper()
	var list []container.Summary
	d.must(200, "GET", "/containers/json?all=1", nil, &list)
	return list
}

func (d *daemon) inspect(id string) container.InspectResponse {
	d.t.Helper()
	var info container.InspectResponse
	d.must(200, "GET", "/containers/"+id+"/json", nil, &info)
	return info
}

func (d *daemon) startContainer(id string) {
	d.t.Helper()
	d.must(204, "POST", "/containers/"+id+"/start", nil, nil)
}

func (d *daemon) wait(id string) int64 {
	d.t.Helper()
	var w container.WaitResponse
	d.must(200, "POST", "/containers/"+id+"/wait", nil, &w)
	return w.StatusCode
}

func (d *daemon) logs(id string) (stdout, stderr string) {
	d.t.Helper()
	_, body := d.raw("GET", "/containers/"+id+"/logs?stdout=1&stderr=1", nil)
	return demux(d.t, bytes.NewReader(body))
}

func demux(t *testing.T, r io.Reader) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	if _, err := stdcopy.StdCopy(&out, &errs, r); err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String()
}

// hijack opens a stream.
func (d *daemon) hijack(path string, in any) (*net.UnixConn, *bufio.Reader) {
	d.t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(d.run, "berth.sock"), Net: "unix"})
	if err != nil {
		d.t.Fatal(err)
	}
	body := ""
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			d.t.Fatal(err)
		}
		body = string(data)
	}
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: berth\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	if err != nil {
		d.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode != 101 {
		text, _ := io.ReadAll(resp.Body)
		d.t.Fatalf("POST %s: %s %s", path, resp.Status, text)
	}
	return conn, r
}

// leftovers are what a daemon's directories and the kernel hold of containers.
func (d *daemon) leftovers() []string {
	d.t.Helper()
	var left []string
	for _, pattern := range []string{
		filepath.Join(d.root, "containers", "*"), filepath.Join(d.run, "containers", "*"), filepath.Join(d.root, "volumes", "*"),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			d.t.Fatal(err)
		}
		left = append(left, found...)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, d.root) || strings.Contains(line, d.run) {
			left = append(left, line)
		}
	}
	return left
}

// traces are what a container leaves in the kernel while it exists.
func traces(id string) []string {
	var found []string
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/berth/" + id)
	nested, _ := filepath.Glob("/sys/fs/cgroup/*/berth/" + id)
	found = append(cgroups, nested...)
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		if data, err := os.ReadFile(p); err == nil && bytes.Contains(data, []byte(id)) && bytes.Contains(data, []byte("keeper")) {
			found = append(found, p)
		}
	}
	return found
}

// killTrace kills the process behind a /proc/PID/cmdline of traces.
func killTrace(t *testing.T, path string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.Split(path, "/")[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}
