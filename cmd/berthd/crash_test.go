package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

// The daemon is killed while a container runs: the next one knows its exit code
// and all its output.
func TestCrashKeepsOutputAndExitCode(t *testing.T) {
	d := newDaemon(t)
	const lines = 60
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit 6", lines)
	tests := []struct {
		name   string
		ending func(id string) // what happens while no daemon runs
	}{
		{"adopted while it runs", func(string) {}},
		{"adopted after its end", func(id string) {
			d.eventually("the keeper has recorded the end", func() bool {
				_, err := os.Stat(filepath.Join(d.run, "containers", id, "exit"))
				return err == nil
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := d.create(sh(script))
			d.startContainer(id)
			d.eventually("there is some output", func() bool {
				out, _ := d.logs(id)
				return strings.Contains(out, "line 5\n")
			})
			d.stop(syscall.SIGKILL)
			tt.ending(id)
			d.start()
			if code := d.wait(id); code != 6 {
				t.Errorf("exit code %d, want 6", code)
			}
			out, _ := d.logs(id)
			for i := range lines {
				if want := fmt.Sprintf("line %d\n", i); strings.Count(out, want) != 1 {
					t.Errorf("%q is %d times in the log", want, strings.Count(out, want))
				}
			}
			d.must(204, "DELETE", "/containers/"+id, nil, nil)
			if left := append(d.leftovers(), traces(id)...); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestCrashRemovesContainersThatEndMeanwhile(t *testing.T) {
	d := newDaemon(t)
	r := sh("sleep 0.5")
	r.HostConfig.AutoRemove = true
	id := d.create(r)
	d.startContainer(id)
	d.stop(syscall.SIGKILL)
	d.eventually("the container ends", func() bool {
		_, err := os.Stat(filepath.Join(d.run, "containers", id, "exit"))
		return err == nil
	})
	d.start()
	d.eventually("it is removed", func() bool { return len(d.list()) == 0 })
	if left := append(d.leftovers(), traces(id)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The daemon is killed at many moments of create, start, end and removal.
// Whatever it was doing, the next one leaves nothing behind.
func TestCrashAtAnyMomentLeavesNothing(t *testing.T) {
	d := newDaemon(t)
	d.create(sh("true")) // loads the image
	for _, c := range d.list() {
		d.must(204, "DELETE", "/containers/"+c.ID, nil, nil)
	}
	for i := range 12 {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			client := *d.http
			data := `{"Image":"toolbox","Cmd":["true"],"HostConfig":{"AutoRemove":true,"NetworkMode":"none"}}`
			for n := range 3 {
				name := "c" + strconv.Itoa(i) + "-" + strconv.Itoa(n)
				resp, err := client.Post("http://berth/containers/create?name="+name, "application/json", strings.NewReader(data))
				if err != nil {
					return // the daemon is dead
				}
				_ = resp.Body.Close()
				if resp, err = client.Post("http://berth/containers/"+name+"/start", "", nil); err != nil {
					return
				}
				_ = resp.Body.Close()
			}
		}()
		time.Sleep(time.Duration(i*4) * time.Millisecond)
		d.stop(syscall.SIGKILL)
		<-ended
		d.start()
		// Those that were created and never started are a client's to start.
		d.eventually("only created containers are left", func() bool {
			for _, c := range d.list() {
				if c.State != "created" {
					return false
				}
			}
			return true
		})
		for _, c := range d.list() {
			d.must(204, "DELETE", "/containers/"+c.ID, nil, nil)
		}
		if left := d.leftovers(); len(left) > 0 {
			t.Fatalf("killed after %d ms: left behind: %q", i*4, left)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(d.root, "layers", "*")); len(found) != 2 {
		t.Errorf("layers: %q", found)
	}
}

func TestTermLeavesContainersRunning(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("sleep 1000"))
	d.startContainer(id)
	pid := d.inspect(id).State.Pid
	d.stop(syscall.SIGTERM)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the container has died with its daemon: %v", err)
	}
	d.start()
	if s := d.inspect(id).State; s.Status != "running" || s.Pid != pid {
		t.Errorf("state %+v, pid was %d", s, pid)
	}
	var created container.ExecCreateResponse
	d.must(201, "POST", "/containers/"+id+"/exec", container.ExecCreateRequest{Cmd: []string{"echo", "hi"}, AttachStdout: true}, &created)
	conn, stream := d.hijack("/exec/"+created.ID+"/start", container.ExecStartRequest{})
	defer conn.Close()
	if out, _ := demux(t, stream); out != "hi\n" {
		t.Errorf("exec in an adopted container prints %q", out)
	}
}

// An exec outlives the daemon that started it, and nothing of it outlives its
// container.
func TestCrashDuringExec(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("sleep 1000"))
	d.startContainer(id)
	exec := func(cmd ...string) string {
		var created container.ExecCreateResponse
		d.must(201, "POST", "/containers/"+id+"/exec", container.ExecCreateRequest{Cmd: cmd}, &created)
		d.must(200, "POST", "/exec/"+created.ID+"/start", container.ExecStartRequest{Detach: true}, nil)
		return created.ID[:16]
	}
	short, long := exec("sh", "-c", "sleep 0.3"), exec("sleep", "1000")
	d.stop(syscall.SIGKILL)
	d.eventually("the short exec ends", func() bool {
		dir := filepath.Join(d.run, "containers", id, "exec-"+short)
		_, recorded := os.Stat(filepath.Join(dir, "exit"))
		_, there := os.Stat(dir) // gone if it ended before the daemon, on a slow machine
		return recorded == nil || there != nil
	})
	d.start()
	d.eventually("the short exec's keeper is gone", func() bool { return len(traces(short)) == 0 })
	if len(traces(long)) == 0 {
		t.Error("the long exec has ended with the daemon")
	}
	d.must(204, "DELETE", "/containers/"+id+"?force=1", nil, nil)
	d.eventually("the long exec's keeper is gone", func() bool { return len(traces(long)) == 0 })
	if left := append(d.leftovers(), traces(id)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
