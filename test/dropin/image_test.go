package dropin

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// imageName is what the engines call the image of busybox.
const imageName = "localhost/box:latest"

// writeImage writes the layer of an image of busybox as a tar file.
func writeImage(t *testing.T, path string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("busybox is not installed: make test-deps installs busybox-static")
	}
	binary, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, mode int64, kind byte, link, content string) {
		h := &tar.Header{Name: name, Mode: mode, Typeflag: kind, Linkname: link, Size: int64(len(content))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"bin", "etc", "root", "home", "home/bob", "proc", "sys", "dev", "run", "var"} {
		add(d, 0o755, tar.TypeDir, "", "")
	}
	add("tmp", 0o1777, tar.TypeDir, "", "")
	add("bin/busybox", 0o755, tar.TypeReg, "", string(binary))
	for _, a := range strings.Fields(string(applets)) {
		if a != "busybox" {
			add("bin/"+a, 0o777, tar.TypeSymlink, "busybox", "")
		}
	}
	add("etc/passwd", 0o644, tar.TypeReg, "", "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\n")
	add("etc/group", 0o644, tar.TypeReg, "", "root:x:0:\nbob:x:1001:\nfriends:x:2000:bob\n")
	add("etc/plain", 0o644, tar.TypeReg, "", "not a program\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeLayout writes an OCI image layout of one layer as a tar file.
func writeLayout(t *testing.T, layer, path string) {
	t.Helper()
	data, err := os.ReadFile(layer)
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, content []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(kind string, content []byte) object {
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		add(filepath.Join("blobs/sha256", sum), content)
		return object{"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + sum, "size": len(content)}
	}
	document := func(v any) []byte {
		d, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	l := blob("layer.v1.tar", data)
	c := blob("config.v1+json", document(object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Env": []string{"PATH=/bin"}, "Cmd": []string{"sh"}},
		"rootfs": object{"type": "layers", "diff_ids": []any{l["digest"]}},
	}))
	m := blob("manifest.v1+json", document(object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": c, "layers": []any{l},
	}))
	m["annotations"] = object{"io.containerd.image.name": imageName}
	add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	add("index.json", document(object{"schemaVersion": 2, "manifests": []any{m}}))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
