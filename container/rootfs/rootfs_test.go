package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

// tree makes a root from names: "dir/", "link -> target", "file" with content.
func tree(t *testing.T, files map[string]string) (*os.File, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		case strings.HasPrefix(content, "-> "):
			err = os.Symlink(content[3:], p)
		default:
			err = os.WriteFile(p, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root, dir
}

func TestSecurity38UserFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "host")
	if err := os.WriteFile(secret, []byte("host:x:0:0"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string
		class   error
	}{
		{"plain", func(t *testing.T, p string) { mustWrite(t, p, "root:x:0:0") }, "root:x:0:0", nil},
		{"missing", func(*testing.T, string) {}, "", nil},
		{"FIFO", func(t *testing.T, p string) {
			if err := syscall.Mkfifo(p, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "", errdefs.ErrInvalidArgument},
		{"link to the host", func(t *testing.T, p string) { symlink(t, secret, p) }, "", nil},
		{"link upwards to the host", func(t *testing.T, p string) { symlink(t, "../../../../../../.."+secret, p) }, "", nil},
		{"directory", func(t *testing.T, p string) {
			if err := os.Mkdir(p, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "", errdefs.ErrInvalidArgument},
		{"11 MiB", func(t *testing.T, p string) { mustWrite(t, p, strings.Repeat("a", 11<<20)) }, "", errdefs.ErrInvalidArgument},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, dir := tree(t, map[string]string{"etc/": ""})
			tt.prepare(t, filepath.Join(dir, "etc/passwd"))
			got, err := ReadFile(root, "/etc/passwd")
			if string(got) != tt.want || !errors.Is(err, tt.class) {
				t.Errorf("ReadFile = %.40q, %v; want %q, %v", got, err, tt.want, tt.class)
			}
		})
	}
}

func mustWrite(t *testing.T, p, content string) {
	t.Helper()
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, p string) {
	t.Helper()
	if err := os.Symlink(target, p); err != nil {
		t.Fatal(err)
	}
}

func TestMakeWorkdir(t *testing.T) {
	outside := t.TempDir()
	root, dir := tree(t, map[string]string{"srv/": "", "file": "x", "out": "-> " + outside, "in": "-> /srv"})
	tests := []struct {
		dir   string
		made  bool
		where string // relative to the root, "" if it must fail
	}{
		{"/srv", false, "srv"},
		{"/srv/a/b", true, "srv/a/b"},
		{"/in/c", true, "srv/c"},
		{"/file", false, ""},
		{"/file/x", false, ""},
		{"/", false, "."},
	}
	for _, tt := range tests {
		made, err := MakeWorkdir(root, tt.dir)
		if tt.where == "" {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%s: %v, want invalid argument", tt.dir, err)
			}
			continue
		}
		if fi, e := os.Stat(filepath.Join(dir, tt.where)); err != nil || made != tt.made || e != nil || !fi.IsDir() {
			t.Errorf("%s: made=%v, %v; %v", tt.dir, made, err, e)
		}
	}
	if _, err := MakeWorkdir(root, "/out/escaped"); err == nil {
		t.Error("a link out of the root was followed or hidden")
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("made outside of the root: %v", entries)
	}
}

func TestExplain(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	foreign := []byte(string(self[:4096]))
	foreign[18], foreign[19] = 0xf3, 0 // e_machine: RISC-V
	foreign = append(foreign, self[4096:]...)
	root, dir := tree(t, map[string]string{
		"bin/sh": "-> busybox", "bin/busybox": "\x7fELF", "bin/plain": "echo hello\n", "bin/empty": "",
		"bin/script": "#!/bin/sh\n", "bin/noint": "#!/usr/bin/python3 -u\n", "bin/crlf": "#!/bin/sh\r\necho\r\n",
		"bin/noexec": "#!/bin/sh\n", "bin/dir/": "", "bin/riscv": string(foreign), "srv/run": "#!/nope\n",
	})
	if err := os.Chmod(filepath.Join(dir, "bin/noexec"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		command string
		errno   error
		code    int
		words   string
	}{
		{"nope", syscall.ENOENT, 127, "executable file not found in $PATH"},
		{"", syscall.ENOENT, 127, "empty string"},
		{"/nope", syscall.ENOENT, 127, `"/nope": no such file or directory`},
		{"noint", syscall.ENOENT, 127, `interpreter "/usr/bin/python3" is not in the image`},
		{"./run", syscall.ENOENT, 127, `interpreter "/nope"`},
		{"crlf", syscall.ENOENT, 127, "CRLF"},
		{"/bin/dir", syscall.EACCES, 126, "is a directory"},
		{"noexec", syscall.EACCES, 126, "permission denied: the file is not executable"},
		{"plain", syscall.ENOEXEC, 126, "neither a program nor a script"},
		{"empty", syscall.ENOEXEC, 126, "the file is empty"},
		{"riscv", syscall.ENOEXEC, 126, "the program is for riscv, this machine is " + runtime.GOARCH},
		{"sh", syscall.ENOEXEC, 126, "the program is damaged"},
		{"script", syscall.EPERM, 126, "operation not permitted"},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			err := Explain(Tree{Root: root}, Command{Name: tt.command, Dir: "/srv", Env: []string{"PATH=/bin"}}, tt.errno)
			var c *CommandError
			if !errors.As(err, &c) || c.ExitCode() != tt.code || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("Explain(%q) = %v; want code %d and %q", tt.command, err, tt.code, tt.words)
			}
		})
	}
}

