package image

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/containerd/errdefs"
)

// TestKilledPull is not a test of its own: TestKillNineDuringPull runs this
// binary again to have a process to kill.
func TestKilledPull(t *testing.T) {
	root, ref := os.Getenv("BERTH_TEST_KILLED_ROOT"), os.Getenv("BERTH_TEST_KILLED_REF")
	if root == "" {
		return // this run is no child
	}
	s := newRealStore(t, root)
	_, err := s.Pull(t.Context(), mustRef(t, ref), PullOptions{})
	t.Fatalf("was not killed: %v", err)
}

// A pull that is killed with -9 in the middle of a layer leaves no name, no
// half blob under its name and no half layer; the next one goes on.
func TestKillNineDuringPull(t *testing.T) {
	testutil.RequireRoot(t)
	srv := newServer(t)
	img := makeImage(t, "one", strings.Repeat("two ", 1000))
	srv.push("a", "1", img)
	last := img.layers[1]
	stuck := make(chan struct{})
	srv.hook = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, last.desc.Digest.String()) {
			return false
		}
		w.Header().Set("Content-Length", "1000000") // more than will come
		_, _ = w.Write(last.data[:len(last.data)/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case stuck <- struct{}{}:
		case <-r.Context().Done():
		}
		<-r.Context().Done()
		return true
	}
	root, ref := t.TempDir(), srv.host+"/a:1"
	child := exec.Command(os.Args[0], "-test.run", "^TestKilledPull$")
	child.Env = append(os.Environ(), "BERTH_TEST_KILLED_ROOT="+root, "BERTH_TEST_KILLED_REF="+ref)
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }() // received below in every case
	part := filepath.Join(root, "content", "ingest", "sha256-"+last.desc.Digest.Encoded())
	select {
	case <-stuck:
		waitFor(t, func() bool { info, err := os.Stat(part); return err == nil && info.Size() > 0 })
		if err := child.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-ended
	case err := <-ended:
		t.Fatalf("the child ended: %v: %s", err, out.String())
	}
	srv.hook = nil
	s := newRealStore(t, root)
	if s.content.Has(last.desc) || len(s.content.Roots()) != 0 {
		t.Error("the killed pull left a name")
	}
	left, err := filepath.Glob(filepath.Join(root, "layers", ".tmp-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("half layers: %v, %v", left, err)
	}
	got, err := s.Pull(t.Context(), mustRef(t, ref), PullOptions{})
	if err != nil || len(got.Chain) != 2 {
		t.Fatalf("pull again: %+v, %v", got, err)
	}
	if err := s.content.Verify(t.Context(), last.desc); err != nil {
		t.Error(err)
	}
	checkClean(t, s)
}

// A disk that fills up while a layer is unpacked: no half layer, no name, one
// line that says what to do.
func TestDiskFull(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	if err := syscall.Mount("berth-test", root, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	srv := newServer(t)
	srv.push("a", "swells", makeImage(t, "one", strings.Repeat("x", 8<<20))) // small as gzip
	big := makeImage(t, "one")
	big.layers[0] = newBlob(big.layers[0].desc.MediaType, make([]byte, 8<<20))
	big.manifest = jsonBlob(t, ociManifest, map[string]any{"schemaVersion": 2, "config": big.config.desc, "layers": []any{big.layers[0].desc}})
	srv.push("a", "big", big)
	s := newRealStore(t, root)
	for _, tag := range []string{"swells", "big"} {
		_, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:"+tag), PullOptions{})
		if !errdefs.IsResourceExhausted(err) || !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %q, want one line, ErrResourceExhausted and ENOSPC", tag, err)
		}
		if len(s.content.Roots()) != 0 {
			t.Errorf("%s: the image is named", tag)
		}
		blobs, err := os.ReadDir(filepath.Join(root, "content", "blobs", "sha256"))
		if err != nil || len(blobs) != 0 {
			t.Errorf("%s: blobs still fill the disk: %v, %v", tag, blobs, err)
		}
	}
	chains, err := s.layers.List()
	if err != nil || len(chains) != 1 { // the first layer of the first image fits
		t.Errorf("layers %v, %v; want one", chains, err)
	}
	if _, err := s.Sweep(t.Context(), nil); err != nil {
		t.Error(err)
	}
	srv.push("a", "fits", makeImage(t, "one"))
	if _, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:fits"), PullOptions{}); err != nil {
		t.Errorf("after a sweep: %v", err)
	}
}

// waitFor polls until f is true, at most 30 s.
func waitFor(t testing.TB, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatal("waited 30 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
