package stdio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// run is a process's ends in the test's hands.
type run struct {
	hub                   *Hub
	stdin, stdout, stderr *os.File // the process's side
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func start(t *testing.T, h *Hub) *run {
	t.Helper()
	inR, inW := pipe(t)
	outR, outW := pipe(t)
	errR, errW := pipe(t)
	h.Start(Files{Stdin: inW, Stdout: outR, Stderr: errR})
	return &run{h, inR, outW, errW}
}

func (r *run) exit(t *testing.T) {
	t.Helper()
	_, _, _ = r.stdin.Close(), r.stdout.Close(), r.stderr.Close()
	if err := r.hub.Drain(5 * time.Second); err != nil {
		t.Error(err)
	}
	r.hub.End()
}

type sink struct {
	bytes.Buffer
	taken   atomic.Int64
	flushed bool
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.Buffer.Write(b)
	s.taken.Add(int64(n))
	return n, err
}

func (s *sink) Flush() error { s.flushed = true; return nil }

func put(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Error(err)
	}
}

func TestClientsBeforeStartLoseNothing(t *testing.T) {
	var log sink
	h := New(Options{Stdout: &log})
	var a, b, bErr bytes.Buffer
	ca, cb := h.Attach(true, false, false), h.Attach(true, true, false)
	r := start(t, h)
	put(t, r.stdout, "out")
	put(t, r.stderr, "err")
	r.exit(t) // before anybody serves
	ca.Serve(context.Background(), Peer{Stdout: &a})
	cb.Serve(context.Background(), Peer{Stdout: &b, Stderr: &bErr})
	if a.String() != "out" || b.String() != "out" || bErr.String() != "err" || log.String() != "out" || !log.flushed {
		t.Errorf("a=%q b=%q bErr=%q log=%q", &a, &b, &bErr, log.String())
	}
}

func TestStdinOnceClosesInput(t *testing.T) {
	h := New(Options{StdinOnce: true})
	c := h.Attach(true, true, false)
	var served sync.WaitGroup
	served.Go(func() {
		c.Serve(context.Background(), Peer{Stdin: strings.NewReader("hello"), Stdout: io.Discard, Stderr: io.Discard})
	})
	r := start(t, h)
	got, err := io.ReadAll(r.stdin)
	if string(got) != "hello" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	r.exit(t)
	served.Wait()
}

func TestSlowClientHoldsBackButNotTheEnd(t *testing.T) {
	var log sink
	h := New(Options{Stdout: &log})
	slow := h.Attach(true, false, false)
	r := start(t, h)
	total := queueLimit + 512<<10
	wrote := make(chan int, 1)
	go func() {
		n, _ := r.stdout.Write(make([]byte, total)) // waits: closed by exit below
		wrote <- n
	}()
	for end := time.Now().Add(20 * time.Second); log.taken.Load() < queueLimit; {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of %d were taken", log.taken.Load(), queueLimit)
		}
		runtime.Gosched()
	}
	select {
	case n := <-wrote:
		t.Fatalf("%d bytes were taken from a client that reads nothing", n)
	case <-time.After(100 * time.Millisecond):
	}
	// The process is killed: its write ends, the pipe closes.
	_ = r.stdout.Close()
	done := make(chan struct{})
	go func() { r.exit(t); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a client that reads nothing delays the end")
	}
	var got bytes.Buffer
	slow.Serve(context.Background(), Peer{Stdout: &got})
	if got.Len() != log.Len() || got.Len() < queueLimit {
		t.Errorf("client got %d bytes, log %d", got.Len(), log.Len())
	}
}

func TestDroppedClientFreesTheProcess(t *testing.T) {
	h := New(Options{})
	c := h.Attach(true, false, false)
	r := start(t, h)
	ctx, cancel := context.WithCancel(context.Background())
	outR, outW := pipe(t) // a peer that reads nothing
	var served sync.WaitGroup
	served.Go(func() {
		stop := context.AfterFunc(ctx, func() { _ = outW.SetWriteDeadline(time.Now()) })
		defer stop()
		c.Serve(ctx, Peer{Stdout: outW})
	})
	wrote := make(chan error, 1)
	go func() {
		_, err := r.stdout.Write(make([]byte, 4*queueLimit))
		wrote <- err
	}()
	cancel() // the peer has gone
	select {
	case err := <-wrote:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a client that has gone still holds the process back")
	}
	served.Wait()
	_ = outR
	r.exit(t)
}

func TestDrainDoesNotWaitForAHeldPipe(t *testing.T) {
	h := New(Options{})
	r := start(t, h) // nobody closes the process's side
	put(t, r.stdout, "last")
	begin := time.Now()
	if err := h.Drain(50 * time.Millisecond); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("drain took %v", d)
	}
	h.End()
}

func TestSecurity34AttachManyTimesIsFlat(t *testing.T) {
	h := New(Options{})
	r := start(t, h)
	attach := func() {
		c := h.Attach(true, true, false)
		ctx, cancel := context.WithCancel(context.Background())
		inR, inW := io.Pipe()
		done := make(chan struct{})
		go func() {
			c.Serve(ctx, Peer{Stdin: inR, Unblock: func() { _ = inR.Close() }, Stdout: io.Discard, Stderr: io.Discard})
			close(done)
		}()
		_, _ = inW.Write([]byte("x"))
		cancel()
		<-done
	}
	attach()
	before := runtime.NumGoroutine()
	for range 1000 {
		attach()
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("goroutines: %d before, %d after", before, after)
	}
	if n := h.Clients(); n != 0 {
		t.Errorf("%d clients left", n)
	}
	r.exit(t)
}

// Clients that attach for the next run, before the end of the last one has been
// told, are not told it.
func TestEndRunLeavesTheNextRunsClients(t *testing.T) {
	h := New(Options{})
	var first, next, late bytes.Buffer
	a := h.Attach(true, false, false)
	r := start(t, h)
	put(t, r.stdout, "first")
	_, _, _ = r.stdin.Close(), r.stdout.Close(), r.stderr.Close()
	if err := h.Drain(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	h.Attach(true, false, true).Serve(context.Background(), Peer{Stdout: &late}) // ends at once
	b := h.Attach(true, false, false)
	r = start(t, h)
	h.EndRun()
	put(t, r.stdout, "next")
	r.exit(t)
	a.Serve(context.Background(), Peer{Stdout: &first})
	b.Serve(context.Background(), Peer{Stdout: &next})
	if first.String() != "first" || next.String() != "next" || late.Len() != 0 {
		t.Errorf("first %q, next %q, late %q", &first, &next, &late)
	}
}

// failing is a sink on a disk that is full for a while.
type failing struct {
	sink
	full bool
}

func (f *failing) Write(p []byte) (int, error) {
	if f.full {
		f.full = false
		return 0, errors.New("full")
	}
	return f.sink.Write(p)
}

func TestLogGoesOnAfterAFailure(t *testing.T) {
	log, failures := &failing{full: true}, 0
	h := New(Options{Stdout: log, SinkFailed: func(error) { failures++ }})
	var got bytes.Buffer
	c := h.Attach(true, false, false)
	r := start(t, h)
	put(t, r.stdout, "lost")
	for read := false; !read; { // two reads of the pump
		c.mu.Lock()
		read = c.size > 0
		c.mu.Unlock()
		runtime.Gosched()
	}
	put(t, r.stdout, "kept")
	r.exit(t)
	c.Serve(context.Background(), Peer{Stdout: &got})
	if log.String() != "kept" || got.String() != "lostkept" || failures != 1 {
		t.Errorf("log %q, client %q, %d failures", log.String(), &got, failures)
	}
}
