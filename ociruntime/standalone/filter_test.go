package standalone

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"berth/ociruntime/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestFilterIsFound: the second container of a profile, and an exec, have its
// filter without the profile being read, and another profile has its own.
func TestFilterIsFound(t *testing.T) {
	c := newContainer(t, "sh", "-c", "busybox mkdir /tmp/a 2>/dev/null || exit 41")
	mkdirFails := func(errno uint) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: &errno}},
		}
	}
	c.spec.Linux.Seccomp = mkdirFails(1)
	for range 3 {
		if code, err := c.runtime.Run(t.Context(), c.write()); code != 41 || err != nil {
			t.Fatalf("%d, %v, want 41", code, err)
		}
	}
	filters := func() int {
		paths, err := filepath.Glob(c.runtime.store.Filters() + "/*")
		c.must(err)
		return len(paths)
	}
	if n := filters(); n != 1 {
		t.Errorf("%d filters, want 1", n)
	}
	found := c.runtime.newFilter()
	args := c.write()
	config, err := os.ReadFile(args.Bundle + "/config.json")
	c.must(err)
	if _, err := bundle.ParseKnowing(config, args.Bundle, found.known); err != nil || !found.ok || len(found.found.Insns) == 0 {
		t.Errorf("not found: %v", err)
	}
	c.spec.Linux.Seccomp = nil
	if code, err := c.runtime.Run(t.Context(), c.write()); code != 0 || err != nil {
		t.Errorf("without a profile: %d, %v", code, err)
	}
	c.must(os.RemoveAll(c.runtime.store.Filters()))
	c.spec.Linux.Seccomp = mkdirFails(uint(syscall.ENOSPC))
	c.spec.Process.Args = []string{"sleep", "1000"}
	args = c.write()
	args.Detach = true
	if _, err := c.runtime.Run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	process := *c.spec.Process
	process.Args = []string{"sh", "-c", "busybox mkdir /tmp/b 2>/dev/null || exit 42"}
	if code, err := c.runtime.Exec(t.Context(), c.id, ExecArgs{Process: &process}); code != 42 || err != nil {
		t.Errorf("exec: %d, %v, want 42", code, err)
	}
	if n := filters(); n != 1 {
		t.Errorf("%d filters, want the one of the other profile", n)
	}
	if spec, err := c.runtime.Spec(c.id); err != nil || spec.Linux.Seccomp == nil {
		t.Errorf("the container's spec has no profile: %v", err)
	}
}
