package jsonlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// DefaultMaxSize and DefaultMaxFiles bound a log to 100 MB, as Docker's
	// "local" driver does; Docker's json-file has no bound and fills disks.
	DefaultMaxSize  = 20 << 20
	DefaultMaxFiles = 5
	// maxPart is the longest piece of a line in one entry (Docker's value).
	maxPart = 16 << 10
)

// Options bound a log. A zero value means the default.
type Options struct {
	MaxSize  int64
	MaxFiles int
}

// Log is one container's log: one writer, any number of readers. Safe for
// concurrent use.
type Log struct {
	path string
	opts Options

	mu      sync.Mutex
	f       *os.File      // guarded by mu; nil until something is written
	size    int64         // guarded by mu
	gen     int           // guarded by mu; counts rotations in this process
	ended   bool          // guarded by mu: no writer now
	changed chan struct{} // guarded by mu; closed and replaced at every change
}

// New returns the log at path, of which the directory exists. Nothing is
// opened before it is needed.
func New(path string, o Options) *Log {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = DefaultMaxFiles
	}
	return &Log{path: path, opts: o, ended: true, changed: make(chan struct{})}
}

// Path is the newest file.
func (l *Log) Path() string { return l.path }

// Begin says that a run of the container begins: followers wait for more.
func (l *Log) Begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = false
}

// End closes the file; followers end when they have read everything.
func (l *Log) End() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wakeLocked()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}

func (l *Log) wakeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// file names rotation n; 0 is the newest.
func (l *Log) file(n int) string {
	if n == 0 {
		return l.path
	}
	return fmt.Sprintf("%s.%d", l.path, n)
}

// writeEntries appends whole encoded entries.
func (l *Log) writeEntries(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		if err := l.openLocked(); err != nil {
			return err
		}
	}
	if l.size > 0 && l.size+int64(len(data)) > l.opts.MaxSize {
		if err := l.rotateLocked(); err != nil {
			return err
		}
	}
	n, err := l.f.Write(data)
	l.size += int64(n)
	l.wakeLocked()
	if err != nil { // an entry may be cut: openLocked mends that
		err = errors.Join(err, l.f.Close())
		l.f = nil
	}
	return err
}

func (l *Log) openLocked() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, err := mend(f)
	if err != nil {
		return errors.Join(fmt.Errorf("open log %s: %w", l.path, err), f.Close())
	}
	l.f, l.size = f, size
	return nil
}

// mend ends an entry that a crash or a full disk has cut, so that only that
// one is lost, and returns the size.
func mend(f *os.File) (int64, error) {
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 {
		return 0, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], fi.Size()-1); err != nil || last[0] == '\n' {
		return fi.Size(), err
	}
	_, err = f.Write([]byte("\n"))
	return fi.Size() + 1, err
}

func (l *Log) rotateLocked() error {
	err := l.f.Close()
	l.f = nil
	if l.opts.MaxFiles == 1 {
		err = errors.Join(err, os.Remove(l.path))
	}
	for n := l.opts.MaxFiles - 2; n >= 0; n-- {
		if e := os.Rename(l.file(n), l.file(n+1)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	l.gen++
	return l.openLocked()
}

// Stream returns a writer for one stream, "stdout" or "stderr". It is for one
// goroutine.
func (l *Log) Stream(name string) *Stream { return &Stream{log: l, name: name} }

// Stream cuts what is written into lines and appends them to the log.
type Stream struct {
	log  *Log
	name string
	part []byte // an unfinished line
	buf  []byte // encoded entries, reused
}

// Write appends the finished lines of p.
func (s *Stream) Write(p []byte) (int, error) {
	now := time.Now().UTC()
	s.buf = s.buf[:0]
	for rest := p; len(rest) > 0; {
		n := lineLen(rest, maxPart-len(s.part))
		s.part = append(s.part, rest[:n]...)
		rest = rest[n:]
		if len(s.part) == maxPart || s.part[len(s.part)-1] == '\n' {
			s.buf = appendEntry(s.buf, s.part, s.name, now)
			s.part = s.part[:0]
		}
	}
	if len(s.buf) == 0 {
		return len(p), nil
	}
	if err := s.log.writeEntries(s.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush stores an unfinished line; call it when the stream has ended.
func (s *Stream) Flush() error {
	if len(s.part) == 0 {
		return nil
	}
	s.buf = appendEntry(s.buf[:0], s.part, s.name, time.Now().UTC())
	s.part = s.part[:0]
	return s.log.writeEntries(s.buf)
}

// lineLen is the length of the first line of p with its "\n", at most limit.
func lineLen(p []byte, limit int) int {
	p = p[:min(len(p), limit)]
	for i, b := range p {
		if b == '\n' {
			return i + 1
		}
	}
	return len(p)
}
