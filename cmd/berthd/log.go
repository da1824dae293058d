package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

// maxLog bounds the log file; one older file of that size is kept. A daemon
// that was started on demand logs below /run, which is memory.
const maxLog = 8 << 20

// openLog returns the daemon's log and what closes it.
func openLog(o options, stderr io.Writer) (*slog.Logger, func() error, error) {
	level := slog.LevelInfo
	if o.debug {
		level = slog.LevelDebug
	}
	out, end := stderr, func() error { return nil }
	if o.logFile != "" {
		f := &logFile{path: o.logFile, limit: maxLog}
		if err := f.open(); err != nil {
			return nil, nil, fmt.Errorf("open log: %w", err)
		}
		out, end = f, f.Close
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})), end, nil
}

// logFile is a file that is renamed to PATH.1 when it has reached its limit.
type logFile struct {
	path  string
	limit int64

	mu   sync.Mutex
	f    *os.File // guarded by mu
	size int64    // guarded by mu
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close() // nothing was written
		return err
	}
	l.f, l.size = f, fi.Size()
	return nil
}

// Write appends one entry.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(p)) > l.limit {
		// A log that cannot be turned goes on: it must not be lost for that.
		if os.Rename(l.path, l.path+".1") == nil {
			old := l.f
			if err := l.open(); err != nil {
				return 0, err
			}
			_ = old.Close() // its entries were written
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
