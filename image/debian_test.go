package image

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/content"
	"berth/internal/testutil/debian"
	"berth/internal/testutil/testregistry"
	"berth/layer"
	"berth/registry"
	"berth/registry/credential"
	"berth/snapshot/overlay"

	"github.com/containerd/errdefs"
)

// newRealStore opens a store that unpacks, as berthd does. It needs root.
func newRealStore(t testing.TB, root string) *Store {
	t.Helper()
	c, err := content.Open(filepath.Join(root, "content"))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := overlay.Open(root, layer.Unpack)
	if err != nil {
		t.Fatal(err)
	}
	return New(c, layers, registry.New(registry.Config{}))
}

// A real Debian root file system through a real registry that asks for a
// login, and the same image from the archive: one id, one set of layers.
func TestPullDebian(t *testing.T) {
	archive := debian.Archive(t)
	reg := testregistry.Start(t, testregistry.Options{Auth: true})
	name := reg.PushArchive(archive, "debian", "12")
	s := newRealStore(t, t.TempDir())
	ref := mustRef(t, name)
	if _, err := s.Pull(t.Context(), ref, PullOptions{}); !errdefs.IsUnauthorized(err) {
		t.Errorf("without login: got %v, want ErrUnauthenticated", err)
	}
	login := credential.Credential{Username: testregistry.User, Secret: testregistry.Secret}
	wrong := credential.Credential{Username: testregistry.User, Secret: "wrong"}
	if _, err := s.Pull(t.Context(), ref, PullOptions{Auth: &wrong}); !errdefs.IsUnauthorized(err) || strings.Contains(err.Error(), "wrong:") {
		t.Errorf("wrong login: got %v, want ErrUnauthenticated", err)
	}
	pulled, err := s.Pull(t.Context(), ref, PullOptions{Auth: &login})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), mustRef(t, reg.Host+"/debian:13"), PullOptions{Auth: &login}); !errdefs.IsNotFound(err) {
		t.Errorf("unknown tag: got %v, want ErrNotFound", err)
	}
	// The daemon's own config.json.
	s.registry = registry.New(registry.Config{Credentials: func(_ context.Context, host, _ string) (credential.Credential, error) {
		if host != reg.Host {
			t.Errorf("asked for the login of %s", host)
		}
		return login, nil
	}})
	if _, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Error(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	loaded, err := s.Load(t.Context(), f, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) != 1 || loaded[0].ID != pulled.ID {
		t.Errorf("loaded %+v, pulled %s; want one image", loaded, pulled.ID)
	}
	chains, err := s.layers.List()
	if err != nil || len(chains) != 1 {
		t.Errorf("%d layers unpacked, %v; want one", len(chains), err)
	}
	bash := filepath.Join(filepath.Dir(s.content.Root()), "layers", pulled.Chain[0].Encoded(), "bin", "bash")
	if info, err := os.Stat(bash); err != nil || info.Mode() != 0o755 || pulled.Size < 50<<20 {
		t.Errorf("%s: %v, %v; image of %d bytes", bash, info, err, pulled.Size)
	}
	for _, n := range []string{"debian:12", name} {
		if got, err := s.Get(n); err != nil || got.ID != pulled.ID {
			t.Errorf("get %s: %v, %v", n, got.ID, err)
		}
	}
}
