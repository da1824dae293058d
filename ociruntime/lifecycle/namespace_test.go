package lifecycle

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A container is born in namespaces of another; who ends is found by its keeper.
func TestJoinedNamespaces(t *testing.T) {
	testutil.RequireRoot(t)
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	first, _ := bundle(t)
	first.Spec.Process.Args = []string{"busybox", "sh", "-c", "for n in user pid net; do busybox readlink /proc/$$/ns/$n; done; exec busybox sleep 1000"}
	c, err := r.Start(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Delete(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	buf := make([]byte, 256)
	n, err := io.ReadAtLeast(c.IO().Stdout, buf, len("user:[4026531837]\npid:[4026531836]\nnet:[4026531840]\n"))
	if err != nil {
		t.Fatal(err)
	}
	second, _ := bundle(t)
	second.Spec.Linux.CgroupsPath += "-second"
	second.Namespaces = map[specs.LinuxNamespaceType]*os.File{}
	for i := range second.Spec.Linux.Namespaces {
		space := &second.Spec.Linux.Namespaces[i]
		switch space.Type {
		case specs.UserNamespace, specs.PIDNamespace, specs.NetworkNamespace:
			space.Path = c.NamespacePath(space.Type)
			f, err := c.OpenNamespace(space.Type)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			second.Namespaces[space.Type] = f
		}
	}
	got := output(t, second, "for n in user pid net; do busybox readlink /proc/$$/ns/$n; done; echo $$")
	spaces, pid, _ := strings.Cut(strings.TrimSuffix(got, "\n"), string(buf[:n]))
	if spaces != "" || pid == "" || pid == "1" {
		t.Errorf("the second is in %q as process %q, the first in %q", got, pid, buf[:n])
	}
	third, _ := bundle(t)
	third.Spec.Linux.Namespaces[0].Path = "/proc/1/ns/x"
	if _, err := r.Start(t.Context(), third); err == nil || !strings.Contains(err.Error(), "no file of it was given") {
		t.Errorf("a namespace by path without a file: %v", err)
	}
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenNamespace(specs.NetworkNamespace); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a namespace of a process that has ended: %v", err)
	}
	if _, err := c.CloneShm(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("/dev/shm of a process that has ended: %v", err)
	}
}
