package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/registry/credential"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var login = credential.Credential{Username: "user", Secret: "secret"}

// fixed answers for every host.
func credentials(c credential.Credential) func(context.Context, string, string) (credential.Credential, error) {
	return func(context.Context, string, string) (credential.Credential, error) { return c, nil }
}

// serve starts a server of this process and returns its host:port.
func serve(t testing.TB, f http.HandlerFunc) string {
	t.Helper()
	ts := httptest.NewServer(f)
	t.Cleanup(ts.Close)
	return strings.TrimPrefix(ts.URL, "http://")
}

func openRepo(t testing.TB, c Config, name string, cred *credential.Credential) *Repository {
	t.Helper()
	r, err := New(c).Open(t.Context(), name, cred)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func blobOf(data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func readBlob(ctx context.Context, r *Repository, desc ocispec.Descriptor, offset int64) ([]byte, error) {
	body, err := r.Blob(ctx, desc, offset)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func serveManifest(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(data).String())
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

func TestResolveAndManifest(t *testing.T) {
	data := []byte(`{"schemaVersion":2}`)
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/a/b/manifests/1" || r.URL.Path == "/v2/a/b/manifests/"+digest.FromBytes(data).String() {
			serveManifest(w, data)
			return
		}
		http.NotFound(w, r)
	})
	repo := openRepo(t, Config{}, host+"/a/b", nil)
	desc, err := repo.Resolve(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := repo.Manifest(t.Context(), desc)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %q, %v", got, err)
	}
	if again, err := repo.Resolve(t.Context(), desc.Digest.String()); err != nil || again.Digest != desc.Digest {
		t.Errorf("by digest: %v, %v", again, err)
	}
	if _, err := repo.Resolve(t.Context(), "2"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "check name and tag") {
		t.Errorf("unknown tag: %v", err)
	}
}

func TestManifestVerified(t *testing.T) {
	data := []byte(`{"schemaVersion":2}`)
	host := serve(t, func(w http.ResponseWriter, _ *http.Request) { serveManifest(w, []byte(`{"schemaVersion":3}`)) })
	desc := blobOf(data)
	desc.MediaType = ocispec.MediaTypeImageManifest
	if got, err := openRepo(t, Config{}, host+"/a", nil).Manifest(t.Context(), desc); !errdefs.IsDataLoss(err) || got != nil {
		t.Errorf("got %q, %v; want ErrDataLoss", got, err)
	}
}

// A registry may not fill the memory with a manifest or a token.
func TestAnswersAreBounded(t *testing.T) {
	endless := func(w http.ResponseWriter) {
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	t.Run("manifest by tag", func(t *testing.T) {
		host := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			endless(w)
		})
		if _, err := openRepo(t, Config{}, host+"/a", nil).Resolve(t.Context(), "1"); !errdefs.IsOutOfRange(err) {
			t.Errorf("got %v, want ErrOutOfRange", err)
		}
	})
	t.Run("descriptor", func(t *testing.T) {
		desc := blobOf(nil)
		desc.Size = maxManifestSize + 1
		if _, err := openRepo(t, Config{}, "127.0.0.1:1/a", nil).Manifest(t.Context(), desc); !errdefs.IsOutOfRange(err) {
			t.Errorf("got %v, want ErrOutOfRange", err)
		}
	})
	t.Run("token", func(t *testing.T) {
		var host string
		host = serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				fmt.Fprint(w, `{"token":"`)
				endless(w)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+host+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		if _, err := openRepo(t, Config{}, host+"/a", nil).Resolve(t.Context(), "1"); !errdefs.IsOutOfRange(err) {
			t.Errorf("got %v, want ErrOutOfRange", err)
		}
	})
}

func TestBasicAuth(t *testing.T) {
	data := []byte("{}")
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != login.Username || p != login.Secret {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		serveManifest(w, data)
	})
	wrong := credential.Credential{Username: "user", Secret: "wrong"}
	cases := []struct {
		name   string
		config Config
		given  *credential.Credential
		class  error
	}{
		{"given", Config{}, &login, nil},
		{"configured", Config{Credentials: credentials(login)}, nil, nil},
		{"given goes first", Config{Credentials: credentials(wrong)}, &login, nil},
		{"none", Config{}, nil, errdefs.ErrUnauthenticated},
		{"wrong", Config{}, &wrong, errdefs.ErrUnauthenticated},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := openRepo(t, c.config, host+"/a", c.given).Resolve(t.Context(), "1")
			if !errors.Is(err, c.class) {
				t.Fatalf("got %v, want %v", err, c.class)
			}
			if err != nil && (strings.Contains(err.Error(), login.Secret) || !strings.Contains(err.Error(), "log in")) {
				t.Errorf("message %q", err)
			}
		})
	}
}

