package credential

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestGet(t *testing.T) {
	const hub = `{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}` // u:p
	cases := []struct {
		name, config, host, repo string
		want                     Credential
		err                      bool
	}{
		{"nothing", `{}`, "a.example", "x", Credential{}, false},
		{"bare host", `{"auths":{"a.example:5000":{"auth":"dTpw"}}}`, "a.example:5000", "x", Credential{"u", "p"}, false},
		{"another port", `{"auths":{"a.example:5000":{"auth":"dTpw"}}}`, "a.example:5001", "x", Credential{}, false},
		{"a subdomain", `{"auths":{"example":{"auth":"dTpw"}}}`, "a.example", "x", Credential{}, false},
		{"url", `{"auths":{"https://a.example/v2/":{"auth":"dTpw"}}}`, "a.example", "x", Credential{"u", "p"}, false},
		{"docker hub", hub, "docker.io", "library/x", Credential{"u", "p"}, false},
		{"docker hub's is not everybody's", hub, "a.example", "x", Credential{}, false},
		{"plain fields", `{"auths":{"a.example":{"username":"u","password":"p"}}}`, "a.example", "x", Credential{"u", "p"}, false},
		{"identity token", `{"auths":{"a.example":{"auth":"dTpw","identitytoken":"tok"}}}`, "a.example", "x", Credential{"", "tok"}, false},
		{"password with a colon", `{"auths":{"a.example":{"auth":"dTpwOnE="}}}`, "a.example", "x", Credential{"u", "p:q"}, false},
		{"repository's own", `{"auths":{"a.example":{"auth":"dTpw"},"a.example/team":{"auth":"djpx"}}}`, "a.example", "team/x", Credential{"v", "q"}, false},
		{"another repository's", `{"auths":{"a.example/team":{"auth":"djpx"}}}`, "a.example", "teams/x", Credential{}, false},
		{"bad base64", `{"auths":{"a.example":{"auth":"!"}}}`, "a.example", "x", Credential{}, true},
		{"no colon", `{"auths":{"a.example":{"auth":"dXA="}}}`, "a.example", "x", Credential{}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse([]byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Get(t.Context(), c.host, c.repo)
			if got != c.want || (err != nil) != c.err {
				t.Errorf("got %+v, %v; want %+v, error: %v", got, err, c.want, c.err)
			}
			if err != nil && !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v is not ErrInvalidArgument", err)
			}
		})
	}
}

// helperDir puts a credential helper in PATH that knows one host.
func helperDir(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestHelpers(t *testing.T) {
	helperDir(t, "test", `read server
case "$1 $server" in
"get a.example") echo '{"Username":"u","Secret":"p"}' ;;
"get https://index.docker.io/v1/") echo '{"Username":"<token>","Secret":"tok"}' ;;
"get broken.example") echo "keyring is locked"; exit 1 ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac
`)
	cases := []struct {
		name, config, host string
		want               Credential
		err                string
	}{
		{"store", `{"credsStore":"test"}`, "a.example", Credential{"u", "p"}, ""},
		{"helper for the host", `{"credHelpers":{"a.example":"test"},"credsStore":"missing"}`, "a.example", Credential{"u", "p"}, ""},
		{"identity token", `{"credsStore":"test"}`, "docker.io", Credential{"", "tok"}, ""},
		{"not found", `{"credsStore":"test"}`, "b.example", Credential{}, ""},
		{"not found, but in the file", `{"credsStore":"test","auths":{"b.example":{"auth":"dTpw"}}}`, "b.example", Credential{"u", "p"}, ""},
		{"fails", `{"credsStore":"test"}`, "broken.example", Credential{}, "keyring is locked"},
		{"not installed", `{"credsStore":"missing"}`, "a.example", Credential{}, "docker-credential-missing"},
		{"a path, not a name", `{"credsStore":"../../bin/sh"}`, "a.example", Credential{}, "not a plain name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse([]byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Get(t.Context(), c.host, "x")
			if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %+v, %v; want %+v, error %q", got, err, c.want, c.err)
			}
		})
	}
	t.Run("ends with the context", func(t *testing.T) {
		helperDir(t, "slow", "exec sleep 60")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f, err := Parse([]byte(`{"credsStore":"slow"}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Get(ctx, "a.example", "x"); err == nil {
			t.Error("no error")
		}
	})
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "missing.json")); err != nil {
		t.Errorf("missing file: %v", err)
	}
	write := func(data []byte) string {
		path := filepath.Join(dir, "config.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := Load(write([]byte("{"))); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("bad JSON: %v", err)
	}
	if _, err := Load(write(make([]byte, maxFileSize+1))); !errdefs.IsInvalidArgument(err) {
		t.Errorf("too large: %v", err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	if got := Path(); got != filepath.Join(dir, "config.json") {
		t.Errorf("path %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}},"credHelpers":{"x":"y"}}`), "docker.io", "library/x")
	f.Add([]byte(`{"auths":{"a/b":{"auth":"!"},"":{"username":"u"}}}`), "", "/")
	f.Fuzz(func(t *testing.T, data []byte, host, repo string) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		file.store, file.helpers = "", nil // no programs in a fuzz test
		cred, err := file.Get(t.Context(), host, repo)
		if err != nil && (cred != Credential{} || !errors.Is(err, errdefs.ErrInvalidArgument)) {
			t.Errorf("got %+v with error %v", cred, err)
		}
	})
}
