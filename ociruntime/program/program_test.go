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
	s, err := p.Start(StartArgs{Argv: []string{"program"}, Files: make([]*os.File, 4)})
	if err != nil {
		t.Fatal(err)
	}
	verdict = s.Verdict()
	state, err := s.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return state.ExitStatus(), verdict
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
	s, err := p.Start(StartArgs{Argv: []string{"program"}, Files: []*os.File{nil, w, nil, nil}})
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
	if _, err := s.Wait(); err != nil {
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

// TestForgetAllBut lets the kept steps begin and end anywhere in a page.
func TestForgetAllBut(t *testing.T) {
	for before := range 2 * pageSize / stepSize {
		b := NewBuilder()
		from, to := b.Label("from"), b.Label("to")
		b.Bytes(make([]byte, 3*pageSize), "much")
		for range before {
			b.Call("getpid", syscall.SYS_GETPID)
		}
		b.Place(from)
		b.ForgetAllBut(from, to)
		for range before % 7 {
			b.Call("getpid", syscall.SYS_GETPID)
		}
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(5))
		b.Place(to)
		for range 60 {
			b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(6))
		}
		if code, err := run(t, b); code != 5 || err != nil {
			t.Fatalf("%d steps before: exit code %d, %v", before, code, err)
		}
	}
}

// TestStartWithManyFiles passes files whose numbers are all around the
// program's own, in an order that makes the child move them.
func TestStartWithManyFiles(t *testing.T) {
	for n := range 40 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		files := []*os.File{w, r, w, nil}
		for range n {
			files = append(files, r, w)
		}
		b := NewBuilder()
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(4))
		p, err := b.Assemble()
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Start(StartArgs{Argv: []string{"program"}, Files: files})
		if err != nil {
			t.Fatalf("%d files: %v", len(files), err)
		}
		if err := s.Verdict(); err != nil {
			t.Fatal(err)
		}
		if state, err := s.Wait(); err != nil || state.ExitStatus() != 4 {
			t.Fatalf("%d files: %v %v", len(files), state, err)
		}
		r.Close()
		w.Close()
	}
}
