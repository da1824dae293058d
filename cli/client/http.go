package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// maxHeader bounds an answer's status line and header fields together.
const maxHeader = 64 << 10

// request is one HTTP request. Only one of body and upload is set.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	upload       io.Reader
	upgrade      bool
}

func (q *request) write(w io.Writer, userAgent string) error {
	var b []byte
	b = append(b, q.method...)
	b = append(b, ' ')
	b = append(b, (&url.URL{Path: q.path}).EscapedPath()...)
	if len(q.query) > 0 {
		b = append(b, '?')
		b = append(b, q.query.Encode()...)
	}
	b = append(b, " HTTP/1.1\r\nHost: berth\r\nUser-Agent: "...)
	b = append(b, userAgent...)
	b = append(b, "\r\n"...)
	if q.upgrade {
		b = append(b, "Connection: Upgrade\r\nUpgrade: tcp\r\n"...)
	}
	switch {
	case q.upload != nil:
		b = append(b, "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"...)
	case q.body != nil:
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(q.body)), 10)
		b = append(b, "\r\n\r\n"...)
		b = append(b, q.body...)
	case q.method == "POST":
		b = append(b, "Content-Length: 0\r\n\r\n"...)
	default:
		b = append(b, "\r\n"...)
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if q.upload == nil {
		return nil
	}
	return writeChunks(w, q.upload)
}

// writeChunks sends all of r in HTTP's chunked coding (RFC 9112, 7.1).
func writeChunks(w io.Writer, r io.Reader) error {
	const room = 10 // for the length in hexadecimal and its line end
	buf := make([]byte, room+256<<10+2)
	for {
		n, err := r.Read(buf[room : len(buf)-2])
		if n > 0 {
			head := strconv.AppendInt(nil, int64(n), 16)
			head = append(head, '\r', '\n')
			start := room - len(head)
			copy(buf[start:], head)
			copy(buf[room+n:], "\r\n")
			if _, err := w.Write(buf[start : room+n+2]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			_, err := io.WriteString(w, "0\r\n\r\n")
			return err
		}
		if err != nil {
			return &ReadError{err}
		}
	}
}

// Answer is an HTTP answer whose body is read as it comes.
type Answer struct {
	*conn
	client *Client
	ctx    context.Context // of the exchange that this answer belongs to
	stop   func() bool
	status int
	header map[string]string // keys in lower case
	body   io.Reader
}

// Header is the value of a header field, or, when the body was read to its end, of one that
// followed it; the name is in lower case.
func (a *Answer) Header(name string) string { return a.header[name] }

// CloseWrite tells the daemon that the client wants no more; what it has to say still comes.
func (a *Answer) CloseWrite() error {
	a.header["connection"] = "close" // it serves no other request
	if u, ok := a.Conn.(*net.UnixConn); ok {
		return u.CloseWrite()
	}
	return nil
}

// Read reads the body.
func (a *Answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = a.explain(&LostError{err})
	}
	return n, err
}

// Decode reads the whole body and decodes it into out. A *[]byte gets it as it
// is; nil drops it.
func (a *Answer) Decode(out any) error {
	data, err := io.ReadAll(io.LimitReader(a, maxAnswer+1))
	if err != nil {
		return a.explain(fmt.Errorf("read the answer of berthd: %w", err))
	}
	if len(data) == 0 && out != nil {
		return &LostError{io.ErrUnexpectedEOF} // a daemon that stops ends its answers
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("read the answer of berthd: it is longer than %d bytes", maxAnswer)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = data
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("decode the answer of berthd: %w", err)
	}
	return nil
}

// Close ends the exchange. The connection is kept if the body was read to its end.
func (a *Answer) Close() error {
	if !a.stop() {
		return nil // the context closed the connection
	}
	if b, ok := a.body.(interface{ ended() bool }); ok && b.ended() && a.header["connection"] != "close" {
		a.client.keep(a.conn)
		return nil
	}
	return a.conn.Close()
}

// explain puts the context's cause in place of the error that closing the
// connection made.
func (a *Answer) explain(err error) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	return err
}

func (a *Answer) readHeader() error {
	left := maxHeader
	line, err := readLine(a.r, &left)
	if err != nil {
		return err
	}
	proto, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	a.status, err = strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(proto, "HTTP/1.") || a.status < 100 || a.status > 599 {
		return fmt.Errorf("%q is no HTTP answer", line)
	}
	a.header = make(map[string]string)
	for {
		line, err := readLine(a.r, &left)
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("%q is no HTTP header field", line)
		}
		a.header[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	return a.setBody()
}

func (a *Answer) setBody() error {
	switch {
	case a.status == 101:
		a.body = a.r
	case a.status == 204 || a.status == 304:
		a.body = &sized{r: a.r}
	case a.header["transfer-encoding"] == "chunked":
		a.body = &chunked{r: a.r, trailer: a.header}
	case a.header["content-length"] != "":
		n, err := strconv.ParseInt(a.header["content-length"], 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no length of an HTTP answer", a.header["content-length"])
		}
		a.body = &sized{r: a.r, left: n}
	default:
		a.body = a.r
	}
	return nil
}

func readLine(r *bufio.Reader, left *int) (string, error) {
	line, err := r.ReadSlice('\n')
	*left -= len(line)
	if errors.Is(err, bufio.ErrBufferFull) || *left < 0 {
		return "", errors.New("the HTTP header is too long")
	}
	if errors.Is(err, io.EOF) {
		return "", io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// sized is a body of known length.
type sized struct {
	r    io.Reader
	left int64
}

func (s *sized) ended() bool { return s.left == 0 }

func (s *sized) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	s.left -= int64(n)
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// chunked is a body in HTTP's chunked coding (RFC 9112, 7.1).
type chunked struct {
	r    *bufio.Reader
	left int64 // of the chunk that is being read
	any  bool  // a chunk was read, so its line end comes before the next length
	done bool
	// trailer gets the fields that follow the body.
	trailer map[string]string
}

func (c *chunked) ended() bool { return c.done }

func (c *chunked) Read(p []byte) (int, error) {
	if c.done {
		return 0, io.EOF
	}
	if c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
		if c.done {
			return 0, io.EOF
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads the length of the next chunk, and the trailer after the last.
func (c *chunked) next() error {
	left := maxHeader
	if c.any {
		if line, err := readLine(c.r, &left); err != nil || line != "" {
			return errors.Join(errors.New("an HTTP chunk does not end where its length says"), err)
		}
	}
	c.any = true
	line, err := readLine(c.r, &left)
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 63)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no length of an HTTP chunk", line)
	}
	c.left = n
	if n > 0 {
		return nil
	}
	for {
		line, err := readLine(c.r, &left)
		if err != nil {
			return err
		}
		if line == "" {
			c.done = true
			return nil
		}
		if name, value, ok := strings.Cut(line, ":"); ok && c.trailer != nil {
			c.trailer[strings.ToLower(name)] = strings.TrimSpace(value)
		}
	}
}

// Hijacked is a connection that was taken over: bytes in both directions.
type Hijacked struct {
	*conn
	stop func() bool
}

// Read reads output, first what came with the answer's header.
func (h *Hijacked) Read(p []byte) (int, error) { return h.r.Read(p) }

// CloseWrite tells the daemon that no more input comes; output goes on.
func (h *Hijacked) CloseWrite() error {
	if u, ok := h.Conn.(*net.UnixConn); ok {
		return u.CloseWrite()
	}
	return nil
}

// Close closes the connection.
func (h *Hijacked) Close() error {
	h.stop()
	return h.conn.Close()
}