func TestTokenAuth(t *testing.T) {
	data := []byte("{}")
	var host string
	host = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			if r.Method == http.MethodPost { // as registries without OAuth2 answer
				w.WriteHeader(http.StatusNotFound)
				return
			}
			if u, p, _ := r.BasicAuth(); u != login.Username || p != login.Secret || r.URL.Query().Get("scope") != "repository:a:pull" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, `{"token":"t0k"}`)
		case r.Header.Get("Authorization") == "Bearer t0k":
			serveManifest(w, data)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+host+`/token",service="x",scope="repository:a:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	if _, err := openRepo(t, Config{}, host+"/a", &login).Resolve(t.Context(), "1"); err != nil {
		t.Error(err)
	}
	if _, err := openRepo(t, Config{}, host+"/a", nil).Resolve(t.Context(), "1"); !errdefs.IsUnauthorized(err) {
		t.Errorf("anonymous: got %v, want ErrUnauthenticated", err)
	}
}

// recorder keeps the requests a server got that carried credentials.
type recorder struct {
	mu   sync.Mutex
	seen []string
	all  atomic.Int32
}

func (r *recorder) note(req *http.Request) {
	r.all.Add(1)
	body, _ := io.ReadAll(io.LimitReader(req.Body, 1000))
	auth := req.Header.Get("Authorization")
	if auth != "" || bytes.Contains(body, []byte(login.Secret)) || strings.Contains(req.URL.String(), login.Secret) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Method+" "+req.URL.Path+" "+auth+" "+string(body))
		r.mu.Unlock()
	}
}

func TestSecurity41CredentialsStayWithTheirHost(t *testing.T) {
	data := []byte("layer")
	desc := blobOf(data)
	basic := func(w http.ResponseWriter, r *http.Request) bool {
		if u, _, _ := r.BasicAuth(); u == login.Username {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	t.Run("redirect", func(t *testing.T) {
		for _, challenge := range []string{"", `Basic realm="x"`, "bearer"} {
			var foreign recorder
			var foreignHost string
			foreignHost = serve(t, func(w http.ResponseWriter, r *http.Request) {
				foreign.note(r)
				if challenge != "" {
					c := challenge
					if c == "bearer" {
						c = `Bearer realm="http://` + foreignHost + `/token",service="x"`
					}
					w.Header().Set("WWW-Authenticate", c)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				_, _ = w.Write(data)
			})
			host := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if basic(w, r) {
					http.Redirect(w, r, "http://"+foreignHost+"/storage/x?sig=1", http.StatusTemporaryRedirect)
				}
			})
			repo := openRepo(t, Config{Credentials: credentials(login)}, host+"/a", &login)
			got, err := readBlob(t.Context(), repo, desc, 0)
			if challenge == "" && (err != nil || !bytes.Equal(got, data)) {
				t.Errorf("no challenge: got %q, %v", got, err)
			}
			if challenge != "" && !errdefs.IsUnauthorized(err) {
				t.Errorf("%s: got %v, want ErrUnauthenticated", challenge, err)
			}
			if foreign.all.Load() == 0 || foreign.seen != nil {
				t.Errorf("%q: the other host got %d requests, with credentials: %v", challenge, foreign.all.Load(), foreign.seen)
			}
		}
	})
	t.Run("token server redirects the login", func(t *testing.T) {
		var foreign recorder
		foreignHost := serve(t, func(_ http.ResponseWriter, r *http.Request) { foreign.note(r) })
		var host string
		host = serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, "http://"+foreignHost+"/steal", http.StatusTemporaryRedirect)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+host+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		if _, err := openRepo(t, Config{}, host+"/a", &login).Resolve(t.Context(), "1"); err == nil {
			t.Error("no error")
		}
		if foreign.seen != nil {
			t.Errorf("the other host got %v", foreign.seen)
		}
	})
	t.Run("mirror", func(t *testing.T) {
		var mirror recorder
		mirrorHost := serve(t, func(w http.ResponseWriter, r *http.Request) {
			mirror.note(r)
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		host := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if basic(w, r) {
				serveManifest(w, []byte("{}"))
			}
		})
		dir := t.TempDir()
		hostsFile(t, dir, host, "server = \"http://"+host+"\"\n[host.\"http://"+mirrorHost+"\"]\n  capabilities = [\"pull\", \"resolve\"]\n")
		if _, err := openRepo(t, Config{HostsDir: dir}, host+"/a", &login).Resolve(t.Context(), "1"); err != nil {
			t.Error(err)
		}
		if mirror.all.Load() == 0 || mirror.seen != nil {
			t.Errorf("the mirror got %d requests, with credentials: %v", mirror.all.Load(), mirror.seen)
		}
	})
	t.Run("token server without TLS", func(t *testing.T) {
		var plain recorder
		clearHost := serve(t, func(w http.ResponseWriter, r *http.Request) { plain.note(r); fmt.Fprint(w, `{"token":"x"}`) })
		ts := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+clearHost+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		defer ts.Close()
		repo := openRepo(t, Config{}, strings.TrimPrefix(ts.URL, "https://")+"/a", &login)
		if _, err := repo.Resolve(t.Context(), "1"); !errdefs.IsUnauthorized(err) {
			t.Errorf("got %v, want ErrUnauthenticated", err)
		}
		if plain.all.Load() != 0 {
			t.Error("the token server in the clear was asked")
		}
	})
}

func hostsFile(t testing.TB, dir, host, text string) {
	t.Helper()
	name, port, _ := net.SplitHostPort(host)
	sub := filepath.Join(dir, name+"_"+port+"_")
	if err := errors.Join(os.Mkdir(sub, 0o700), os.WriteFile(filepath.Join(sub, "hosts.toml"), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestHostsFile(t *testing.T) {
	mirror := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Team") != "blue" {
			t.Errorf("headers %v", r.Header)
		}
		serveManifest(w, []byte("{}"))
	})
	t.Run("mirror goes first", func(t *testing.T) {
		dir := t.TempDir()
		hostsFile(t, dir, "registry.invalid:99", "[host.\"http://"+mirror+"\"]\n  [host.\"http://"+mirror+"\".header]\n    X-Team = \"blue\"\n")
		if _, err := openRepo(t, Config{HostsDir: dir}, "registry.invalid:99/a", nil).Resolve(t.Context(), "1"); err != nil {
			t.Error(err)
		}
	})
	for name, text := range map[string]string{"no TOML": "server = ", "unknown word": "[host.\"http://x\"]\n  capabilities = [\"fly\"]\n"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			hostsFile(t, dir, "registry.invalid:99", text)
			_, err := New(Config{HostsDir: dir}).Open(t.Context(), "registry.invalid:99/a", nil)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "hosts.toml") {
				t.Errorf("got %v, want ErrInvalidArgument that names hosts.toml", err)
			}
		})
	}
}

func TestInsecure(t *testing.T) {
	c := New(Config{Insecure: []string{"a.example", "b.example:5000", "10.1.0.0/16"}})
	for host, want := range map[string]bool{
		"a.example": true, "a.example:99": true, "b.example:5000": true, "b.example:5001": false, "b.example": false,
		"10.1.2.3:5000": true, "10.2.2.3": false, "xa.example": false,
	} {
		if got := c.insecure(host); got != want {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
}

// A connection that breaks is opened again where it ended.
func TestBlobResumes(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	desc := blobOf(data)
	const part = 300_000
	var ranges []string
	handler := func(honest bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			ranges = append(ranges, r.Header.Get("Range"))
			from := 0
			if honest {
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(data)-from))
			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
				w.WriteHeader(http.StatusPartialContent)
			}
			end := from + part
			if !honest {
				end = len(ranges) * part
			}
			_, _ = w.Write(data[from:min(end, len(data))])
			if end < len(data) {
				panic(http.ErrAbortHandler)
			}
		}
	}
	for name, honest := range map[string]bool{"ranges": true, "registry ignores ranges": false} {
		t.Run(name, func(t *testing.T) {
			ranges = nil
			repo := openRepo(t, Config{}, serve(t, handler(honest))+"/a", nil)
			got, err := readBlob(t.Context(), repo, desc, 0)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, %v; ranges %q", len(got), err, ranges)
			}
			if len(ranges) != 4 || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
				t.Errorf("ranges %q", ranges)
			}
		})
	}
	t.Run("registry refuses ranges", func(t *testing.T) {
		host := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			_, _ = w.Write(data)
		})
		got, err := readBlob(t.Context(), openRepo(t, Config{}, host+"/a", nil), desc, 900_000)
		if err != nil || !bytes.Equal(got, data[900_000:]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("from an offset", func(t *testing.T) {
		ranges = nil
		repo := openRepo(t, Config{}, serve(t, handler(true))+"/a", nil)
		got, err := readBlob(t.Context(), repo, desc, 900_000)
		if err != nil || !bytes.Equal(got, data[900_000:]) || ranges[0] != "bytes=900000-" {
			t.Errorf("%d bytes, %v; ranges %q", len(got), err, ranges)
		}
	})
}

// A registry whose own copy of a blob is cut off says so only by refusing the rest.
func TestBlobIsCutOff(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 100_000)
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data[:60_000]))
	})
	_, err := readBlob(t.Context(), openRepo(t, Config{}, host+"/a", nil), blobOf(data), 0)
	if err == nil || !strings.Contains(err.Error(), "has only 60000 of its 100000 bytes: push the image again") {
		t.Errorf("read: %v", err)
	}
}

func TestBlobStalls(t *testing.T) {
	data := []byte("0123456789")
	var requests atomic.Int32
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write(data[:3])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // and then nothing
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	repo := openRepo(t, Config{Stall: 200 * time.Millisecond}, host+"/a", nil)
	got, err := readBlob(t.Context(), repo, blobOf(data), 0)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %q, %v after %d requests", got, err, requests.Load())
	}
	// A registry that never comes to life again is not the caller's doing.
	dead := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	repo = openRepo(t, Config{Stall: 10 * time.Millisecond}, dead+"/a", nil)
	if _, err = readBlob(t.Context(), repo, blobOf(data), 0); !errdefs.IsUnavailable(err) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestBlobRefused(t *testing.T) {
	data := []byte("0123456789")
	var requests atomic.Int32
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(append(data, '!')))
	})
	repo := openRepo(t, Config{}, host+"/a", nil)
	foreign := blobOf(data)
	foreign.URLs = []string{"http://" + host + "/x"}
	if _, err := repo.Blob(t.Context(), foreign, 0); !errdefs.IsInvalidArgument(err) || requests.Load() != 0 {
		t.Errorf("foreign layer: got %v after %d requests", err, requests.Load())
	}
	for _, offset := range []int64{-1, 11} {
		if _, err := repo.Blob(t.Context(), blobOf(data), offset); !errdefs.IsInvalidArgument(err) {
			t.Errorf("offset %d: got %v", offset, err)
		}
	}
	if got, err := readBlob(t.Context(), repo, blobOf(data), 0); err == nil && len(got) > len(data) {
		t.Errorf("got %d bytes of a blob of %d", len(got), len(data))
	}
}

func TestErrors(t *testing.T) {
	answer := func(status int, body string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, host string
		class      error
		text       string
	}{
		{"nobody listens", closed, errdefs.ErrUnavailable, "cannot be reached"},
		{"forbidden", answer(403, `{"errors":[{"code":"DENIED","message":"not \u001b[31myou"}]}`), errdefs.ErrPermissionDenied, "(not  [31myou)"},
		{"too many", answer(429, ""), errdefs.ErrUnavailable, "rate"},
		{"broken", answer(500, ""), errdefs.ErrUnavailable, "500"},
		{"no registry", answer(200, "<html>"), nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := openRepo(t, Config{}, c.host+"/a", nil).Resolve(t.Context(), "1")
			if c.class == nil {
				return // what it says is no image; that is found when it is parsed
			}
			if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("got %q, want %v and %q", err, c.class, c.text)
			}
		})
	}
	t.Run("untrusted certificate", func(t *testing.T) {
		ts := httptest.NewTLSServer(http.NotFoundHandler())
		defer ts.Close()
		dir := t.TempDir()
		host := strings.TrimPrefix(ts.URL, "https://")
		hostsFile(t, dir, host, "server = \"https://"+host+"\"\nskip_verify = false\n")
		_, err := openRepo(t, Config{HostsDir: dir}, host+"/a", nil).Resolve(t.Context(), "1")
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "not trusted") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the user left")
		cancel(why)
		if _, err := openRepo(t, Config{}, closed+"/a", nil).Resolve(ctx, "1"); !errors.Is(err, why) {
			t.Errorf("got %v, want the cause", err)
		}
	})
	for _, name := range []string{"", "a", "/a", "a/"} {
		if _, err := New(Config{}).Open(t.Context(), name, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("open %q: got %v", name, err)
		}
	}
}