func TestExplainBinds(t *testing.T) {
	root, _ := tree(t, map[string]string{"bin/sh": "x", "b/": "", "one": ""})
	_, dir := tree(t, map[string]string{"crlf": "#!/bin/sh\r\n", "noint": "#!/nope\n", "plain": "echo\n", "sub/": "", "out": "-> /bin/sh"})
	see := Tree{Root: root, Binds: map[string]string{"/b": dir, "/b/sub/one": dir + "/noint"}}
	tests := []struct {
		command string
		errno   error
		code    int
		words   string
	}{
		{"/b/nope", syscall.ENOENT, 127, "no such file or directory in " + dir + ", which is mounted at /b"},
		{"/bb", syscall.ENOENT, 127, "in the image"},
		{"/b/crlf", syscall.ENOENT, 127, "CRLF"},
		{"b/../b/noint", syscall.ENOENT, 127, `interpreter "/nope"`},
		{"/b/sub/one", syscall.ENOENT, 127, `interpreter "/nope"`},
		{"/b/sub", syscall.EACCES, 126, "is a directory"},
		{"plain", syscall.ENOEXEC, 126, "neither a program nor a script"},
		{"/b/out", syscall.ENOENT, 127, "no such file"}, // the host's /bin/sh is never looked at
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			err := Explain(see, Command{Name: tt.command, Dir: "/", Env: []string{"PATH=/bin:/b"}}, tt.errno)
			var c *CommandError
			if !errors.As(err, &c) || c.ExitCode() != tt.code || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("Explain(%q) = %v; want code %d and %q", tt.command, err, tt.code, tt.words)
			}
		})
	}
}

func TestExplainMissingLoader(t *testing.T) {
	data, err := os.ReadFile("/bin/ls") // dynamically linked on every distribution that has it
	if err != nil || !strings.Contains(string(data[:4096]), "/ld-") {
		t.Skip("no dynamically linked /bin/ls on this machine")
	}
	root, _ := tree(t, map[string]string{"bin/ls": string(data)})
	err = Explain(Tree{Root: root}, Command{Name: "ls", Dir: "/", Env: []string{"PATH=/bin"}}, syscall.ENOENT)
	if err == nil || !strings.Contains(err.Error(), "loader") {
		t.Errorf("got %v", err)
	}
}
