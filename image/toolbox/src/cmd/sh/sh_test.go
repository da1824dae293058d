package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// TestMain makes the test binary the shell when it is called as one.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "sh" {
		main()
		return
	}
	os.Exit(m.Run())
}

// shell runs the test binary as sh.
func shell(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = append([]string{"sh"}, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestShell(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo $0 $1 $#\nexit 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, stdin string
		args        []string
		out, errs   string
		code        int
	}{
		{name: "command", args: []string{"-c", "echo a; echo b"}, out: "a\nb\n"},
		{name: "status", args: []string{"-c", "exit 7"}, code: 7},
		{name: "status of a program", args: []string{"-c", "/bin/false"}, code: 1},
		{name: "not found", args: []string{"-c", "nosuch"}, errs: "sh: nosuch: not found", code: 127},
		{name: "a program's signal", args: []string{"-c", "/bin/sh -c 'kill -TERM $$'; echo $?"}, out: "143\n"},
		{name: "asked to end", args: []string{"-c", "kill -TERM $$; /bin/sleep 10"}, code: 143},
		{name: "kill", args: []string{"-c", "kill -l >/dev/null && echo ok"}, out: "ok\n"},
		{name: "umask", args: []string{"-c", "umask 027; umask"}, out: "0027\n"},
		{name: "bad umask", args: []string{"-c", "umask x"}, errs: "no octal number", code: 1},
		{name: "arguments", args: []string{"-c", "echo $1-$2", "name", "x", "y"}, out: "x-y\n"},
		{name: "stop at a failure", args: []string{"-ec", "false; echo not here"}, code: 1},
		{name: "pipe", args: []string{"-c", "echo abc | /bin/cat"}, out: "abc\n"},
		{name: "environment", args: []string{"-c", "export A=1; B=2 /usr/bin/env | /bin/grep -E '^(A|B)=' | /usr/bin/sort"}, out: "A=1\nB=2\n"},
		{name: "standard input", stdin: "echo in; exit 3\n", out: "in\n", code: 3},
		{name: "standard input is shared", stdin: "/bin/cat\nfor the cat\n", out: "for the cat\n"},
		{name: "read from standard input", stdin: "read x\nvalue\necho $x\n", out: "value\n"},
		{name: "lines that go on", stdin: "for i in 1 2\ndo echo $i\ndone\n", out: "1\n2\n"},
		{name: "last status of lines", stdin: "true\nfalse\n", code: 1},
		{name: "stop at a failing line", stdin: "set -e\nfalse\necho not here\n", code: 1},
		{name: "bad syntax", args: []string{"-c", "if"}, errs: "sh: ", code: 2},
		{name: "no command", args: []string{"-c"}, errs: "-c needs a command", code: 2},
		{name: "no script", args: []string{"/nosuch"}, errs: "no such file", code: 127},
		{name: "script", args: []string{script, "x"}, out: "SCRIPT x 1\n", code: 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, errs, code := shell(t, test.stdin, test.args...)
			out = strings.ReplaceAll(out, script, "SCRIPT")
			if out != test.out || !strings.Contains(errs, test.errs) || code != test.code {
				t.Errorf("sh %q: %q, %q, %d; want %q, %q, %d", test.args, out, errs, code, test.out, test.errs, test.code)
			}
		})
	}
}

func TestParse(t *testing.T) {
	got, err := parse([]string{"sh", "-e", "-o", "pipefail", "file", "-x", "y"})
	want := line{name: "file", options: []string{"-e", "-o", "pipefail"}, params: []string{"-x", "y"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestKeyboardMakesCtrlCAnError(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("ab\x03cd"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	k := &keyboard{File: r}
	p := make([]byte, 16)
	if n, err := k.Read(p); !errors.Is(err, errInterrupt) {
		t.Fatalf("first read = %q, %v; want an interrupt", p[:n], err)
	}
	if n, err := k.Read(p); err != nil || string(p[:n]) != "cd" {
		t.Errorf("second read = %q, %v; want cd", p[:n], err)
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"alpha", "alpine"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	for _, test := range []struct{ text, want string }{
		{"a", "alp"},
		{"alph", "alpha "},
		{"cat " + dir + "/alpi", "cat " + dir + "/alpine "},
		{"cat x", "cat x"},
	} {
		got, pos, ok := complete(test.text, len(test.text), '\t')
		if !ok || got != test.want || pos != len(test.want) {
			t.Errorf("complete(%q) = %q, %d, %v; want %q", test.text, got, pos, ok, test.want)
		}
	}
	if _, _, ok := complete("a", 1, 'b'); ok {
		t.Error("a letter completes")
	}
}

// An interrupt that comes just before a command is executed ends the shell as
// any other does, without a word.
func TestInterruptedBeforeExec(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	interrupt := func(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
		return func(ctx context.Context, args []string) error {
			cancel()
			return next(ctx, args)
		}
	}
	var out bytes.Buffer
	r, err := interp.New(interp.StdIO(nil, &out, &out), interp.ExecHandlers(interrupt, newChildren().handler))
	if err != nil {
		t.Fatal(err)
	}
	prog, err := syntax.NewParser().Parse(strings.NewReader("/bin/true"), "")
	if err != nil {
		t.Fatal(err)
	}
	err = r.Run(ctx, prog)
	var status interp.ExitStatus
	if !(errors.As(err, &status) && status == 130) && !errors.Is(err, context.Canceled) || out.Len() != 0 {
		t.Errorf("ended with %v, output %q; want status 130 and no output", err, out.String())
	}
}
