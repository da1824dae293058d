package docker

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"berth/engine"
	"berth/internal/linux"

	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/term"
)

// The streams of the attach protocol: each frame has a header of the stream's
// number, three zeros and the length, big endian.
const (
	frameStdout = 1
	frameStderr = 2
)

// frames writes one stream of a multiplexed connection.
type frames struct {
	w      *locked
	stream byte
}

type locked struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

// Write sends p as one frame.
func (f frames) Write(p []byte) (int, error) {
	buf := make([]byte, 8, 8+len(p))
	buf[0] = f.stream
	binary.BigEndian.PutUint32(buf[4:], uint32(len(p)))
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if _, err := f.w.w.Write(append(buf, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// outputs are the writers for a process's streams: framed, or raw of a terminal.
func outputs(w io.Writer, raw bool) (stdout, stderr io.Writer) {
	if raw {
		return w, w
	}
	l := &locked{w: w}
	return frames{l, frameStdout}, frames{l, frameStderr}
}

func streamType(raw bool) string {
	if raw {
		return types.MediaTypeRawStream
	}
	return types.MediaTypeMultiplexedStream
}

// hijacked is a connection that was taken over.
type hijacked struct {
	net.Conn
	// in has what the server has read ahead, then the connection. The server's
	// own reader must not be asked for more: at the end of input, which a
	// client's half-close is, it cancels the request's context.
	in io.Reader
}

// hijack answers that the connection becomes a stream.
func hijack(w http.ResponseWriter, r *http.Request, raw bool) (*hijacked, error) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return nil, errors.New("the connection cannot become a stream")
	}
	conn, rw, err := h.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the connection: %w", err)
	}
	_ = conn.SetDeadline(time.Time{}) // the server may have set one; fails only when closed
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + streamType(raw) + "\r\n"
	if r.Header.Get("Upgrade") != "" {
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + streamType(raw) + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
	}
	head += "Api-Version: " + APIVersion + "\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	ahead, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &hijacked{conn, io.MultiReader(bytes.NewReader(ahead), conn)}, nil
}

// serve connects a session with the hijacked connection until either ends.
func (c *hijacked) serve(ctx context.Context, s *engine.Session, keys []byte) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	if conn, ok := c.Conn.(syscall.Conn); ok {
		if h, err := linux.NewHangup(conn); err == nil {
			watch.Go(func() {
				if h.Wait() == nil {
					cancel() // the client has gone
				}
			})
			defer watch.Wait()
			defer h.Close()
		}
	}
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	stdout, stderr := outputs(c.Conn, s.TTY)
	peer := engine.Peer{Stdout: stdout, Stderr: stderr, Unblock: func() { _ = c.SetReadDeadline(time.Now()) }}
	if s.Stdin {
		peer.Stdin = c.in
		if s.TTY && len(keys) > 0 {
			peer.Stdin = &detacher{term.NewEscapeProxy(c.in, keys), cancel}
		}
	}
	s.Serve(ctx, peer)
}

// detacher ends a session when the user types the detach keys.
type detacher struct {
	io.Reader
	detach func()
}

// Read reads input and looks for the keys.
func (d *detacher) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	var escape term.EscapeError
	if errors.As(err, &escape) {
		d.detach()
	}
	return n, err
}

// detachKeys parses a client's choice; the default is Docker's. "none" is for
// clients that look for the keys themselves.
func detachKeys(s string) ([]byte, error) {
	switch s {
	case "":
		return []byte{16, 17}, nil // ctrl-p,ctrl-q
	case "none":
		return nil, nil
	}
	keys, err := term.ToBytes(s)
	if err != nil {
		return nil, invalid("detach keys %.80q: %v", s, err)
	}
	return keys, nil
}

// flusher writes a streamed answer piece by piece.
type flusher struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func newFlusher(w http.ResponseWriter) *flusher { return &flusher{w, http.NewResponseController(w)} }

// Write writes and flushes.
func (f *flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.c.Flush()
	}
	return n, err
}

// progress writes Docker's stream of JSON messages. The header is sent with the
// first message, so that an early error is still a plain one.
type progress struct {
	w       http.ResponseWriter
	out     *flusher
	started bool
}

func newProgress(w http.ResponseWriter) *progress { return &progress{w: w, out: newFlusher(w)} }

func (p *progress) send(m jsonstream.Message) {
	if !p.started {
		p.started = true
		p.w.Header().Set("Content-Type", "application/json")
		p.w.WriteHeader(http.StatusOK)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return // plain strings and numbers always encode
	}
	_, _ = p.out.Write(append(data, "\r\n"...)) // the client may have gone
}

// message with the error both where old and where new clients look.
type errorMessage struct {
	ErrorDetail jsonstream.Error `json:"errorDetail"`
	Error       string           `json:"error"`
}

// end returns the error while nothing was sent, else sends it.
func (p *progress) end(err error) error {
	if err == nil || !p.started {
		return err
	}
	data, e := json.Marshal(errorMessage{jsonstream.Error{Code: statusOf(err), Message: message(err)}, message(err)})
	if e == nil {
		_, _ = p.out.Write(append(data, "\r\n"...)) // the client may have gone
	}
	return nil
}
