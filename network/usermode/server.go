package usermode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxRequests bounds how many requests and open ports there are at a time.
const maxRequests = 1 << 16

// Config is what the outside needs.
type Config struct {
	// Used are the host's subnets.
	Used []netip.Prefix
	// ResolvConf is the host's, whose name servers the gateway stands for.
	ResolvConf string
	// ByWhom says " by NAME" of who has a port that is in use, for an error's text.
	ByWhom func(protocol string, port uint16) string
	Log    *slog.Logger
}

// Server is the outside.
type Server struct {
	Config
	conn *net.UnixConn
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu   sync.Mutex
	side *side // guarded by mu; nil until the inside has handed its device out
}

// Serve answers the inside at a socket, which is the server's from now on.
func Serve(socket *os.File, c Config) (*Server, error) {
	conn, err := connOf(socket)
	if err != nil {
		return nil, fmt.Errorf("connect to berthd inside: %w", err)
	}
	s := &Server{Config: c, conn: conn}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(s.run)
	return s, nil
}

// Close closes all ports and connections.
func (s *Server) Close() {
	s.stop()
	_ = s.conn.Close() // nothing is written any more
	s.mu.Lock()
	side := s.side
	s.mu.Unlock()
	if side != nil {
		side.close()
	}
	s.work.Wait()
}

func (s *Server) run() {
	places := make(chan struct{}, maxRequests)
	for {
		var r request
		files, err := receive(s.conn, &r)
		var broken *net.OpError
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
			return
		case errors.As(err, &broken):
			s.Log.Error("read a request of berthd inside", "error", err)
			return
		case err != nil: // it makes no sense, and the next may
			s.Log.Error("a request of berthd inside", "error", err)
			continue
		}
		if len(files) == 0 || !enter(places) {
			_ = closeAll(files) // which the inside sees
			continue
		}
		s.work.Go(func() {
			defer func() { <-places }()
			s.answer(r, files)
		})
	}
}

// answer does what is asked. The first file is where the answer goes to.
func (s *Server) answer(r request, files []*os.File) {
	reply, err := connOf(files[0])
	files = files[1:]
	if err != nil {
		_ = closeAll(files) // nobody waits
		return
	}
	defer reply.Close()
	stop := context.AfterFunc(s.ctx, func() { _ = reply.Close() })
	defer stop()
	switch {
	case r.Verb == verbLink && len(files) == 1:
		a, err := s.start(files[0])
		s.reply(reply, a, err)
	case len(files) > 0:
		_ = closeAll(files) // it has no files
	case r.Verb == verbDial:
		s.dial(r, reply)
	case r.Verb == verbOpen:
		s.open(r, reply)
	}
}

func (s *Server) reply(to *net.UnixConn, a answer, err error, files ...*os.File) {
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			a.Errno = errno
		}
		a.Error = err.Error()
	}
	if err := send(to, a, files...); err != nil && s.ctx.Err() == nil {
		s.Log.Debug("answer berthd inside", "error", err) // it does not wait any more
	}
}

func (s *Server) start(device *os.File) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.side != nil || s.ctx.Err() != nil {
		return answer{}, errors.Join(errors.New("there is a device already"), device.Close())
	}
	plan, err := NewPlan(s.Used)
	if err != nil {
		return answer{}, errors.Join(err, device.Close())
	}
	side, err := newSide(s.ctx, device, plan, s.ResolvConf, s.Log)
	if err != nil {
		return answer{}, err
	}
	s.side = side
	// What is beyond the largest message is left out: it only guides a choice.
	return answer{Plan: plan, Used: s.Used[:min(len(s.Used), maxUsed)]}, nil
}

// maxUsed is how many subnets fit a message.
const maxUsed = 1000

