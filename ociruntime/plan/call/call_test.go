package call

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

func TestText(t *testing.T) {
	for want, attrs := range map[string]uint64{
		"0": 0, "nodev,ro": linux.MountAttrRdonly | linux.MountAttrNodev, "nodiratime,strictatime": linux.MountAttrStrict | linux.MountAttrNodiratim,
	} {
		if got := AttrText(attrs); got != want {
			t.Errorf("attributes %#x are %q, want %q", attrs, got, want)
		}
	}
	for want, typ := range map[string]uint64{"private": linux.MsPrivate, "slave": linux.MsSlave, "shared": linux.MsShared, "unbindable": linux.MsUnbindable} {
		if got := PropagationText(typ); got != want {
			t.Errorf("propagation %#x is %q, want %q", typ, got, want)
		}
	}
}

// The steps as they print; that they do what they say is shown by the
// containers that the runtime's tests make.
func TestSteps(t *testing.T) {
	c := New()
	fs, at := c.Slot("made"), c.Slot("at")
	c.NewMount("tmpfs", "none", []string{"size=1m", "sync"}, linux.MountAttrNosuid, fs)
	c.OpenIn(Cwd(), "/x", c.How(true), at)
	c.Move(fs.Value(), at)
	c.Execute("prog", []string{"prog"}, []string{"PATH=/a::/b"})
	p, err := c.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`fsconfig($tmpfs-fs, SET_STRING, "size", "1m", 0)`, `fsconfig($tmpfs-fs, SET_FLAG, "sync", 0, 0)`, `fsmount($tmpfs-fs, FSMOUNT_CLOEXEC, nosuid)`,
		`$at = openat2(AT_FDCWD, "/x", O_PATH IN_ROOT NO_SYMLINKS, 24) or EAGAIN`, `move_mount($made, "", $at, ""`,
		`execve("/a/prog", argv, envp) or ENOENT`, `execve("./prog", argv, envp)`, `execve("/b/prog", argv, envp)`, `execve("", argv, envp)`,
	} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("steps lack %s:\n%s", want, p)
		}
	}
}

func TestRefuse(t *testing.T) {
	c := New()
	c.Configure(c.Slot("fs"), "tmpfs", []string{"x=" + strings.Repeat("y", 256)})
	c.Refuse("a second reason")
	if _, err := c.Assemble(); err == nil || !strings.Contains(err.Error(), "more than 255 bytes") {
		t.Errorf("assemble: %v", err)
	}
}

// A program that fails of its own ends with the step's name and the reason.
func TestFail(t *testing.T) {
	for _, why := range []syscall.Errno{syscall.EBADF, syscall.EEXIST, syscall.ENODEV, syscall.EINVAL} {
		c := New()
		c.Do("ask")
		c.Fail(why)
		p, err := c.Assemble()
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Start(program.StartArgs{Argv: []string{"no"}, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, nil}})
		if err != nil {
			t.Fatal(err)
		}
		var f *program.Failure
		if err := s.Verdict(); !errors.As(err, &f) || f.Errno != why || f.Step.Name != "ask" {
			t.Errorf("verdict: %v, want %v", err, why)
		}
		if _, err := s.Wait(); err != nil {
			t.Error(err)
		}
	}
}
