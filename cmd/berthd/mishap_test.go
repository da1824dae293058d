package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

// What a full disk does to a record must not keep a container from being
// stopped and removed.
func TestUnwritableRecordDoesNotKeepAContainer(t *testing.T) {
	d := newDaemon(t)
	r := sh("sleep 1000")
	r.HostConfig.AutoRemove = true
	id := d.create(r)
	d.startContainer(id)
	block := filepath.Join(d.root, "containers", id, ".container.json.volatile")
	if err := os.MkdirAll(filepath.Join(block, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.must(204, "POST", "/containers/"+id+"/stop?t=0", nil, nil)
	d.eventually("it is removed", func() bool { return len(d.list()) == 0 })
	if left := append(d.leftovers(), traces(id)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A crash may have left half of anything in a run directory; the next daemon
// ends what it cannot take over and serves.
func TestCrashWithBrokenRunDirectory(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("sleep 1000"))
	d.startContainer(id)
	d.stop(syscall.SIGKILL)
	dir := filepath.Join(d.run, "containers", id)
	dirOfExec := filepath.Join(dir, "exec-0123456789abcdef")
	err := errors.Join(os.Mkdir(dirOfExec, 0o700), os.WriteFile(filepath.Join(dirOfExec, "spec.json"), []byte(`{"pro`), 0o600),
		os.WriteFile(filepath.Join(dir, "spec.json"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	d.start()
	if s := d.inspect(id).State; s.Status != container.StateExited || s.ExitCode != 255 {
		t.Errorf("state %+v", s)
	}
	d.eventually("nothing runs", func() bool { return len(traces(id)) == 0 })
}

// The daemon may be started from a shell with a umask.
func TestUmaskOfTheStarter(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	d := newDaemon(t)
	id := d.create(sh("cat /etc/resolv.conf /etc/hosts"))
	fi, err := os.Stat(filepath.Join(d.root, "containers", id, "resolv.conf"))
	if err != nil || fi.Mode().Perm() != 0o644 {
		t.Errorf("resolv.conf has mode %v, %v", fi.Mode(), err)
	}
}

func TestAttachedClientLearnsOfTheRemoval(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("true"))
	conn, stream := d.hijack("/containers/"+id+"/attach?stream=1&stdout=1", nil)
	defer conn.Close()
	d.must(204, "DELETE", "/containers/"+id, nil, nil)
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(stream); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// A stop is finished also when its client goes away.
func TestStopOutlivesItsClient(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("sleep 1000"))
	d.startContainer(id)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://berth/containers/"+id+"/stop?t=2&signal=CONT", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := d.http.Do(req); err == nil {
		t.Fatalf("the container has stopped at once: %s", resp.Status)
	}
	d.eventually("it has ended", func() bool { return d.inspect(id).State.Status == container.StateExited })
	if code := d.inspect(id).State.ExitCode; code != 137 {
		t.Errorf("exit code %d", code)
	}
}

// A command may start a daemon while the last one ends.
func TestOnDemandWaitsForTheLastDaemonsEnd(t *testing.T) {
	d := newDaemon(t)
	var log bytes.Buffer
	next := exec.Command("/proc/self/exe", "--root", d.root, "--run", d.run, "--on-demand")
	next.Env, next.Stderr = append(os.Environ(), asDaemon+"=1"), &log
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-time.After(300 * time.Millisecond): // it waits
	case <-t.Context().Done():
	}
	d.stop(syscall.SIGTERM)
	d.cmd = next
	d.eventually("the next berthd answers", func() bool {
		r, err := d.http.Get("http://berth/_ping")
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil
	})
}
