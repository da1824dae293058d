package overlay_test

import (
	"archive/tar"
	"bytes"
	"os"
	"testing"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/layer"
	"berth/snapshot/overlay"

	"github.com/opencontainers/go-digest"
)

func TestSmoke(t *testing.T) {
	testutil.RequireRoot(t)
	s, err := overlay.Open(t.TempDir(), layer.Unpack)
	if err != nil {
		t.Fatal(err)
	}
	var chain []digest.Digest
	for i, files := range [][]string{{"a/x", "a/y", "b"}, {"a/.wh.x", "c"}} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, f := range files {
			w.WriteHeader(&tar.Header{Name: f, Mode: 0o644, Typeflag: tar.TypeReg})
		}
		w.Close()
		diff := digest.FromBytes(buf.Bytes())
		if i == 0 {
			chain = append(chain, diff)
		} else {
			chain = append(chain, digest.FromString(chain[i-1].String()+" "+diff.String()))
		}
		if err := s.Unpack(t.Context(), chain, diff, &buf); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.Prepare(t.Context(), "c1", chain)
	if err != nil {
		t.Fatal(err)
	}
	m, err := linux.MountOverlay(o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	names, _ := m.Readdirnames(0)
	t.Log(names)
	if _, err := linux.StatAt(m, "a/x"); err == nil {
		t.Fatal("x there")
	}
	os.Stdout.Sync()
}
