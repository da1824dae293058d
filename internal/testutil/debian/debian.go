// Package debian makes an image of a real Debian root file system, for tests.
//
// Level: L0, imported by tests only.
// Owns: the files debian-12-* under $BERTH_TEST_CACHE (/var/cache/berth-test).
// May import: the standard library, internal/testutil.
// Must not know: how berth loads or pulls it.
package debian

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
)

// Archive returns the path of a docker archive (docker save) that holds
// debian:12 for this machine: one layer, debootstrap's minbase and procps (for
// ps). The first call on a machine takes half a minute and needs a Debian
// mirror; the file is kept for the others. It needs root (RequireRoot), and
// fails the test if debootstrap is not installed.
func Archive(t testing.TB) string {
	t.Helper()
	testutil.RequireRoot(t)
	dir := os.Getenv("BERTH_TEST_CACHE")
	if dir == "" {
		dir = "/var/cache/berth-test"
	}
	path := filepath.Join(dir, "debian-12-procps-"+runtime.GOARCH+".tar")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Tests of several packages run beside each other: the first one makes it.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := build(path); err != nil {
		t.Fatalf("make a Debian image: %v", err)
	}
	return path
}

// build makes the archive and gives it its name when it is whole.
func build(path string) (err error) {
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return errors.New("debootstrap is not installed: apt-get install debootstrap (make test does)")
	}
	work, err := os.MkdirTemp(filepath.Dir(path), "debootstrap-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	root, layer := filepath.Join(work, "root"), filepath.Join(work, "layer.tar")
	out, err := exec.Command("debootstrap", "--variant=minbase", "--include=procps", "bookworm", root).CombinedOutput()
	if err != nil {
		return fmt.Errorf("debootstrap: %w: %s", err, out)
	}
	// What a container never needs, and what differs from run to run.
	out, err = exec.Command("tar", "-C", root, "--sort=name", "--numeric-owner", "--xattrs", "--exclude=./var/cache/apt/archives/*.deb",
		"--exclude=./var/lib/apt/lists/*", "--exclude=./var/log/*", "--exclude=./proc/*", "--exclude=./sys/*", "-cf", layer, ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	if err := archive(work+"/image.tar", layer); err != nil {
		return err
	}
	return os.Rename(work+"/image.tar", path)
}

// archive writes what docker save would.
func archive(path, layer string) (err error) {
	l, err := os.Open(layer)
	if err != nil {
		return err
	}
	defer l.Close()
	h := sha256.New()
	size, err := io.Copy(h, l)
	if err != nil {
		return err
	}
	diffID := fmt.Sprintf("sha256:%x", h.Sum(nil))
	type object = map[string]any
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Now().UTC(),
		"config":  object{"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "Cmd": []string{"bash"}},
		"rootfs":  object{"type": "layers", "diff_ids": []string{diffID}},
		"history": []object{{"created": time.Now().UTC(), "created_by": "debootstrap --variant=minbase --include=procps bookworm"}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]object{{"Config": "config.json", "RepoTags": []string{"debian:12"}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := l.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w := tar.NewWriter(f)
	for _, file := range []struct {
		name string
		size int64
		data io.Reader
	}{
		{"layer.tar", size, l},
		{"config.json", int64(len(config)), bytes.NewReader(config)},
		{"manifest.json", int64(len(manifest)), bytes.NewReader(manifest)},
	} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file.name, Size: file.size, Mode: 0o644}); err != nil {
			return err
		}
		if _, err := io.Copy(w, file.data); err != nil {
			return err
		}
	}
	return w.Close()
}