func (s *Server) dial(r request, reply *net.UnixConn) {
	ctx, stop := context.WithTimeout(s.ctx, dialLimit)
	defer stop()
	// The inside closes its end when it does not wait any more.
	var watching sync.WaitGroup
	watching.Go(func() {
		_, _ = reply.Read(make([]byte, 1))
		stop()
	})
	defer func() {
		_ = reply.SetReadDeadline(time.Unix(1, 0))
		watching.Wait()
	}()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", r.Address)
	if err != nil {
		s.reply(reply, answer{}, err)
		return
	}
	defer c.Close()                   // the inside has a copy
	f, err := c.(*net.TCPConn).File() //nolint:errcheck // "tcp" is nothing else
	if err != nil {
		s.reply(reply, answer{}, err)
		return
	}
	s.reply(reply, answer{}, nil, f)
	_ = f.Close() // the inside has a copy
}

// open opens a port, and keeps it open until the inside closes its end.
func (s *Server) open(r request, reply *net.UnixConn) {
	s.mu.Lock()
	side := s.side
	s.mu.Unlock()
	var (
		closer interface{ Close() error }
		port   uint16
		serve  func()
		err    error
	)
	switch {
	case side == nil || !side.plan.isInside(r.Arrives.Addr()) || !r.At.IsValid() || r.At.Addr().Is4() != r.Arrives.Addr().Is4():
		err = fmt.Errorf("open port %s: %w", r.At, syscall.EINVAL)
	case r.Protocol == "tcp":
		closer, port, serve, err = side.listen(s.ctx, r)
	case r.Protocol == "udp":
		closer, port, serve, err = side.listenPacket(s.ctx, r)
	default:
		err = fmt.Errorf("publish a port of %.20s: only those of tcp and udp are possible for an ordinary user: %w", r.Protocol, syscall.EPROTONOSUPPORT)
	}
	if err != nil {
		a := answer{}
		if errors.Is(err, syscall.EADDRINUSE) && s.ByWhom != nil {
			a.By = s.ByWhom(r.Protocol, r.At.Port())
		}
		s.reply(reply, a, err)
		return
	}
	var serving sync.WaitGroup
	serving.Go(serve)
	s.reply(reply, answer{Port: port}, nil)
	_, _ = reply.Read(make([]byte, 1)) // ends when the inside closes it, or with us
	_ = closer.Close()                 // the port is free again
	serving.Wait()
}

// listen opens a port of TCP.
func (s *side) listen(ctx context.Context, r request) (interface{ Close() error }, uint16, func(), error) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, family("tcp", r.At), r.At.String())
	if err != nil {
		return nil, 0, nil, err
	}
	tcp := l.(*net.TCPListener) //nolint:errcheck // "tcp" is nothing else
	port := clientOf(l.Addr()).Port()
	arrives := netip.AddrPortFrom(r.Arrives.Addr(), port)
	return l, port, func() { s.accept(tcp, arrives) }, nil
}

// acceptPause is waited for when there is no file left for a connection.
const acceptPause = 50 * time.Millisecond

func (s *side) accept(l *net.TCPListener, arrives netip.AddrPort) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
			return
		}
		if err != nil {
			select {
			case <-time.After(acceptPause):
			case <-s.ctx.Done():
			}
			continue
		}
		s.working.Go(func() { s.serve(c, arrives) })
	}
}

// listenPacket opens a port of UDP.
func (s *side) listenPacket(ctx context.Context, r request) (interface{ Close() error }, uint16, func(), error) {
	lc := net.ListenConfig{}
	l, err := lc.ListenPacket(ctx, family("udp", r.At), r.At.String())
	if err != nil {
		return nil, 0, nil, err
	}
	udp := l.(*net.UDPConn) //nolint:errcheck // "udp" is nothing else
	port := clientOf(l.LocalAddr()).Port()
	arrives := netip.AddrPortFrom(r.Arrives.Addr(), port)
	return l, port, func() { s.serveDatagrams(udp, arrives) }, nil
}

func family(protocol string, at netip.AddrPort) string {
	if at.Addr().Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}
