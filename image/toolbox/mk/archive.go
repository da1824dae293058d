package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// epoch is every file's time: the archive must not depend on when it is built.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	imageName = "toolbox:latest"
	path      = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// writeArchive writes the image of the programs in dir to out: an OCI layout
// that is also what docker save writes.
func writeArchive(out, dir, arch string) (err error) {
	layer, diffID, err := makeLayer(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp := out + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(tmp, out)
		}
		if err != nil {
			_ = os.Remove(tmp) // the error above says more
		}
	}()
	return writeImage(f, layer, diffID, arch)
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

func writeImage(w io.Writer, layer []byte, diffID, arch string) error {
	config := toJSON(map[string]any{
		"architecture": arch,
		"os":           "linux",
		"created":      epoch,
		"config": map[string]any{
			"Env":        []string{"PATH=" + path},
			"Cmd":        []string{"/bin/sh"},
			"WorkingDir": "/",
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{diffID}},
		"history": []map[string]any{{"created": epoch, "created_by": "berth image/toolbox/mk"}},
	})
	configDesc := describe("application/vnd.oci.image.config.v1+json", config)
	layerDesc := describe("application/vnd.oci.image.layer.v1.tar+gzip", layer)
	manifest := toJSON(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        configDesc,
		"layers":        []descriptor{layerDesc},
	})
	manifestDesc := describe("application/vnd.oci.image.manifest.v1+json", manifest)
	manifestDesc.Platform = &platform{Architecture: arch, OS: "linux"}
	manifestDesc.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": "latest",
		"io.containerd.image.name":          "berth.internal/" + imageName,
	}
	index := toJSON(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.index.v1+json",
		"manifests":     []descriptor{manifestDesc},
	})
	docker := toJSON([]map[string]any{{
		"Config":   blobPath(configDesc.Digest),
		"RepoTags": []string{imageName},
		"Layers":   []string{blobPath(layerDesc.Digest)},
	}})

	t := tarball{w: tar.NewWriter(w)}
	t.file("oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	t.file("index.json", 0o644, index)
	t.file("manifest.json", 0o644, docker)
	t.dir("blobs", 0o755)
	t.dir("blobs/sha256", 0o755)
	t.file(blobPath(configDesc.Digest), 0o644, config)
	t.file(blobPath(manifestDesc.Digest), 0o644, manifest)
	t.file(blobPath(layerDesc.Digest), 0o644, layer)
	return t.close()
}

// makeLayer returns the gzipped root file system and the digest of its tar.
func makeLayer(dir string) (layer []byte, diffID string, err error) {
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.New()
	t := tarball{w: tar.NewWriter(io.MultiWriter(z, sum))}
	for _, d := range []string{"bin", "dev", "etc", "home", "lib", "mnt", "opt", "proc", "run", "sys", "usr", "var"} {
		t.dir(d, 0o755)
	}
	t.dir("root", 0o700)
	t.dir("tmp", 0o1777)
	t.dir("var/tmp", 0o1777)
	t.link("sbin", "bin")
	t.link("usr/bin", "../bin")
	t.link("usr/sbin", "../bin")
	t.link("var/run", "../run")
	t.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"))
	t.file("etc/group", 0o644, []byte("root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"))
	t.file("etc/os-release", 0o644, []byte("ID=berth-toolbox\nNAME=\"berth toolbox\"\nPRETTY_NAME=\"berth toolbox\"\n"))
	for _, p := range []struct {
		name     string
		commands []string
	}{{"sh", shCommands}, {"tool", toolCommands}, {"uroot", linked()}} {
		b, err := os.ReadFile(filepath.Join(dir, p.name))
		if err != nil {
			return nil, "", err
		}
		t.file("lib/toolbox-"+p.name, 0o755, b)
		for _, c := range p.commands {
			t.link("bin/"+c, "../lib/toolbox-"+p.name)
		}
	}
	if err := errors.Join(t.close(), z.Close()); err != nil {
		return nil, "", fmt.Errorf("write the layer: %w", err)
	}
	return zipped.Bytes(), "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// tarball writes root-owned entries with fixed times. The first error stays
// and close returns it.
type tarball struct {
	w   *tar.Writer
	err error
}

func (t *tarball) add(h *tar.Header, b []byte) {
	h.ModTime, h.Format = epoch, tar.FormatUSTAR
	if t.err == nil {
		t.err = t.w.WriteHeader(h)
	}
	if t.err == nil {
		_, t.err = t.w.Write(b)
	}
}

func (t *tarball) dir(name string, mode int64) {
	t.add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (t *tarball) file(name string, mode int64, b []byte) {
	t.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(b))}, b)
}

func (t *tarball) link(name, target string) {
	t.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

func (t *tarball) close() error { return errors.Join(t.err, t.w.Close()) }

func describe(mediaType string, b []byte) descriptor {
	sum := sha256.Sum256(b)
	return descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(b)}
}

func blobPath(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }

// toJSON encodes a value made here; that cannot fail.
func toJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
