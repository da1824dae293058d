package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
)

const (
	maxAnswer = 64 << 20 // one JSON answer that is decoded as a whole
	maxError  = 64 << 10 // the text of an error answer
)

// Client is one daemon's API. Each request has its own connection, except that a
// connection whose answer was read to its end serves the next request. A Client
// may be used by several goroutines.
type Client struct {
	// Socket is the path of the daemon's unix socket.
	Socket string
	// UserAgent is sent with each request.
	UserAgent string
	// OnServer, if set, is called with what each answer says about its server,
	// as "berth/1.2".
	OnServer func(server string)

	idle chan *conn // holds at most one connection
}

// New returns a client of the daemon that listens at the unix socket.
func New(socket, userAgent string) *Client {
	return &Client{Socket: socket, UserAgent: userAgent, idle: make(chan *conn, 1)}
}

// Close closes the connection that is kept for the next request.
func (c *Client) Close() error {
	select {
	case cn := <-c.idle:
		return cn.Close()
	default:
		return nil
	}
}

// Dial checks that somebody listens at the socket and keeps the connection for
// the first request. Its error is connect(2)'s: ENOENT or ECONNREFUSED when no
// daemon runs, EACCES when the caller may not use it.
func (c *Client) Dial(ctx context.Context) error {
	_ = c.Close() // a connection to a daemon that ended is worth nothing
	cn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	c.keep(cn)
	return nil
}

// Call sends in as JSON (nothing if nil) and decodes the answer into out (which
// is read and forgotten if nil).
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	r, err := c.send(ctx, request{method: method, path: path, query: query, body: body})
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Decode(out)
}

// Get is Call with GET and no body.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.Call(ctx, "GET", path, query, nil, out)
}

// Post is Call with POST.
func (c *Client) Post(ctx context.Context, path string, query url.Values, in, out any) error {
	return c.Call(ctx, "POST", path, query, in, out)
}

// Stream sends in as JSON and returns the answer's body as it comes. Close it.
func (c *Client) Stream(ctx context.Context, method, path string, query url.Values, in any) (*Answer, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, request{method: method, path: path, query: query, body: body})
}

// Upload sends all of data as the request's body and returns the answer's body
// as it comes. Close it.
func (c *Client) Upload(ctx context.Context, path string, query url.Values, data io.Reader) (*Answer, error) {
	return c.send(ctx, request{method: "POST", path: path, query: query, upload: data})
}

// Hijack sends in as JSON with `Upgrade: tcp` and takes the connection over.
func (c *Client) Hijack(ctx context.Context, path string, query url.Values, in any) (*Hijacked, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	r, err := c.send(ctx, request{method: "POST", path: path, query: query, body: body, upgrade: true})
	if err != nil {
		return nil, err
	}
	return &Hijacked{conn: r.conn, stop: r.stop}, nil
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	b := new(bytes.Buffer)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(in); err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return b.Bytes(), nil
}

// conn is a connection with its read buffer.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	select {
	case cn := <-c.idle:
		return cn, nil
	default:
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc, r: bufio.NewReaderSize(nc, 16<<10)}, nil
}

func (c *Client) keep(cn *conn) {
	select {
	case c.idle <- cn:
	default:
		_ = cn.Close() // nothing is in flight on it
	}
}

// send does one exchange up to the answer's header. An answer of class 4xx or
// 5xx is returned as an *Error.
func (c *Client) send(ctx context.Context, q request) (*Answer, error) {
	cn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	// Cancelling the context closes the connection: all reads and writes end.
	stop := context.AfterFunc(ctx, func() { _ = cn.Close() })
	a := &Answer{conn: cn, stop: stop, ctx: ctx, client: c}
	writeErr := q.write(cn, c.UserAgent)
	if r := (*ReadError)(nil); errors.As(writeErr, &r) {
		_ = a.Close() // the daemon must not take half of the data for all of it
		return nil, r
	}
	// The daemon may answer and close before it has read all of a body, so the
	// answer counts for more than the failed write.
	if err := a.readHeader(); err != nil {
		stop()
		_ = cn.Close()
		if writeErr != nil {
			err = writeErr
		}
		return nil, a.explain(fmt.Errorf("%s %s: %w", q.method, q.path, &LostError{err}))
	}
	if c.OnServer != nil {
		c.OnServer(a.header["server"])
	}
	if a.status >= 400 {
		defer a.Close()
		return nil, a.error(q)
	}
	if q.upgrade && a.status != 101 && a.status != 200 {
		defer a.Close()
		return nil, fmt.Errorf("%s %s: berthd answers %d and does not hand the connection over", q.method, q.path, a.status)
	}
	return a, nil
}
