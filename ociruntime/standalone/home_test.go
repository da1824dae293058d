package standalone

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestHome: HOME comes from the root file system's /etc/passwd where the engine
// says none (Docker 20.10), in a container and in an exec.
func TestHome(t *testing.T) {
	c := newContainer(t, "/bin/sh", "-c", "echo $HOME; read x")
	c.must(os.MkdirAll(c.dir+"/rootfs/etc", 0o755))
	c.must(os.WriteFile(c.dir+"/rootfs/etc/passwd", []byte("root:x:0:0::/root:\nbob:x:7:7::/home/bob:\n"), 0o644))
	c.capture()
	null, hold, err := os.Pipe()
	c.must(err)
	defer func() { _ = null.Close(); _ = hold.Close() }() // they were to wait for
	os.Stdin = null
	ctx := context.Background()
	c.must(c.runtime.Create(ctx, c.write()))
	c.must(c.runtime.Start(ctx, c.id))
	for _, env := range [][]string{nil, {"HOME="}, {"HOME=/mine"}} {
		p := c.process("/bin/sh", "-c", "echo $HOME")
		p.Env, p.User.UID = env, 7
		code, err := c.runtime.Exec(ctx, c.id, ExecArgs{Process: p})
		c.must(err)
		if code != 0 {
			t.Errorf("exec with environment %q: exit code %d", env, code)
		}
	}
	c.must(hold.Close())
	c.wantEnd()
	// The container may say its own after an exec has ended.
	got := strings.Fields(c.said())
	slices.Sort(got)
	if want := []string{"/home/bob", "/home/bob", "/mine", "/root"}; !slices.Equal(got, want) {
		t.Errorf("homes: got %q, want %q", got, want)
	}
}
