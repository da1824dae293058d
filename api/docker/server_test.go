package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"berth/engine"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// fake is a backend of which each test sets what it needs.
type fake struct {
	Backend
	create func(engine.CreateRequest) error
	start  func(ref string) error
	tag    func(source, target string) error
}

func (f fake) Create(_ context.Context, r engine.CreateRequest) (container.CreateResponse, error) {
	return container.CreateResponse{ID: "id"}, f.create(r)
}
func (f fake) Start(_ context.Context, ref string) error               { return f.start(ref) }
func (f fake) ImageTag(_ context.Context, source, target string) error { return f.tag(source, target) }

func serve(b Backend, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	New(b, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	return w
}

func TestVersionsAndPaths(t *testing.T) {
	tests := []struct {
		method, target string
		status         int
	}{
		{"GET", "/_ping", 200},
		{"HEAD", "/_ping", 200},
		{"GET", "/v1.44/_ping", 200},
		{"GET", "/v" + APIVersion + "/_ping", 200},
		{"GET", "/v1.99/_ping", 400},
		{"GET", "/v1.12/_ping", 400},
		{"GET", "/v2.0/_ping", 400},
		{"GET", "/V1.44/_ping", 404},
		{"POST", "/_ping", 405},
		{"GET", "/nope", 404},
		{"POST", "/containers/x/start", 204},
		{"POST", "/v1.44/containers/x/start", 204},
	}
	b := fake{start: func(string) error { return nil }}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			w := serve(b, httptest.NewRequest(tt.method, tt.target, nil))
			if w.Code != tt.status || w.Header().Get("Api-Version") != APIVersion {
				t.Errorf("%d %s, version %q; want %d", w.Code, w.Body, w.Header().Get("Api-Version"), tt.status)
			}
		})
	}
}

// Two readers of a URL must not see two routes: what is not canonical is refused.
func TestSecurity46OddPaths(t *testing.T) {
	b := fake{start: func(ref string) error { t.Errorf("started %q", ref); return nil }}
	for _, target := range []string{
		"//containers/x/start", "/containers//x/start", "/containers/x/start/", "/containers/x/../y/start",
		"/containers/./x/start", "/CONTAINERS/x/start", "/containers/x/START", "/v1.44//containers/x/start",
		"http://elsewhere/containers/x/start", "/v1.44/v1.44/containers/x/start", "/v1.44/../containers/x/start",
	} {
		t.Run(target, func(t *testing.T) {
			if w := serve(b, httptest.NewRequest("POST", target, nil)); w.Code < 400 || w.Code >= 500 {
				t.Errorf("status %d", w.Code)
			}
		})
	}
}

func TestImageNamesWithSlashes(t *testing.T) {
	var got string
	b := fake{tag: func(source, _ string) error { got = source; return nil }}
	w := serve(b, httptest.NewRequest("POST", "/images/localhost:5000/a/b/tag?repo=x&tag=1", nil))
	if w.Code != 201 || got != "localhost:5000/a/b" {
		t.Errorf("%d, source %q", w.Code, got)
	}
}

