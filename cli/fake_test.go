package cli

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/cli/command"
	"berth/cli/launch"
)

// fake is a daemon for the edges of the exchange that a real one makes hard to
// meet: what it answers is set by the test.
type fake struct {
	t      *testing.T
	socket string
	routes map[string]http.HandlerFunc // "METHOD /path"

	mu       sync.Mutex
	requests []string // "METHOD /path?query", in order; guarded by mu
	server   *http.Server
	ended    chan struct{}
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, socket: filepath.Join(t.TempDir(), "s"), routes: map[string]http.HandlerFunc{}}
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fake) start() {
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		f.t.Fatal(err)
	}
	f.server, f.ended = &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	go func(s *http.Server, ended chan struct{}) { defer close(ended); _ = s.Serve(l) }(f.server, f.ended)
}

func (f *fake) stop() {
	_ = f.server.Close()
	<-f.ended
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.RequestURI())
	f.mu.Unlock()
	h := f.routes[r.Method+" "+r.URL.Path]
	if h == nil {
		answer(404, `{"message":"the test has no `+r.Method+" "+r.URL.Path+`"}`)(w, r)
		return
	}
	h(w, r)
}

// saw tells whether a request with this beginning came.
func (f *fake) saw(prefix string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if strings.HasPrefix(r, prefix) {
			return true
		}
	}
	return false
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// stream takes the connection over and hands it to serve.
func stream(serve func(conn net.Conn, in io.Reader)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		serve(conn, rw)
	}
}

func frame(stream byte, text string) string {
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return string(head) + text
}

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

func (f *fake) run(stdin string, args ...string) result {
	f.t.Helper()
	var out, err bytes.Buffer
	c := &command.CLI{
		In: strings.NewReader(stdin), Out: &out, Err: &err, Version: "test",
		Settings: launch.Settings{Host: "unix://" + f.socket, Root: "/nonexistent", Run: "/nonexistent"},
	}
	code := Run(f.t.Context(), c, args)
	return result{code, out.String(), err.String()}
}

func (r result) check(t *testing.T, code int, out, err string) {
	t.Helper()
	if r.code != code || r.out != out || !strings.Contains(r.err, err) || (err == "" && r.err != "") {
		t.Errorf("exit code %d, stdout %q, stderr %q; want %d, %q, and %q in stderr", r.code, r.out, r.err, code, out, err)
	}
}

// container serves a container that writes output and ends with an exit code.
func (f *fake) container(output func(conn net.Conn, in io.Reader), code int) {
	started := make(chan struct{})
	f.routes["POST /containers/create"] = answer(201, `{"Id":"`+id+`","Warnings":[]}`)
	f.routes["POST /containers/"+id+"/start"] = func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		w.WriteHeader(204)
	}
	ended := make(chan struct{})
	f.routes["POST /containers/"+id+"/attach"] = stream(func(conn net.Conn, in io.Reader) {
		<-started
		output(conn, in)
		close(ended)
	})
	f.routes["POST /containers/"+id+"/wait"] = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-ended
		fmt.Fprintf(w, `{"StatusCode":%d}`, code)
	}
}
