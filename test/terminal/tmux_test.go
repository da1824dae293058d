package terminal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"berth/test/berthtest"
)

// screen is a terminal in tmux with a shell that knows an instance of berth.
type screen struct {
	t      *testing.T
	socket string
	dir    string // for files of the test
	berth  *berthtest.Instance
}

// prompt is what the shell outside the container shows; a container's differs.
const prompt = "outside> "

func newScreen(t *testing.T) *screen {
	t.Helper()
	i := berthtest.Start(t)
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("tmux is not installed: make test-deps installs it")
	}
	s := &screen{t: t, dir: t.TempDir(), berth: i}
	s.socket = filepath.Join(s.dir, "tmux")
	// --noediting: readline would change the terminal's modes at each prompt.
	cmd := exec.Command("tmux", "-S", s.socket, "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
		"bash", "--noprofile", "--norc", "--noediting")
	cmd.Env = append(os.Environ(), append(i.Env(), "PS1="+prompt, "TERM=xterm", "LC_ALL=C.UTF-8")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("start tmux: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("tmux", "-S", s.socket, "kill-server").CombinedOutput(); err != nil && !strings.Contains(string(out), "no server") {
			t.Errorf("end tmux: %v: %s", err, out)
		}
	})
	s.wait(prompt)
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// line types a line.
func (s *screen) line(text string) {
	s.t.Helper()
	s.tmux("send-keys", "-l", text)
	s.keys("Enter")
}

// keys types keys by tmux's names, all at once.
func (s *screen) keys(names ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys"}, names...)...)
}

// text is what the terminal shows and has shown.
func (s *screen) text() string {
	s.t.Helper()
	return s.tmux("capture-pane", "-p", "-J", "-S", "-1000")
}

// wait waits until the terminal shows the text.
func (s *screen) wait(text string) {
	s.t.Helper()
	s.match(regexp.QuoteMeta(text))
}

// match waits until the terminal shows what the expression matches.
func (s *screen) match(expression string) {
	s.t.Helper()
	re := regexp.MustCompile(expression)
	err := berthtest.Poll(func() error {
		if !re.MatchString(s.text()) {
			return fmt.Errorf("%q is not shown", expression)
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("%v:\n%s\nberthd's log:\n%s", err, s.text(), s.berth.Log())
	}
}

// modes are the terminal's modes; the shell outside must be at its prompt.
func (s *screen) modes(name string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	s.line("stty -g > " + path + ".part && mv " + path + ".part " + path)
	var data []byte
	err := berthtest.Poll(func() (err error) {
		data, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		s.t.Fatalf("%v: the shell outside does not answer:\n%s", err, s.text())
	}
	return string(data)
}

// inside starts a container with an interactive shell and waits for its prompt.
// The shell outside prints "ended N" when it is over.
func (s *screen) inside(flags string) {
	s.t.Helper()
	s.line(`berth run ` + flags + ` -ti -e PS1='inside> ' toolbox sh; echo ended $?`)
	s.line("echo here $((40 + 2))")
	s.wait("here 42")
}

// pid is the process id of the berth that holds the terminal.
func (s *screen) pid() string {
	s.t.Helper()
	shell := strings.TrimSpace(s.tmux("display-message", "-p", "#{pane_pid}"))
	var pid string
	err := berthtest.Poll(func() error {
		out, err := os.ReadFile("/proc/" + shell + "/task/" + shell + "/children")
		pid = strings.TrimSpace(string(out))
		if err == nil && pid == "" {
			err = errors.New("the shell has no child")
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}
