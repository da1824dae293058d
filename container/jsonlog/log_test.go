package jsonlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var all = Query{Tail: -1, Stdout: true, Stderr: true}

func read(t *testing.T, l *Log, q Query) string {
	t.Helper()
	var b strings.Builder
	if err := l.Read(context.Background(), q, func(e Entry) error {
		b.WriteString(e.Log)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func write(t *testing.T, s *Stream, text string) {
	t.Helper()
	if _, err := s.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestLinesAndParts(t *testing.T) {
	l := New(filepath.Join(t.TempDir(), "c-json.log"), Options{})
	l.Begin()
	out, errs := l.Stream("stdout"), l.Stream("stderr")
	write(t, out, "one\ntw")
	write(t, errs, "E\n")
	write(t, out, "o\n")
	long := strings.Repeat("x", maxPart+5) + "\n"
	write(t, out, long)
	write(t, out, "no newline")
	if err := errors.Join(out.Flush(), l.End()); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, l, all), "one\nE\ntwo\n"+long+"no newline"; got != want {
		t.Errorf("got %.60q, want %.60q", got, want)
	}
	q := all
	q.Stdout = false
	if got := read(t, l, q); got != "E\n" {
		t.Errorf("stderr: %q", got)
	}
	q = all
	q.Tail = 1
	if got := read(t, l, q); got != "no newline" {
		t.Errorf("tail 1: %q", got)
	}
	q.Tail = 0
	if got := read(t, l, q); got != "" {
		t.Errorf("tail 0: %q", got)
	}
	q = all
	q.Since = time.Now().Add(time.Hour)
	if got := read(t, l, q); got != "" {
		t.Errorf("since the future: %q", got)
	}
	q = all
	q.Until = time.Now().Add(-time.Hour)
	if got := read(t, l, q); got != "" {
		t.Errorf("until the past: %q", got)
	}
	data, err := os.ReadFile(l.Path())
	if err != nil || !strings.HasPrefix(string(data), `{"log":"one\n","stream":"stdout","time":"20`) {
		t.Errorf("format: %.80s, %v", data, err)
	}
}

func TestRotationIsBounded(t *testing.T) {
	dir := t.TempDir()
	l := New(filepath.Join(dir, "log"), Options{MaxSize: 1000, MaxFiles: 3})
	l.Begin()
	s := l.Stream("stdout")
	for i := range 200 {
		write(t, s, fmt.Sprintf("line %d\n", i))
	}
	if err := l.End(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("files: %v, %v", entries, err)
	}
	for _, e := range entries {
		if fi, err := e.Info(); err != nil || fi.Size() > 1000 {
			t.Errorf("%s: %d bytes, %v", e.Name(), fi.Size(), err)
		}
	}
	got := strings.Split(strings.TrimSpace(read(t, l, all)), "\n")
	if n := len(got); n < 20 || n > 50 || got[n-1] != "line 199" || got[0] != fmt.Sprintf("line %d", 200-n) {
		t.Errorf("%d lines kept, first %q, last %q", n, got[0], got[n-1])
	}
}

func TestFollowAcrossRotations(t *testing.T) {
	l := New(filepath.Join(t.TempDir(), "log"), Options{MaxSize: 500, MaxFiles: 100})
	l.Begin()
	s := l.Stream("stdout")
	write(t, s, "line 0\n")
	got, done := make(chan string, 1000), make(chan error, 1)
	q := all
	q.Follow = true
	go func() {
		done <- l.Read(context.Background(), q, func(e Entry) error { got <- e.Log; return nil })
		close(got)
	}()
	if first := <-got; first != "line 0\n" {
		t.Fatalf("first: %q", first)
	}
	for i := 1; i < 300; i++ {
		write(t, s, fmt.Sprintf("line %d\n", i))
	}
	if err := errors.Join(s.Flush(), l.End()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	i := 1
	for line := range got {
		if want := fmt.Sprintf("line %d\n", i); line != want {
			t.Fatalf("got %q, want %q", line, want)
		}
		i++
	}
	if i != 300 {
		t.Errorf("followed %d lines of 300", i)
	}
}

func TestCutEntryIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(`{"log":"lo`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := New(path, Options{})
	l.Begin()
	write(t, l.Stream("stdout"), "after\n")
	if err := l.End(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, l, all); got != "after\n" {
		t.Errorf("got %q", got)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("plain\n"))
	f.Add([]byte("\x00\x1b[31m\"\\\r\t\xff\xc3é "))
	f.Fuzz(func(t *testing.T, line []byte) {
		at := time.Unix(1, 2).UTC()
		data := appendEntry(nil, line, "stderr", at)
		e, ok := parseEntry(data)
		if !ok {
			t.Fatalf("%q encodes to %q, which does not parse", line, data)
		}
		if utf8.Valid(line) && e.Log != string(line) || e.Stream != "stderr" || !e.Time.Equal(at) {
			t.Errorf("%q came back as %+v", line, e)
		}
	})
}

func TestParseOptions(t *testing.T) {
	tests := []struct {
		driver  string
		options map[string]string
		want    Options
		ok      bool
	}{
		{"", nil, Options{}, true},
		{"none", nil, Options{}, true},
		{"json-file", map[string]string{"max-size": "10m", "max-file": "3"}, Options{10 << 20, 3}, true},
		{"syslog", nil, Options{}, false},
		{"json-file", map[string]string{"max-size": "1k"}, Options{}, false},
		{"json-file", map[string]string{"max-size": "big"}, Options{}, false},
		{"json-file", map[string]string{"max-file": "0"}, Options{}, false},
		{"json-file", map[string]string{"labels": "x"}, Options{}, false},
	}
	for _, tt := range tests {
		got, err := ParseOptions(tt.driver, tt.options)
		if got != tt.want && tt.ok || (err == nil) != tt.ok {
			t.Errorf("%s %v: %+v, %v", tt.driver, tt.options, got, err)
		}
	}
}
