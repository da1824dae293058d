package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// try runs a command and returns what it printed.
func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	e := &env{args: args, in: strings.NewReader(""), out: bufio.NewWriter(&out)}
	err := command(name)(e)
	if ferr := e.out.Flush(); ferr != nil {
		t.Fatal(ferr)
	}
	return out.String(), err
}

func TestParseStat(t *testing.T) {
	const line = "12 (a (b) c) S 1 12 12 34816 12 4194304 90 0 0 0 150 50 0 0 20 -5 3 0 777 1261756416 500 18446744073709551615"
	p, ok := parseStat(line)
	if !ok {
		t.Fatal("not read")
	}
	want := process{
		pid: 12, ppid: 1, state: "S", tty: 34816, session: 12, tpgid: 12, pgrp: 12, nice: -5, threads: 3,
		ticks: 200, start: 777, vsize: 1261756416, rssPages: 500, command: "a (b) c",
	}
	if p != want {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	if got := stat(p); got != "S<sl+" {
		t.Errorf("stat = %q, want S<sl+", got)
	}
	if got := terminal(p.tty); got != "pts/0" {
		t.Errorf("terminal = %q, want pts/0", got)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("1 (x) S 1")
	f.Add(")(")
	f.Fuzz(func(t *testing.T, s string) { parseStat(s) })
}

func TestModeString(t *testing.T) {
	for mode, want := range map[uint32]string{
		0o100644: "-rw-r--r--",
		0o041777: "drwxrwxrwt",
		0o041666: "drw-rw-rwT",
		0o104755: "-rwsr-xr-x",
		0o102745: "-rwxr-Sr-x",
		0o120777: "lrwxrwxrwx",
		0o020666: "crw-rw-rw-",
	} {
		if got := modeString(mode); got != want {
			t.Errorf("modeString(%o) = %s, want %s", mode, got, want)
		}
	}
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1536: "1.5K", 20 << 20: "20M", 3 << 40: "3.0T"} {
		if got := humanSize(n); got != want {
			t.Errorf("humanSize(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestLs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "a\nb\nlink\n"},
		{[]string{"-A"}, ".hidden\na\nb\nlink\n"},
		{[]string{"-a"}, ".\n..\n.hidden\na\nb\nlink\n"},
		{[]string{"-r"}, "link\nb\na\n"},
	} {
		got, err := try(t, "ls", append(test.args, dir)...)
		if err != nil || got != test.want {
			t.Errorf("ls %v = %q, %v; want %q", test.args, got, err, test.want)
		}
	}
	if got, err := try(t, "ls", "-l", dir); err != nil || !strings.Contains(got, "-rw-r-----") || !strings.Contains(got, "link -> a") {
		t.Errorf("ls -l = %q, %v", got, err)
	}
	var code exitCode
	if _, err := try(t, "ls", dir+"/none"); !errors.As(err, &code) || code != 1 {
		t.Errorf("ls of nothing: %v, want status 1", err)
	}
}

func TestEchoAndStatus(t *testing.T) {
	if got, _ := try(t, "echo", "a", "b"); got != "a b\n" {
		t.Errorf("echo = %q", got)
	}
	if got, _ := try(t, "echo", "-n", "a"); got != "a" {
		t.Errorf("echo -n = %q", got)
	}
	for err, want := range map[error]int{nil: 0, exitCode(3): 3, usageError("x"): 2, io.ErrUnexpectedEOF: 1} {
		if got := status("test", err); got != want {
			t.Errorf("status(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestSleep(t *testing.T) {
	start := time.Now()
	if _, err := try(t, "sleep", "0.02", "10ms"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 30*time.Millisecond {
		t.Errorf("slept %v, want 30ms", d)
	}
	var usage usageError
	for _, bad := range []string{"x", "-1", ""} {
		if _, err := try(t, "sleep", bad); !errors.As(err, &usage) {
			t.Errorf("sleep %q: %v, want a usage error", bad, err)
		}
	}
}

func TestSleepEndsByASignal(t *testing.T) {
	done := make(chan error, 1)
	go func() {
		_, err := try(t, "sleep", "infinity")
		done <- err
	}()
	// The signal would end the test if sleep did not wait for it yet.
	guard := make(chan os.Signal, 1)
	signal.Notify(guard, syscall.SIGTERM)
	defer signal.Stop(guard)
	deadline := time.After(10 * time.Second)
	for {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			var code exitCode
			if !errors.As(err, &code) || code != 143 {
				t.Errorf("sleep ended with %v, want status 143", err)
			}
			return
		case <-deadline:
			t.Fatal("sleep goes on")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestIDAndPsOfThisProcess(t *testing.T) {
	if got, err := try(t, "id"); err != nil || !strings.HasPrefix(got, "uid=") || !strings.Contains(got, " groups=") {
		t.Errorf("id = %q, %v", got, err)
	}
	if got, err := try(t, "ps", "aux"); err != nil || !strings.Contains(got, "tool.test") {
		t.Errorf("ps aux lacks this process: %v", err)
	}
	if got, err := try(t, "ip", "addr"); err != nil || !strings.Contains(got, "link/loopback") {
		t.Errorf("ip addr = %q, %v", got, err)
	}
	if got, err := try(t, "mount"); err != nil || !strings.Contains(got, " on /proc type proc (") {
		t.Errorf("mount = %q, %v", got, err)
	}
}

func TestEveryNameIsACommand(t *testing.T) {
	if command("nosuch") != nil {
		t.Error("nosuch is a command")
	}
	for _, name := range strings.Fields("cat clear echo env false head hostname id ip ls mount nproc ps sleep stty tail true whoami") {
		if command(name) == nil {
			t.Errorf("%s is none", name)
		}
	}
}
