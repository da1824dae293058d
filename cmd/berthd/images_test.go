package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"berth/image/toolbox"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
)

func (d *daemon) load(t *testing.T, archive io.Reader) (int, string) {
	t.Helper()
	resp, err := d.http.Post("http://berth/images/load", "application/x-tar", archive)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestImages(t *testing.T) {
	d := newDaemon(t)
	archive, err := toolbox.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if status, body := d.load(t, archive); status != 200 || !strings.Contains(body, "Loaded image: toolbox:latest") {
		t.Fatalf("load: %d %s", status, body)
	}
	d.must(201, "POST", "/images/toolbox/tag?repo=localhost:5000/a/b&tag=1", nil, nil)
	d.must(400, "POST", "/images/toolbox/tag?repo=UPPER", nil, nil)
	d.must(404, "POST", "/images/nope/tag?repo=a", nil, nil)
	var list []image.Summary
	d.must(200, "GET", "/images/json", nil, &list)
	if len(list) != 1 || len(list[0].RepoTags) != 2 || list[0].Size == 0 {
		t.Fatalf("images: %+v", list)
	}
	d.must(200, "GET", `/images/json?filters={"reference":["toolbox"]}`, nil, &list)
	if len(list) != 1 {
		t.Errorf("filtered: %+v", list)
	}
	d.must(200, "GET", `/images/json?filters={"reference":["other"]}`, nil, &list)
	if len(list) != 0 {
		t.Errorf("filtered away: %+v", list)
	}
	var info image.InspectResponse
	d.must(200, "GET", "/images/localhost:5000/a/b:1/json", nil, &info)
	if info.Os != "linux" || len(info.RootFS.Layers) == 0 || info.Config == nil {
		t.Errorf("inspect: %+v", info)
	}
	d.must(200, "GET", "/images/toolbox/history", nil, nil)

	d.must(404, "POST", "/containers/create?platform=linux/riscv64", sh("true"), nil)
	d.must(201, "POST", "/containers/create?name=other&platform=linux/"+runtime.GOARCH, sh("true"), nil)
	d.must(204, "DELETE", "/containers/other", nil, nil)

	id := d.create(sh("true"))
	d.must(200, "DELETE", "/images/localhost:5000/a/b:1", nil, nil) // a name only
	d.must(409, "DELETE", "/images/toolbox", nil, nil)
	d.must(204, "DELETE", "/containers/"+id, nil, nil)
	var deleted []image.DeleteResponse
	d.must(200, "DELETE", "/images/toolbox", nil, &deleted)
	if len(deleted) != 2 {
		t.Errorf("deleted: %+v", deleted)
	}
	d.must(404, "GET", "/images/toolbox/json", nil, nil)
	if blobs, _ := filepath.Glob(filepath.Join(d.root, "content", "blobs", "sha256", "*")); len(blobs) != 0 {
		t.Errorf("blobs left: %q", blobs)
	}
}

// An older berthd has left its embedded image: the name means this one's.
func TestEmbeddedImageIsThisBuilds(t *testing.T) {
	d := newDaemon(t)
	empty := make([]byte, 1024) // a tar without entries
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{"Cmd":["/old"]},"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, runtime.GOARCH, sha256.Sum256(empty))
	var old bytes.Buffer
	w := tar.NewWriter(&old)
	for name, data := range map[string]string{
		"config.json": config, "layer.tar": string(empty),
		"manifest.json": `[{"Config":"config.json","RepoTags":["toolbox:latest"],"Layers":["layer.tar"]}]`,
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if status, body := d.load(t, &old); status != 200 {
		t.Fatalf("load: %d %s", status, body)
	}
	r := sh("exit 3")
	r.HostConfig.AutoRemove = false
	id := d.create(r)
	d.startContainer(id)
	if code := d.wait(id); code != 3 {
		t.Errorf("exit code %d: not this build's image", code)
	}
	d.must(400, "POST", "/images/"+d.inspect(id).Image+"/tag?repo=toolbox&tag=latest", nil, nil)
}

// The layers of an image that was removed by force go with its last container.
func TestLayersOfForcedRemoval(t *testing.T) {
	d := newDaemon(t)
	layers := func() int {
		found, err := filepath.Glob(filepath.Join(d.root, "layers", strings.Repeat("[0-9a-f]", 64)))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	id := d.create(sh("true"))
	d.must(200, "DELETE", "/images/toolbox?force=1", nil, nil)
	if layers() == 0 {
		t.Fatal("the container's layers are gone")
	}
	d.must(204, "DELETE", "/containers/"+id, nil, nil)
	if n := layers(); n != 0 {
		t.Errorf("%d layers left", n)
	}
}

func TestBadArchivesChangeNothing(t *testing.T) {
	d := newDaemon(t)
	for name, data := range map[string]string{"empty": "", "no tar": strings.Repeat("x", 2000), "text": "hello\n"} {
		if status, body := d.load(t, strings.NewReader(data)); status != 400 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	var list []image.Summary
	d.must(200, "GET", "/images/json", nil, &list)
	if len(list) != 0 {
		t.Errorf("images: %+v", list)
	}
}

func TestPullErrors(t *testing.T) {
	d := newDaemon(t)
	for _, tt := range []struct {
		from   string
		status int
	}{
		{"", 400}, {"UPPER", 400}, {"localhost:1/nothing", 503},
	} {
		if got, body := d.raw("POST", "/images/create?fromImage="+tt.from, nil); got != tt.status {
			t.Errorf("pull %q: %d %s, want %d", tt.from, got, body, tt.status)
		}
	}
}

func TestEvents(t *testing.T) {
	d := newDaemon(t)
	resp, err := d.http.Get(`http://berth/events?filters={"type":["container"]}`)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := sh("exit 3")
	r.HostConfig.AutoRemove = true
	id := d.create(r)
	d.startContainer(id)
	want := []string{"create", "start", "die", "destroy"}
	lines := bufio.NewScanner(resp.Body)
	for len(want) > 0 && lines.Scan() {
		var m events.Message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		if string(m.Action) != want[0] || m.Actor.ID != id {
			t.Fatalf("event %+v, want %s", m, want[0])
		}
		if m.Action == "die" && m.Actor.Attributes["exitCode"] != "3" {
			t.Errorf("die: %+v", m)
		}
		want = want[1:]
	}
	if len(want) > 0 {
		t.Errorf("events missing: %q", want)
	}
}

func TestAttachWithLogs(t *testing.T) {
	d := newDaemon(t)
	r := sh("echo before; read x; echo after $x")
	r.OpenStdin = true
	id := d.create(r)
	d.startContainer(id)
	d.eventually("there is output", func() bool {
		out, _ := d.logs(id)
		return out == "before\n"
	})
	conn, stream := d.hijack("/containers/"+id+"/attach?logs=1&stream=1&stdin=1&stdout=1", nil)
	defer conn.Close()
	if _, err := io.WriteString(conn, "x\n"); err != nil {
		t.Fatal(err)
	}
	if out, _ := demux(t, stream); out != "before\nafter x\n" {
		t.Errorf("got %q", out)
	}
}

// After a reboot the run directory is empty and nothing runs.
func TestRebootIsRecognised(t *testing.T) {
	d := newDaemon(t)
	id := d.create(sh("sleep 1000"))
	d.startContainer(id)
	again := sh("sleep 1000")
	again.HostConfig.RestartPolicy.Name = "always"
	always := d.create(again)
	d.startContainer(always)
	pids := []int{d.inspect(id).State.Pid, d.inspect(always).State.Pid}
	d.stop(syscall.SIGKILL)
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []string{id, always} {
		d.eventually("the end is recorded", func() bool {
			_, err := os.Stat(filepath.Join(d.run, "containers", c, "exit"))
			return err == nil
		})
	}
	keepers := append(traces(id), traces(always)...)
	if err := os.RemoveAll(filepath.Join(d.run, "containers")); err != nil {
		t.Fatal(err)
	}
	for _, p := range keepers { // a reboot ends them too
		if strings.HasPrefix(p, "/proc/") {
			killTrace(t, p)
		}
	}
	d.start()
	if s := d.inspect(id).State; s.Status != "exited" || s.ExitCode != 255 {
		t.Errorf("after a reboot: %+v", s)
	}
	d.eventually("the one with a restart policy runs", func() bool { return d.inspect(always).State.Status == "running" })
	d.startContainer(id) // takes over the cgroup, which a reboot would have removed
}
