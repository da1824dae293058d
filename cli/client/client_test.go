package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// serve runs net/http's server on a unix socket: the other side of the exchange
// is not ours.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-ended })
	c := New(socket, "berth/test")
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// raw serves bytes as they are, for answers that net/http would not give.
func raw(t *testing.T, answer string) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 1)
		for seen := ""; !strings.HasSuffix(seen, "\r\n\r\n"); seen += string(buf) {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
		_, _ = io.WriteString(conn, answer)
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return New(socket, "berth/test")
}

func TestCallEncodesAndDecodes(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"M":%q,"P":%q,"Q":%q,"B":%q,"T":%q,"U":%q}`, r.Method, r.URL.Path,
			r.URL.Query().Get("name"), body, r.Header.Get("Content-Type"), r.UserAgent())
	})
	var got struct{ M, P, Q, B, T, U string }
	err := c.Post(t.Context(), "/containers/a b/x", url.Values{"name": {"ö&="}}, map[string]string{"k": "<v>"}, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := struct{ M, P, Q, B, T, U string }{"POST", "/containers/a b/x", "ö&=", `{"k":"<v>"}` + "\n", "application/json", "berth/test"}
	if got != want {
		t.Errorf("the server saw %+v, want %+v", got, want)
	}
}

func TestCallKeepsTheConnection(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			w.WriteHeader(204)
			return
		}
		fmt.Fprint(w, strings.Repeat("x", 10))
		w.(http.Flusher).Flush() // makes it chunked
	})
	var data []byte
	for _, p := range []string{"/a", "/none", "/b"} {
		if err := c.Get(t.Context(), p, nil, &data); err != nil && p != "/none" {
			t.Fatal(err)
		}
	}
	if string(data) != "xxxxxxxxxx" {
		t.Errorf("the last answer was %q", data)
	}
	select {
	case cn := <-c.idle:
		_ = cn.Close()
	default:
		t.Error("no connection was kept after answers that were read to their end")
	}
}

func TestErrorsHaveTheirClass(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(404)
			fmt.Fprint(w, `{"message":"no such container: x"}`)
		case "/command":
			w.WriteHeader(400)
			fmt.Fprint(w, `{"message":"no such command","exitCode":127}`)
		case "/plain":
			http.Error(w, "it broke", 500)
		default:
			w.WriteHeader(409)
		}
	})
	err := c.Get(t.Context(), "/missing", nil, nil)
	if !errors.Is(err, errdefs.ErrNotFound) || err.Error() != "no such container: x" {
		t.Errorf("404 gives %v", err)
	}
	var e *Error
	if err := c.Get(t.Context(), "/command", nil, nil); !errors.As(err, &e) || e.ExitCode != 127 {
		t.Errorf("an error with an exit code gives %#v", err)
	}
	if err := c.Get(t.Context(), "/plain", nil, nil); err == nil || err.Error() != "it broke" {
		t.Errorf("500 with plain text gives %v", err)
	}
	if err := c.Get(t.Context(), "/empty", nil, nil); !errors.Is(err, errdefs.ErrConflict) || err.Error() == "" {
		t.Errorf("409 without text gives %v", err)
	}
}

func TestUpload(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		fmt.Fprint(w, err, len(got), bytes.Equal(got, data))
	})
	a, err := c.Upload(t.Context(), "/images/load", nil, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	got, err := io.ReadAll(a)
	if want := fmt.Sprint(nil, len(data), true); err != nil || string(got) != want {
		t.Errorf("the server says %q, %v, want %q", got, err, want)
	}
}

func TestUploadThatTheServerRefusesEarly(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(400)
		fmt.Fprint(w, `{"message":"not an archive"}`)
	})
	_, err := c.Upload(t.Context(), "/images/load", nil, io.LimitReader(zeros{}, 64<<20))
	if err == nil || err.Error() != "not an archive" {
		t.Errorf("error %v, want the server's", err)
	}
}

func TestUploadOfUnreadableData(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	broken := errors.New("bad sector")
	_, err := c.Upload(t.Context(), "/images/load", nil, io.MultiReader(strings.NewReader("x"), failing{broken}))
	if !errors.Is(err, broken) || IsLost(err) {
		t.Errorf("error %v, want one that names the cause", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestHijackHalfClose(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "tcp" {
			http.Error(w, "no upgrade", 400)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst ")
		in, _ := io.ReadAll(rw) // until the half-close
		_, _ = conn.Write(append([]byte("got "), in...))
	})
	h, err := c.Hijack(t.Context(), "/containers/x/attach", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, err = io.WriteString(h, "input")
	if err := errors.Join(err, h.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(h)
	if err != nil || string(out) != "first got input" {
		t.Errorf("read %q, %v", out, err)
	}
}

func TestCancelEndsAnExchange(t *testing.T) {
	hang := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-hang
	})
	defer close(hang)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	a, err := c.Stream(ctx, "GET", "/events", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	cancel(why)
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, why) || IsLost(err) {
		t.Errorf("read after cancel: %v, want its cause", err)
	}
}

func TestBadAnswers(t *testing.T) {
	tests := []struct{ name, answer string }{
		{"nothing", ""},
		{"no HTTP", "SSH-2.0-x\r\n\r\n"},
		{"cut in the header", "HTTP/1.1 200 OK\r\nContent-Len"},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"},
		{"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"},
		{"cut between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"},
		{"chunk too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n"},
		{"chunk of no length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n"},
		{"bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"},
		{"bad status", "HTTP/1.1 -7 OK\r\n\r\n"},
		{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"endless header", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxHeader)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out map[string]any
			if err := raw(t, tt.answer).Get(t.Context(), "/x", nil, &out); !IsLost(err) {
				t.Errorf("answer %.60q gives %v (%v), want a lost connection", tt.answer, err, out)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 404 Not Found\r\n\r\n{\"message\":\"x\"}")
	f.Fuzz(func(t *testing.T, text string) {
		a := &Answer{conn: &conn{r: bufio.NewReader(strings.NewReader(text))}, ctx: t.Context()}
		if a.readHeader() != nil {
			return
		}
		if n, _ := io.Copy(io.Discard, io.LimitReader(a.body, int64(len(text))+1)); n > int64(len(text)) {
			t.Errorf("%d bytes were read of an answer of %d", n, len(text))
		}
	})
}