func post(body, contentType string) *http.Request {
	r := httptest.NewRequest("POST", "/containers/create?name=n", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func TestSecurity45Bodies(t *testing.T) {
	pad := func(n int) string { // a valid body of n bytes
		const frame = `{"Image":"i","Hostname":""}`
		return `{"Image":"i","Hostname":"` + strings.Repeat("h", n-len(frame)) + `"}`
	}
	tests := []struct {
		name, body, contentType string
		status                  int
	}{
		{"plain", `{"Image":"i"}`, "application/json", 201},
		{"with a charset", `{"Image":"i"}`, "application/json; charset=utf-8", 201},
		{"unknown field of a newer client", `{"Image":"i","FutureField":1}`, "application/json", 201},
		{"at the limit", pad(maxBody), "application/json", 201},
		{"one byte over", pad(maxBody + 1), "application/json", 413},
		{"no body", "", "application/json", 400},
		{"two values", `{"Image":"i"}{"Image":"j"}`, "application/json", 400},
		{"no JSON", `Image=i`, "application/json", 400},
		{"a form", `{"Image":"i"}`, "application/x-www-form-urlencoded", 400},
		{"no content type", `{"Image":"i"}`, "", 400},
		{"null", `null`, "application/json", 201},
		{"null host configuration", `{"HostConfig":null}`, "application/json", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			called := false
			b := fake{create: func(r engine.CreateRequest) error {
				called = true
				if r.Config == nil || r.HostConfig == nil || r.Name != "n" {
					t.Errorf("request %+v", r)
				}
				return nil
			}}
			w := serve(b, post(tt.body, tt.contentType))
			if w.Code != tt.status || called != (tt.status == 201) {
				t.Errorf("status %d %s, called %v; want %d", w.Code, w.Body, called, tt.status)
			}
		})
	}
}

type codedError struct{ error }

func (codedError) ExitCode() int { return 127 }

func TestErrors(t *testing.T) {
	tests := []struct {
		err    error
		status int
		body   string
	}{
		{fmt.Errorf("container x: %w", errdefs.ErrNotFound), 404, `{"message":"container x"}`},
		{errdefs.ErrInvalidArgument.WithMessage("bad size"), 400, `{"message":"bad size"}`},
		{errdefs.ErrNotModified, 304, ""},
		{fmt.Errorf("start: %w", errdefs.ErrFailedPrecondition), 409, `{"message":"start"}`},
		{errdefs.ErrConflict.WithMessage("in use"), 409, `{"message":"in use"}`},
		{codedError{errors.New("no such command")}, 400, `{"message":"no such command","exitCode":127}`},
		{errors.New("disk on fire"), 500, `{"message":"disk on fire"}`},
	}
	for _, tt := range tests {
		w := serve(fake{start: func(string) error { return tt.err }}, httptest.NewRequest("POST", "/containers/x/start", nil))
		if got := strings.TrimSpace(w.Body.String()); w.Code != tt.status || got != tt.body {
			t.Errorf("%v: %d %s; want %d %s", tt.err, w.Code, got, tt.status, tt.body)
		}
	}
}

func TestQueries(t *testing.T) {
	q := queryOf(httptest.NewRequest("GET", "/x?a=1&b=0&n=5&t=12.5&bad=z&filters="+
		`%7B%22name%22%3A%7B%22x%22%3Atrue%2C%22y%22%3Afalse%7D%7D`, nil))
	if !q.flag("a") || q.flag("b") || q.flag("absent") || q.number("n", 1) != 5 || q.number("absent", 7) != 7 {
		t.Errorf("flags or numbers wrong, %v", q.err)
	}
	if got := q.time("t"); got.Unix() != 12 || got.Nanosecond() != 5e8 {
		t.Errorf("time %v", got)
	}
	if f := q.filters(); len(f["name"]) != 1 || f["name"][0] != "x" {
		t.Errorf("filters %v", f)
	}
	if q.err != nil {
		t.Fatal(q.err)
	}
	if q.number("bad", 0); !errors.Is(q.err, errdefs.ErrInvalidArgument) {
		t.Errorf("bad number: %v", q.err)
	}
}

func FuzzCreateBody(f *testing.F) {
	f.Add([]byte(`{"Image":"i","HostConfig":{"Memory":1,"Dns":["1.1.1.1"]},"ExposedPorts":{"80/tcp":{}}}`))
	f.Add([]byte(`{"HostConfig":{"PortBindings":{"x":null}}}`))
	f.Add([]byte(`{"HostConfig":{"NetworkMode":"a"},"NetworkingConfig":{"EndpointsConfig":{"a":{"MacAddress":"02:42:ac:11:00:02"},"b":null}}}`))
	b := fake{create: func(engine.CreateRequest) error { return nil }}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/containers/create", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		if w := serve(b, r); w.Code != 201 && w.Code != 400 {
			t.Errorf("status %d %s", w.Code, w.Body)
		}
	})
}

func TestFrames(t *testing.T) {
	var b strings.Builder
	stdout, stderr := outputs(&b, false)
	_, _ = io.WriteString(stdout, "out")
	_, _ = io.WriteString(stderr, "e")
	if want := "\x01\x00\x00\x00\x00\x00\x00\x03out\x02\x00\x00\x00\x00\x00\x00\x01e"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
}
