package dns

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxResolvConf = 64 << 10
	maxServers    = 3 // as many as resolv.conf(5) allows
	maxAttempts   = 5
	checkEvery    = time.Second // how often the file is looked at

	// A file that was changed so shortly before it was read may have changed again
	// within the same tick of its file system's clock.
	settleAfter = 2 * time.Second
)

// hostConf is what the host's resolv.conf says. It is not changed once made.
type hostConf struct {
	servers       []netip.AddrPort
	attempts      int
	rotate        bool
	noSingleLabel bool // the host does not ask for names of one label
	generation    int  // another one for each content: what was cached before is not used
}

// resolvConf follows a resolv.conf.
type resolvConf struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	checked time.Time   // when the file was looked at
	read    time.Time   // when it was read
	info    os.FileInfo // what it was then; nil if it could not be read
	content []byte
	conf    *hostConf
}

func newResolvConf(path string, log *slog.Logger) *resolvConf {
	return &resolvConf{path: path, log: log}
}

// get returns what the file says now, or said less than a second ago.
func (r *resolvConf) get(now time.Time) *hostConf {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conf != nil && now.Sub(r.checked) < checkEvery {
		return r.conf
	}
	r.checked = now
	info, err := os.Stat(r.path)
	if err == nil && r.info != nil && os.SameFile(info, r.info) && info.Size() == r.info.Size() &&
		info.ModTime().Equal(r.info.ModTime()) && r.read.Sub(info.ModTime()) >= settleAfter {
		return r.conf
	}
	var content []byte
	if err == nil {
		content, err = readBounded(r.path)
	}
	r.read, r.info = now, info
	if err != nil {
		r.info, content = nil, nil
	}
	if r.conf != nil && bytes.Equal(content, r.content) {
		return r.conf
	}
	next := parseResolvConf(content)
	if r.conf != nil {
		next.generation = r.conf.generation + 1
	}
	if len(next.servers) == 0 && (r.conf == nil || len(r.conf.servers) > 0) {
		r.log.Warn("no name server of the host is known: containers find no names outside of their networks; add a nameserver line",
			"file", r.path, "err", err)
	}
	r.content, r.conf = content, next
	return next
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, maxResolvConf))
}

// parseResolvConf reads what is of use here: see resolv.conf(5). The option
// timeout is not: the next server is asked much sooner than a second.
func parseResolvConf(content []byte) *hostConf {
	c := &hostConf{attempts: 2}
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(line, "#")
		line, _, _ = strings.Cut(line, ";")
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
		case f[0] == "nameserver" && len(c.servers) < maxServers:
			if a, err := netip.ParseAddr(f[1]); err == nil {
				c.servers = append(c.servers, netip.AddrPortFrom(a.Unmap(), 53))
			}
		case f[0] == "options":
			c.options(f[1:])
		}
	}
	return c
}

func (c *hostConf) options(words []string) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, ":")
		switch name {
		case "attempts":
			if n, err := strconv.Atoi(value); err == nil {
				c.attempts = min(max(n, 1), maxAttempts)
			}
		case "rotate":
			c.rotate = true
		case "no-tld-query":
			c.noSingleLabel = true
		}
	}
}
