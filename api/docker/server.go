package docker

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"berth/internal/linux"
)

const (
	// APIVersion is the newest version of the API that is served.
	APIVersion = "1.51"
	// MinAPIVersion is the oldest.
	MinAPIVersion = "1.40"
)

// Server answers requests. Make it with New.
type Server struct {
	// Version is told in each answer's header, so that a command line of another
	// build can say so.
	Version string

	backend Backend
	log     *slog.Logger
	routes  []route
}

// New returns the API of a backend.
func New(b Backend, log *slog.Logger) *Server {
	s := &Server{backend: b, log: log}
	s.routes = s.table()
	return s
}

// HTTP returns the HTTP server to serve listeners with.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// ServeHTTP finds the route and turns errors into answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "berth/"+s.Version)
	w.Header().Set("Api-Version", APIVersion)
	w.Header().Set("Ostype", "linux")
	if err := s.route(w, r); err != nil {
		s.writeError(w, r, err)
	}
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) error {
	// A proxy's form of the URL (http://host/path) could be read in two ways.
	if r.URL.IsAbs() || r.URL.Host != "" {
		return invalid("the request's URL must be a path")
	}
	p, err := unversioned(r.URL.Path)
	if err != nil {
		return err
	}
	h, v, known := find(s.routes, r.Method, p)
	if h != nil {
		return h(w, r, v)
	}
	status := http.StatusNotFound
	if known {
		status = http.StatusMethodNotAllowed
	}
	return encode(w, status, errorBody{Message: "berth does not serve " + r.Method + " " + strconv.QuoteToASCII(clip(p))})
}

func clip(s string) string { return s[:min(len(s), 200)] }

// unversioned takes the prefix /vX.YY off and checks it.
func unversioned(p string) (string, error) {
	rest, ok := strings.CutPrefix(p, "/v")
	if !ok {
		return p, nil
	}
	version, rest, _ := strings.Cut(rest, "/")
	major, minor, ok := strings.Cut(version, ".")
	x, errX := strconv.ParseUint(major, 10, 16)
	y, errY := strconv.ParseUint(minor, 10, 16)
	if !ok || errX != nil || errY != nil {
		return p, nil // /version
	}
	oldest, newest := minorOf(MinAPIVersion), minorOf(APIVersion)
	switch {
	case x != 1 || y > newest:
		return "", invalid("client version %s is too new. Maximum supported API version is %s", version, APIVersion)
	case y < oldest:
		return "", invalid("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", version, MinAPIVersion)
	}
	return "/" + rest, nil
}

func minorOf(version string) uint64 {
	_, minor, _ := strings.Cut(version, ".")
	n, err := strconv.ParseUint(minor, 10, 16)
	if err != nil {
		panic("constant version " + version) // cannot happen
	}
	return n
}

// Guard wraps a unix listener: a connection of a user who is neither root nor
// the daemon's own is closed before a byte of it is read. The socket's mode says
// the same; this holds also when somebody changes the mode.
func Guard(l *net.UnixListener, log *slog.Logger) net.Listener { return &guard{l, log} }

type guard struct {
	*net.UnixListener
	log *slog.Logger
}

// Accept returns the next connection of a user who may connect.
func (g *guard) Accept() (net.Conn, error) {
	for {
		c, err := g.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := linux.PeerUID(c)
		if err == nil && (uid == 0 || int(uid) == os.Geteuid()) {
			return c, nil
		}
		g.log.Warn("connection refused", "uid", uid, "error", errors.Join(err, c.Close()))
	}
}
