package session

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"berth/cli/client"
	"berth/cli/command"
)

// hijacked connects a session to what peer does on the other side.
func hijacked(t *testing.T, peer func(conn *net.UnixConn)) *client.Hijacked {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.AcceptUnix()
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
		_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\n\r\n")
		peer(conn)
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	h, err := client.New(socket, "test").Hijack(t.Context(), "/attach", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// typing is an input that stays open after its text, as a terminal.
type typing struct {
	io.Reader
	open chan struct{}
}

func (y *typing) Read(p []byte) (int, error) {
	n, err := y.Reader.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		<-y.open
	}
	return n, err
}

func typed(t *testing.T, text string) *Input {
	y := &typing{strings.NewReader(text), make(chan struct{})}
	t.Cleanup(func() { close(y.open) })
	return NewInput(y, nil)
}

func TestSessionDrainsOutputAfterInputEnds(t *testing.T) {
	const size = 1 << 20
	h := hijacked(t, func(conn *net.UnixConn) {
		in, _ := io.ReadAll(conn)
		_, _ = io.WriteString(conn, string(in)+strings.Repeat("x", size))
	})
	var out strings.Builder
	s := Session{In: NewInput(strings.NewReader("input "), nil), Out: &out, TTY: true}
	if err := s.Run(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if out.Len() != size+len("input ") || !strings.HasPrefix(out.String(), "input x") {
		t.Errorf("%d bytes came, want %d", out.Len(), size+len("input "))
	}
}

func TestSessionEndsWithOutputWhileInputIsOpen(t *testing.T) {
	h := hijacked(t, func(conn *net.UnixConn) { _, _ = io.WriteString(conn, "bye") })
	var out strings.Builder
	s := Session{In: typed(t, ""), Out: &out, TTY: true}
	if err := s.Run(t.Context(), h); err != nil || out.String() != "bye" {
		t.Errorf("output %q, %v", out.String(), err)
	}
}

// TestSessionEndsWhenNobodyTakesInput blocks the write of input: the end of the
// output must still end the session.
func TestSessionEndsWhenNobodyTakesInput(t *testing.T) {
	release := make(chan struct{})
	h := hijacked(t, func(conn *net.UnixConn) {
		_ = conn.CloseWrite()
		<-release
	})
	defer close(release)
	s := Session{In: NewInput(io.LimitReader(zeros{}, 64<<20), nil), TTY: true}
	if err := s.Run(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSessionDetaches(t *testing.T) {
	got := make(chan string, 1)
	h := hijacked(t, func(conn *net.UnixConn) {
		in, _ := io.ReadAll(conn)
		got <- string(in)
	})
	s := Session{In: typed(t, "ab\x10\x11cd"), Keys: []byte{16, 17}, TTY: true}
	if err := s.Run(t.Context(), h); !errors.Is(err, ErrDetached) {
		t.Errorf("error %v, want %v", err, ErrDetached)
	}
	if in := <-got; in != "ab" {
		t.Errorf("the container got %q, want what came before the keys", in)
	}
}

// TestDetachKeysAreDataWithoutATerminal: binary input may hold any bytes.
func TestDetachKeysAreDataWithoutATerminal(t *testing.T) {
	got := make(chan string, 1)
	h := hijacked(t, func(conn *net.UnixConn) {
		in, _ := io.ReadAll(conn)
		got <- string(in)
	})
	s := Session{In: NewInput(strings.NewReader("ab\x10\x11cd"), nil), Keys: []byte{16, 17}}
	if err := s.Run(t.Context(), h); err != nil {
		t.Error(err)
	}
	if in := <-got; in != "ab\x10\x11cd" {
		t.Errorf("the container got %q", in)
	}
}

// TestInputOutlivesASession types while one connection ends and the next begins.
func TestInputOutlivesASession(t *testing.T) {
	r, w := io.Pipe()
	in := NewInput(r, nil)
	first := hijacked(t, func(*net.UnixConn) {})
	if err := (&Session{In: in, TTY: true}).Run(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	second := hijacked(t, func(conn *net.UnixConn) {
		data, _ := io.ReadAll(conn)
		got <- string(data)
	})
	var work sync.WaitGroup
	work.Go(func() {
		_, err := io.WriteString(w, "after")
		if err := errors.Join(err, w.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := (&Session{In: in, TTY: true}).Run(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	work.Wait()
	if data := <-got; data != "after" {
		t.Errorf("the second connection got %q", data)
	}
}

func TestSessionEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	h := hijacked(t, func(*net.UnixConn) { <-release })
	defer close(release)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&SignalError{syscall.SIGTERM})
	err := ExitOf((&Session{In: typed(t, ""), TTY: true}).Run(ctx, h))
	var exit *command.Exit
	if !errors.As(err, &exit) || exit.Code != 128+15 || exit.Err != nil {
		t.Errorf("error %#v, want exit code 143 and no words", err)
	}
}

// TestSignalCountsForMoreThanItsClose: the client closes the connection when the
// context ends, often before the session has heard of the end.
func TestSignalCountsForMoreThanItsClose(t *testing.T) {
	for range 20 {
		release := make(chan struct{})
		h := hijacked(t, func(*net.UnixConn) { <-release })
		ctx, cancel := context.WithCancelCause(t.Context())
		context.AfterFunc(ctx, func() { _ = h.Close() })
		for range 2000 { // they make the news slow
			_, stop := context.WithCancel(ctx)
			defer stop()
		}
		var work sync.WaitGroup
		work.Go(func() { cancel(&SignalError{syscall.SIGTERM}) })
		err := (&Session{TTY: true}).Run(ctx, h)
		work.Wait()
		close(release)
		var signal *SignalError
		if !errors.As(err, &signal) {
			t.Fatalf("error %v, want the signal", err)
		}
	}
}

// raise sends this process a signal that Catch must take.
func raise(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

func TestSignalsBeforeForwardCancel(t *testing.T) {
	ctx, s := Catch(t.Context())
	defer s.Stop()
	raise(t, syscall.SIGINT)
	<-ctx.Done()
	var e *SignalError
	if !errors.As(context.Cause(ctx), &e) || e.Signal != syscall.SIGINT {
		t.Errorf("cause %v, want SIGINT", context.Cause(ctx))
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	ctx, s := Catch(t.Context())
	defer s.Stop()
	got := make(chan syscall.Signal, 1)
	s.Forward(func(n syscall.Signal) { got <- n }, false)
	for _, n := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		raise(t, n)
		if f := <-got; f != n {
			t.Errorf("%v was forwarded, want %v", f, n)
		}
		if ctx.Err() != nil {
			t.Fatalf("%v ended berth", n)
		}
	}
	raise(t, syscall.SIGTERM) // the third of SIGINT and SIGTERM
	<-got
	<-ctx.Done()
}

func TestSignalsOfATerminalLeave(t *testing.T) {
	ctx, s := Catch(t.Context())
	defer s.Stop()
	got := make(chan syscall.Signal, 2)
	s.Forward(func(n syscall.Signal) { got <- n }, true)
	raise(t, syscall.SIGHUP)
	<-ctx.Done()
	if f := <-got; f != syscall.SIGHUP {
		t.Errorf("%v was forwarded, want SIGHUP", f)
	}
}
