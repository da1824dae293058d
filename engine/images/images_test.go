package images

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/image"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

func TestLogin(t *testing.T) {
	dir := t.TempDir()
	file, bad := filepath.Join(dir, "config.json"), filepath.Join(dir, "bad.json")
	// bob:secret
	if err := errors.Join(
		os.WriteFile(file, []byte(`{"auths":{"reg.test:5000":{"auth":"Ym9iOnNlY3JldA=="}}}`), 0o600),
		os.WriteFile(bad, []byte(`{bad`), 0o600)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, ref string
		o         PullOptions
		user      string // "": anonymous
		fails     string
	}{
		{"nothing", "reg.test:5000/a/b", PullOptions{}, "", ""},
		{"file", "reg.test:5000/a/b", PullOptions{LoginFile: file}, "bob", ""},
		{"another registry", "reg.test/a/b", PullOptions{LoginFile: file}, "", ""},
		{"the client's own login counts for more", "reg.test:5000/a", PullOptions{LoginFile: bad, Auth: &registry.AuthConfig{Username: "eve"}}, "eve", ""},
		{"damaged file", "reg.test:5000/a", PullOptions{LoginFile: bad}, "", bad},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ref, err := image.ParseReference(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tt.o.login(t.Context(), ref)
			switch {
			case tt.fails != "":
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("error %v, want one about %s", err, tt.fails)
				}
			case err != nil:
				t.Error(err)
			case tt.user == "" && got != nil, tt.user != "" && (got == nil || got.Username != tt.user):
				t.Errorf("login %+v, want user %q", got, tt.user)
			}
		})
	}
}

func TestMatchReference(t *testing.T) {
	names := []string{"debian:12", "localhost:5000/a/b:1"}
	tests := []struct {
		want string
		ok   bool
	}{
		{"debian", true},
		{"debian:12", true},
		{"debian:11", false},
		{"deb*", true},
		{"deb", false},
		{"localhost:5000/a/b", true},
		{"localhost:5000/a/*", true},
		{"b", false},
		{"[", false},
	}
	for _, tt := range tests {
		if got := matchReference([]string{tt.want}, names); got != tt.ok {
			t.Errorf("%q: %v", tt.want, got)
		}
	}
	if !matchReference(nil, nil) || matchReference([]string{"x"}, nil) {
		t.Error("without names or patterns")
	}
}

func TestExplainUsesDockersWords(t *testing.T) {
	err := explain("nope", errdefs.ErrNotFound)
	if !errors.Is(err, errdefs.ErrNotFound) || err.Error() != "No such image: nope" {
		t.Errorf("%v", err)
	}
	other := errors.New("disk")
	if explain("nope", other) != other { //nolint:errorlint // the very same error is wanted
		t.Error("another error was changed")
	}
}
