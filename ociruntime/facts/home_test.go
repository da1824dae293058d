package facts

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestHome(t *testing.T) {
	t.Parallel()
	const passwd = "# comment\nroot:x:0:0::/root:/bin/sh\nshort:x:5\nbob:x:7:7::/home/bob:/bin/sh\nagain:x:7:7::/else:\nrelative:x:8:8::home:\nhuge:x:4294967297:1::/no:\n"
	for _, c := range []struct {
		name string
		make func(dir string) error
		uid  uint32
		want string
	}{
		{"root", nil, 0, "/root"},
		{"first of two", nil, 7, "/home/bob"},
		{"nobody's number", nil, 9, "/"},
		{"short line", nil, 5, "/"},
		{"relative", nil, 8, "/"},
		{"number too large", nil, 1, "/"},
		{"no file", func(d string) error { return os.Remove(d + "/etc/passwd") }, 0, "/"},
		{"pipe", func(d string) error {
			return replace(d, func(p string) error { return syscall.Mkfifo(p, 0o600) })
		}, 0, "/"},
		{"link out of the root", func(d string) error {
			return replace(d, func(p string) error { return os.Symlink("/../../../../etc/passwd", p) })
		}, 0, "/"},
		{"absolute link in the root", func(d string) error {
			if err := os.Rename(d+"/etc/passwd", d+"/users"); err != nil {
				return err
			}
			return os.Symlink("/users", d+"/etc/passwd")
		}, 7, "/home/bob"},
		{"endless line", func(d string) error {
			return os.WriteFile(d+"/etc/passwd", []byte(strings.Repeat("x", 2*maxPasswd)), 0o600)
		}, 0, "/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(dir+"/etc", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/etc/passwd", []byte(passwd), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.make != nil {
				if err := c.make(dir); err != nil {
					t.Fatal(err)
				}
			}
			if got := Home(dir, c.uid); got != c.want {
				t.Errorf("home of %d: got %q, want %q", c.uid, got, c.want)
			}
		})
	}
}

// replace puts something else at /etc/passwd.
func replace(dir string, with func(path string) error) error {
	path := dir + "/etc/passwd"
	if err := os.Remove(path); err != nil {
		return err
	}
	return with(path)
}
