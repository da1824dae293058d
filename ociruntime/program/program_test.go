package program

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func run(t *testing.T, b *Builder) (code int, verdict error) {
	t.Helper()
	p, err := b.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Start([]string{"program"}, []*os.File{nil, nil, nil, nil})
	if err != nil {
		t.Fatal(err)
	}
	verdict = s.Verdict()
	state, err := s.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return state.ExitCode(), verdict
}

// TestExitCode shows constants, results of earlier steps and jumps.
func TestExitCode(t *testing.T) {
	b := NewBuilder()
	pid, skip := b.Slot("pid"), b.Label("skip")
	b.Call("getpid", syscall.SYS_GETPID).To(pid)
	b.IfEqual(pid.Value(), Int(0), skip)
	b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(42))
	b.Place(skip)
	b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(1))
	if code, err := run(t, b); code != 42 || err != nil {
		t.Errorf("exit code %d, verdict %v; want 42, nil", code, err)
	}
}

func TestFailedStepIsNamed(t *testing.T) {
	b := NewBuilder()
	b.Do("change to /nonexistent")
	b.Call("chdir", syscall.SYS_CHDIR, b.String("/nonexistent"))
	code, err := run(t, b)
	var f *Failure
	if !errors.As(err, &f) || f.Errno != syscall.ENOENT || f.Error() != "change to /nonexistent: no such file or directory" || code != 125 {
		t.Errorf("exit code %d, verdict %v", code, err)
	}
}

// TestDecimal prints a pid into a path and opens it; a tolerated errno goes on.
func TestDecimal(t *testing.T) {
	for _, v := range []int{0, 7, 10, 4294967295} {
		b := NewBuilder()
		r, _ := b.Slot("r"), 0
		path := b.Buffer("path", []byte("/proc/////////////\x00"))
		b.Decimal(Int(v), path.At(18))
		b.Call("chdir", syscall.SYS_CHDIR, b.String("/nonexistent")).Tolerate(syscall.EPERM, syscall.ENOENT).To(r)
		ok := b.Label("ok")
		b.IfEqual(r.Value(), Errno(syscall.ENOENT), ok)
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(1))
		b.Place(ok)
		b.Call("write", syscall.SYS_WRITE, Int(VerdictFD), path.At(2), Int(16))
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(0))
		code, err := run(t, b)
		if code != 0 || err == nil {
			t.Errorf("%d: exit code %d, verdict %v", v, code, err)
		}
	}
}

func TestNoPageIsWritableAndExecutable(t *testing.T) {
	b := NewBuilder()
	fd, buf := b.Slot("fd"), b.Buffer("buf", make([]byte, 4096))
	n := b.Slot("n")
	b.Call("openat", syscall.SYS_OPENAT, Int(-100), b.String("/proc/self/maps"), Int(0), Int(0)).To(fd)
	b.Call("read", syscall.SYS_READ, fd.Value(), buf.At(0), Int(4096)).To(n)
	b.Call("write", syscall.SYS_WRITE, Int(1), buf.At(0), n.Value())
	b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(0))
	p, err := b.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Start([]string{"program"}, []*os.File{nil, w, nil, nil})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verdict(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	maps := make([]byte, 8192)
	k, _ := r.Read(maps)
	r.Close()
	if _, err := s.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", maps[:k])
	if k < 100 || contains(maps[:k], "wx") {
		t.Errorf("maps:\n%s", maps[:k])
	}
}

func contains(p []byte, s string) bool {
	for i := range p {
		if i+len(s) <= len(p) && string(p[i:i+len(s)]) == s {
			return true
		}
	}
	return false
}
