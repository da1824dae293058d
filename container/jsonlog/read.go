package jsonlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxEntry bounds one stored entry: a part of maxPart bytes, each at most six
// characters, and the rest.
const maxEntry = 6*maxPart + 256

// Query selects entries.
type Query struct {
	// Tail is the number of last entries; negative means all.
	Tail int
	// Since and Until bound the time, if not zero.
	Since, Until time.Time
	// Stdout and Stderr select streams.
	Stdout, Stderr bool
	// Follow waits for new entries until the container's run ends.
	Follow bool
}

// Read calls emit for each selected entry, oldest first. It returns when all
// are emitted (with Follow: when the run has ended), emit fails or ctx ends.
// An entry that a crash has cut is passed over.
func (l *Log) Read(ctx context.Context, q Query, emit func(Entry) error) error {
	r := &reader{log: l, query: q, emit: emit}
	defer r.close()
	if err := r.open(); err != nil {
		return err
	}
	skip, err := r.skipForTail()
	if err != nil {
		return err
	}
	r.skip = skip
	return r.run(ctx)
}

// reader walks the files of a log, oldest first.
type reader struct {
	log   *Log
	query Query
	emit  func(Entry) error
	files []*os.File // not yet read, oldest first; the last is of generation gen
	gen   int
	skip  int // selected entries still to pass over
}

func (r *reader) close() {
	for _, f := range r.files {
		_ = f.Close() // only read
	}
}

// open opens all files of now, so that a later rotation takes nothing away.
func (r *reader) open() error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.gen = r.log.gen
	for n := r.log.opts.MaxFiles - 1; n >= 0; n-- {
		f, err := os.Open(r.log.file(n))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		r.files = append(r.files, f)
	}
	return nil
}

// selects says whether the query wants e; time is checked apart from streams
// because Tail counts only what Since leaves.
func (q *Query) selects(e *Entry) bool {
	return (e.Stream == "stdout" && q.Stdout || e.Stream == "stderr" && q.Stderr) &&
		!e.Time.Before(q.Since) && (q.Until.IsZero() || !e.Time.After(q.Until))
}

// skipForTail counts the selected entries of now and returns how many to skip.
func (r *reader) skipForTail() (int, error) {
	if r.query.Tail < 0 {
		return 0, nil
	}
	total := 0
	for _, f := range r.files {
		_, err := scan(f, func(line []byte) error {
			if e, ok := parseEntry(line); ok && r.query.selects(&e) {
				total++
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	}
	return max(0, total-r.query.Tail), nil
}

// scan calls line for each whole line and returns the length of the rest.
func scan(f *os.File, line func([]byte) error) (rest int, err error) {
	b := bufio.NewReaderSize(f, maxEntry)
	for {
		s, err := b.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return len(s), nil
		}
		if errors.Is(err, bufio.ErrBufferFull) { // no entry of ours: pass over it
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		if s = bytes.TrimSpace(s); len(s) == 0 {
			continue
		}
		if err := line(s); err != nil {
			return 0, fmt.Errorf("read %s: %w", f.Name(), err)
		}
	}
}

var errUntil = errors.New("past the end of the query")

func (r *reader) one(line []byte) error {
	e, ok := parseEntry(line)
	if !ok {
		return nil
	}
	if !r.query.Until.IsZero() && e.Time.After(r.query.Until) {
		return errUntil
	}
	if !r.query.selects(&e) {
		return nil
	}
	if r.skip > 0 {
		r.skip--
		return nil
	}
	return r.emit(e)
}

func (r *reader) run(ctx context.Context) error {
	for {
		// Taken before reading, so that no change falls between both.
		r.log.mu.Lock()
		gen, ended, changed := r.log.gen, r.log.ended, r.log.changed
		r.log.mu.Unlock()
		if err := r.drain(ctx); err != nil {
			if errors.Is(err, errUntil) {
				return nil
			}
			return err
		}
		if r.gen < gen || len(r.files) == 0 {
			more, err := r.openNext()
			if err != nil {
				return err
			}
			if more {
				continue
			}
		}
		if ended || !r.query.Follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// drain reads all files to their ends; the last stays open.
func (r *reader) drain(ctx context.Context) error {
	for len(r.files) > 0 {
		f := r.files[0]
		rest, err := scan(f, func(line []byte) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return r.one(line)
		})
		if err != nil {
			return err
		}
		if len(r.files) == 1 {
			_, err := f.Seek(int64(-rest), io.SeekCurrent)
			return err
		}
		_ = f.Close() // only read
		r.files = r.files[1:]
	}
	return nil
}

// openNext opens the file that followed the last one read. Files that were
// rotated away while the reader was slower than the writer are lost to it.
func (r *reader) openNext() (bool, error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	n := 0
	if len(r.files) > 0 {
		n = min(r.log.gen-r.gen-1, r.log.opts.MaxFiles-1)
		// A file ends only once: what was written to it before the rotation
		// but after it was read is still there, so read it again to its end.
		if rest, err := atEnd(r.files[0]); err != nil || !rest {
			return !rest, err
		}
	}
	f, err := os.Open(r.log.file(n))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.close()
	r.files, r.gen = []*os.File{f}, r.log.gen-n
	return true, nil
}

func atEnd(f *os.File) (bool, error) {
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	pos, err := f.Seek(0, io.SeekCurrent)
	return pos >= fi.Size(), err
}
