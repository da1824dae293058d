package command

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"berth/internal/jsonscan"
)

// Log writes messages the way runc's callers read them: containerd and Podman
// take the last line of level error from a file of JSON lines. Without a file
// they go to standard error; with one, errors go there too, as plain text.
type Log struct {
	// Debug: messages of level debug are written.
	Debug bool
	// JSON: lines are JSON documents; else as logrus writes text.
	JSON bool
	// Now is the clock.
	Now func() time.Time

	stderr io.Writer
	file   *os.File
}

// NewLog returns a log to standard error.
func NewLog(stderr io.Writer) *Log { return &Log{Now: time.Now, stderr: stderr} }

// Open appends further messages to the file at path.
func (l *Log) Open(path string) (err error) {
	l.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // its reader may be another user, as with runc
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	return nil
}

// Close ends the log.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Error writes what ends the command.
func (l *Log) Error(err error) {
	text := oneLine(err.Error())
	l.write("error", text)
	if l.file != nil {
		fmt.Fprintf(l.stderr, "%s: %s\n", Program, text)
	}
}

// Warn writes what the user should know and what ends nothing.
func (l *Log) Warn(text string) { l.write("warning", oneLine(text)) }

// Debugf writes what helps to find a mistake, if that is asked for.
func (l *Log) Debugf(format string, args ...any) {
	if l.Debug {
		l.write("debug", oneLine(fmt.Sprintf(format, args...)))
	}
}

// oneLine makes one line of the text: its readers take lines.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

func (l *Log) write(level, text string) {
	switch {
	case l.JSON:
		l.put(l.json(level, text))
	case l.file != nil:
		l.put(fmt.Sprintf("time=%q level=%s msg=%s\n", l.Now().Format(time.RFC3339), level, quoted(text)))
	case level == "error":
		l.put(Program + ": " + text + "\n")
	default:
		l.put(Program + ": " + level + ": " + text + "\n")
	}
}

// put writes a line in one write(2): others may append to the same file. There
// is nowhere to report that it failed.
func (l *Log) put(line string) {
	if l.file != nil {
		_, _ = l.file.WriteString(line)
		return
	}
	_, _ = io.WriteString(l.stderr, line)
}

func (l *Log) json(level, text string) string {
	var w jsonscan.Writer
	w.Begin('{')
	for _, m := range []struct{ name, value string }{{"level", level}, {"msg", text}, {"time", l.Now().Format(time.RFC3339)}} {
		w.Name(m.name)
		w.Text(m.value)
	}
	w.End('}')
	return string(w.Bytes()) + "\n"
}

// quoted is logrus's rule for when a text stands in quotes.
func quoted(s string) string {
	for _, c := range s {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._/@^+", c)
		if !plain {
			return strconv.Quote(s)
		}
	}
	return s
}
