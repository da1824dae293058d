package facts

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestEnvironment(t *testing.T) {
	never := func(int) (*os.File, error) { t.Error("looks although HOME is set"); return nil, os.ErrNotExist }
	for in, want := range map[string]string{
		"HOME=/x": "HOME=/x", "A=1 HOME=/x A=2": "HOME=/x A=2", "HOME=/y HOME=/x B=": "HOME=/x B=", "PATH=/bin HOME=/a=b": "PATH=/bin HOME=/a=b",
	} {
		if got := Environment(strings.Fields(in), 0, never); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s becomes %v, want %s", in, got, want)
		}
	}
}

// An /etc/passwd that is not what it should be.
func TestSecurity38Home(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\n# uid 7\nbad:x:7\nzero:x:007:0::/zero:\nseven:x:7:7:a b:/home/seven\ntwice:x:7:7::/no:/bin/sh\nempty:x:8:8:::\n"
	write := func(text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(dir+"/etc/passwd", []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		make func(t *testing.T, dir string)
		uid  uint32
		want string
	}{
		"root":        {write(passwd), 0, "/root"},
		"no shell":    {write(passwd), 7, "/home/seven"},
		"empty home":  {write(passwd), 8, "/"},
		"no entry":    {write(passwd), 9, "/"},
		"largest uid": {write(passwd + "z:x:4294967295:1::/z:\n"), 1<<32 - 1, "/z"},
		"NUL":         {write("a:x:5:5::/a\x00b:\n"), 5, "/"},
		"long line":   {write(strings.Repeat("x", 1<<20) + "\n" + passwd), 0, "/"},
		"too long":    {write(strings.Repeat("#\n", maxPasswd/2) + passwd), 0, "/"},
		"none":        {func(*testing.T, string) {}, 0, "/"},
		"a fifo": {func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(dir+"/etc/passwd", 0o644); err != nil {
				t.Fatal(err)
			}
		}, 0, "/"},
		"a directory": {func(t *testing.T, dir string) {
			if err := os.Mkdir(dir+"/etc/passwd", 0o755); err != nil {
				t.Fatal(err)
			}
		}, 0, "/"},
		"a link to the host": {func(t *testing.T, dir string) {
			if err := os.Symlink("/../../etc/passwd", dir+"/etc/passwd"); err != nil {
				t.Fatal(err)
			}
		}, 0, "/"},
		"a link inside": {func(t *testing.T, dir string) {
			err := errors.Join(os.Symlink("/etc/../etc/users", dir+"/etc/passwd"), os.WriteFile(dir+"/etc/users", []byte(passwd), 0o644))
			if err != nil {
				t.Fatal(err)
			}
		}, 0, "/root"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(dir+"/etc", 0o755); err != nil {
				t.Fatal(err)
			}
			tc.make(t, dir)
			got := Environment([]string{"HOME="}, tc.uid, PasswdIn(dir))
			if !slices.Equal(got, []string{"HOME=" + tc.want}) {
				t.Errorf("environment %q, want HOME=%s", got, tc.want)
			}
		})
	}
	if got := Environment(nil, 0, PasswdIn("/nowhere/at/all")); !slices.Equal(got, []string{"HOME=/"}) {
		t.Errorf("without a root: %q", got)
	}
}
