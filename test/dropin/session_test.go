package dropin

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// screen is a terminal in tmux with a shell.
type screen struct {
	t      *testing.T
	socket string
}

func newScreen(t *testing.T, e *engine) *screen {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("tmux is not installed: make test-deps installs it")
	}
	s := &screen{t, e.path("tmux-" + e.name)}
	cmd := exec.Command("tmux", "-S", s.socket, "-f", "/dev/null", "new-session", "-d", "-x", "90", "-y", "30",
		"bash", "--noprofile", "--norc", "--noediting")
	cmd.Env = append(os.Environ(), append(e.env, "PS1=outside> ", "TERM=xterm", "LC_ALL=C.UTF-8")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("start tmux: %v: %s", err, out)
	}
	t.Cleanup(func() { s.tmux("kill-server") })
	s.wait("outside> ")
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
	s.tmux("send-keys", "Enter")
}

// wait waits until the terminal shows what the expression matches.
func (s *screen) wait(expression string) {
	s.t.Helper()
	re := regexp.MustCompile("(?m)" + expression)
	var text string
	err := poll(func() error {
		if text = s.tmux("capture-pane", "-p", "-J", "-S", "-1000"); !re.MatchString(text) {
			return fmt.Errorf("%q is not shown", expression)
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("%v:\n%s", err, text)
	}
}

// testSession works in a container as a person does.
func testSession(t *testing.T, e *engine) {
	s := newScreen(t, e)
	name := e.newName(t)
	command := strings.Join(e.args([]string{"run", "--name", name, "-ti", "--detach-keys", "ctrl-x", "-e", "PS1='inside> '", imageName, "sh"}), " ")
	s.line(command + "; echo ended $?")
	s.wait("^inside> ")
	// Docker sets the size after the start.
	s.line("until stty size | grep '30 90'; do sleep 0.1; done")
	s.wait("^30 90")
	s.tmux("resize-window", "-x", "100", "-y", "25")
	s.line("until stty size | grep '25 100'; do sleep 0.1; done; echo si''zed")
	s.wait("^25 100")
	s.wait("^sized")
	s.line("sleep 1000; echo code $?")
	s.wait(`sleep 1000; echo`)
	// The shell starts sleep in its own time.
	err := pollCommand(func() error {
		if r := e.try(t, "exec", name, "pidof", "sleep"); r.code != 0 {
			return errText(r.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.tmux("send-keys", "C-c")
	s.wait("^(inside> )?(code 130|inside> $)")
	s.tmux("send-keys", "C-x")
	s.wait("ended 0")
	s.line(strings.Join(e.args([]string{"attach", name}), " ") + "; echo left $?")
	s.line("echo ba''ck")
	s.wait("back$")
	s.line("exit 12")
	if e.name == "podman" {
		s.wait("left [0-9]") // its attach does not always learn of the code
	} else {
		s.wait("left 12")
	}
	e.until(t, name, ".State.ExitCode", "12")
}
