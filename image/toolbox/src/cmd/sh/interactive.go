package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// errInterrupt is Ctrl-C while a line is typed.
var errInterrupt = errors.New("interrupted")

// keyboard hands the terminal's bytes on until a Ctrl-C, which it makes an
// error: the line editor alone would take it for the end of input.
type keyboard struct {
	*os.File
	pending []byte
}

func (k *keyboard) Read(p []byte) (int, error) {
	if len(k.pending) == 0 {
		b := make([]byte, len(p))
		n, err := k.File.Read(b)
		if err != nil {
			return n, err
		}
		k.pending = b[:n]
	}
	for i, c := range k.pending {
		if c == 3 {
			k.pending = k.pending[i+1:]
			return 0, errInterrupt
		}
		if i == len(p) {
			break
		}
	}
	n := copy(p, k.pending)
	k.pending = k.pending[n:]
	return n, nil
}

// reader reads the user's lines. On a terminal it edits them; without one
// (sh -i < file) it only prompts.
type reader struct {
	keys   *keyboard
	editor *term.Terminal
	saved  *term.State // nil: not a terminal
}

func newReader() *reader {
	r := &reader{keys: &keyboard{File: os.Stdin}}
	r.saved, _ = term.GetState(0) // an error means that it is no terminal
	r.reset(nil)
	return r
}

func (r *reader) reset(history term.History) {
	r.editor = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{r.keys, os.Stdout}, "")
	if history != nil {
		r.editor.History = history
	}
	r.editor.AutoCompleteCallback = complete
}

// line reads one line. The terminal is in raw mode only meanwhile, so that
// commands find it as the user left it.
func (r *reader) line(prompt string) (string, error) {
	if r.saved != nil {
		if _, err := term.MakeRaw(0); err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(0, r.saved) }() // a terminal that is gone needs none
		if w, h, err := term.GetSize(0); err == nil && w > 0 && h > 0 {
			_ = r.editor.SetSize(w, h) // wrong wrapping is the worst that happens
		}
	}
	r.editor.SetPrompt(prompt)
	s, err := r.editor.ReadLine()
	if errors.Is(err, errInterrupt) {
		r.reset(r.editor.History)
		fmt.Fprint(os.Stdout, "^C\r\n")
	}
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return s, err
}

// interact runs what the user types until exit or the end of input.
func interact(r *interp.Runner) error {
	// Without job control a stopped command could never go on.
	signal.Ignore(syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGQUIT)
	in := newReader()
	status := error(nil)
	source := ""
	for {
		p := prompt(r)
		if source != "" {
			p = "> "
		}
		s, err := in.line(p)
		switch {
		case errors.Is(err, errInterrupt):
			source = ""
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(os.Stdout, "exit")
			return status
		case err != nil:
			return err
		}
		source += s + "\n"
		prog, err := syntax.NewParser().Parse(strings.NewReader(source), "")
		if syntax.IsIncomplete(err) {
			continue
		}
		source = ""
		if err != nil {
			fmt.Fprintf(os.Stderr, "sh: %v\n", err)
			status = interp.ExitStatus(2)
			continue
		}
		var interrupted bool
		status, interrupted = runLine(r, prog, interrupts)
		if r.Exited() && !interrupted {
			return status
		}
	}
}

// runLine runs a parsed line; Ctrl-C ends it and not the shell.
func runLine(r *interp.Runner, prog *syntax.File, interrupts <-chan os.Signal) (status error, interrupted bool) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-interrupts:
			cancel()
		case <-done:
		}
	}()
	defer func() {
		close(done)
		<-watched
		cancel()
	}()
	for _, stmt := range prog.Stmts {
		status = r.Run(ctx, stmt)
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stdout)
			return interp.ExitStatus(128 + int(syscall.SIGINT)), true
		}
		if r.Exited() {
			return status, false
		}
	}
	var exit interp.ExitStatus
	if status != nil && !errors.As(status, &exit) {
		fmt.Fprintf(os.Stderr, "sh: %v\n", status)
		status = interp.ExitStatus(1)
	}
	return status, false
}

// prompt is "root@host:/# ".
func prompt(r *interp.Runner) string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	user, sign := os.Getenv("USER"), "$"
	if os.Geteuid() == 0 {
		user, sign = "root", "#"
	}
	if user == "" {
		user = fmt.Sprint(os.Geteuid())
	}
	dir := r.Dir
	if home := os.Getenv("HOME"); len(home) > 1 && (dir == home || strings.HasPrefix(dir, home+"/")) {
		dir = "~" + dir[len(home):]
	}
	return user + "@" + host + ":" + dir + sign + " "
}

// complete is the tab key: a command for the first word, else a file.
func complete(text string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		return "", 0, false
	}
	head := text[:pos]
	start := strings.LastIndexAny(head, " |;&<>=") + 1
	word := head[start:]
	first := strings.TrimSpace(head[:start]) == "" || strings.HasSuffix(strings.TrimRight(head[:start], " "), "|")
	var found []string
	if first && !strings.Contains(word, "/") {
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			found = append(found, matches(dir+"/"+word, word)...)
		}
	} else {
		found = matches(word, word)
	}
	common := commonPrefix(found)
	if len(common) <= len(word) {
		return text, pos, true
	}
	return head[:start] + common + text[pos:], start + len(common), true
}

// matches returns the words that the files with the prefix path stand for; a
// space or a slash follows the only one.
func matches(path, word string) []string {
	files, err := filepath.Glob(strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`).Replace(path) + "*")
	if err != nil {
		return nil
	}
	var words []string
	for _, f := range files {
		w := word + f[min(len(path), len(f)):]
		if info, err := os.Stat(f); err == nil && info.IsDir() {
			w += "/"
		} else {
			w += " "
		}
		words = append(words, w)
	}
	return words
}

func commonPrefix(words []string) string {
	if len(words) == 0 {
		return ""
	}
	sort.Strings(words)
	a, b := words[0], words[len(words)-1]
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}
