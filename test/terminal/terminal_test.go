package terminal

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"berth/test/berthtest"
)

func TestMain(m *testing.M) { berthtest.Main(m) }

func TestShellInATerminal(t *testing.T) {
	s := newScreen(t)
	before := s.modes("before")
	s.inside("--rm --hostname box")
	s.line("hostname")
	s.wait("\nbox\n")
	s.line("stty size")
	s.wait("24 80")
	s.tmux("resize-window", "-x", "100", "-y", "30")
	s.line("while test \"$(stty size)\" != '30 100'; do sleep 0.01; done; echo resized $(stty size)")
	s.wait("resized 30 100")

	// Ctrl-C is a key: it ends what runs inside, not the container.
	s.line("echo slee''p; sleep 1000")
	s.wait("\nsleep\n") // what echo prints, not what was typed
	s.keys("C-c")
	s.line("echo still $((1 + 1))")
	s.wait("still 2")

	s.line("exit 7")
	s.wait("ended 7")
	if after := s.modes("after"); after != before {
		t.Errorf("the terminal's modes were %s and are %s", before, after)
	}
	if left := s.berth.Must(t, "ps", "-aq"); left != "" {
		t.Errorf("containers are left: %s", left)
	}
}

func TestDetachAndAttach(t *testing.T) {
	s := newScreen(t)
	before := s.modes("before")
	s.inside("--name cc")
	s.keys("C-p", "C-q") // both in one read
	s.wait("read escape sequence")
	s.wait("ended 0")
	if after := s.modes("after"); after != before {
		t.Errorf("after detaching, the terminal's modes were %s and are %s", before, after)
	}
	if got := s.berth.Must(t, "inspect", "-f", "{{.State.Status}}", "cc"); got != "running" {
		t.Fatalf("the container is %s after detaching, want running", got)
	}
	s.tmux("resize-window", "-x", "90", "-y", "20")
	s.line("clear; berth attach cc; echo attached $?")
	s.line("echo back $((2 + 2)) $(stty size)")
	s.wait("back 4 20 90")
	s.line("exit 3")
	s.wait("attached 3")
	if after := s.modes("after-attach"); after != before {
		t.Errorf("after attaching, the terminal's modes were %s and are %s", before, after)
	}
}

func TestExecInATerminal(t *testing.T) {
	s := newScreen(t)
	before := s.modes("before")
	s.berth.Must(t, "run", "-d", "--name", "cc", "toolbox", "sleep", "1000")
	s.line("berth exec -ti cc sh; echo ended $?")
	s.line("echo exec $((40 + 2)) $(stty size)")
	s.wait("exec 42 24 80")
	s.line("exit 5")
	s.wait("ended 5")
	if after := s.modes("after"); after != before {
		t.Errorf("the terminal's modes were %s and are %s", before, after)
	}
}

// TestSignalsRestoreTheTerminal ends berth by signals while a shell has the
// terminal.
func TestSignalsRestoreTheTerminal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			s := newScreen(t)
			before := s.modes("before")
			s.inside("--rm")
			if out, err := exec.Command("kill", fmt.Sprintf("-%d", sig), s.pid()).CombinedOutput(); err != nil {
				t.Fatalf("kill: %v: %s", err, out)
			}
			s.wait(fmt.Sprintf("ended %d", 128+int(sig)))
			if after := s.modes("after"); after != before {
				t.Errorf("the terminal's modes were %s and are %s", before, after)
			}
		})
	}
}

// TestDaemonKilledInASession kills berthd while a shell has the terminal: the
// session goes on with the daemon that replaces it, and the terminal is restored
// at its end.
func TestDaemonKilledInASession(t *testing.T) {
	s := newScreen(t)
	before := s.modes("before")
	s.inside("--name cc")
	if err := s.berth.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.wait("berthd ended; joining the container again")
	s.line("echo survived $((40 + 2))")
	s.wait("survived 42")
	s.line("exit 6")
	s.wait("ended 6")
	if after := s.modes("after"); after != before {
		t.Errorf("the terminal's modes were %s and are %s", before, after)
	}
}

// TestDaemonKilledForGood kills berthd where none can be started again: berth
// says so, and the terminal is restored.
func TestDaemonKilledForGood(t *testing.T) {
	s := newScreen(t)
	before := s.modes("before")
	s.berth.Must(t, "run", "-d", "--name", "cc", "-ti", "toolbox", "sh")
	s.line("berth --host unix://" + s.berth.Run + "/berth.sock attach cc; echo ended $?")
	s.line("echo here $((40 + 2))")
	s.wait("here 42")
	if err := s.berth.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.wait("no berthd listens at")
	s.wait("ended 1")
	if after := s.modes("after"); after != before {
		t.Errorf("the terminal's modes were %s and are %s", before, after)
	}
	s.berth.Must(t, "rm", "-f", "cc") // a new daemon has the container still
}

func TestNoTerminal(t *testing.T) {
	s := newScreen(t)
	s.line("echo x | berth run --rm -ti toolbox cat; echo ended $?")
	s.wait("the input device is not a TTY")
	s.wait("ended 125")
	s.line("berth run --rm -i toolbox cat; echo ended twice $?")
	s.line("a line")
	s.wait("a line\na line") // typed, and printed by cat
	s.keys("C-d")
	s.wait("ended twice 0")
}

func TestPullErrorIsReadable(t *testing.T) {
	s := newScreen(t)
	s.line("berth pull localhost:1/none; echo ended $?")
	s.wait("ended 1")
	if text := s.text(); !strings.Contains(text, "berth: ") || !strings.Contains(text, "localhost:1") {
		t.Errorf("the terminal shows no error that names the image:\n%s", text)
	}
}
