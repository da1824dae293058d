package rootfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"
)

// CommandError says why a container's command cannot be executed.
type CommandError struct {
	text string
	code int
}

// Error is one line; its words tell Docker's clients the exit code.
func (e *CommandError) Error() string { return e.text }

// ExitCode is 127 if the command, or what runs it, was not found, 126 if it
// was and cannot be executed.
func (e *CommandError) ExitCode() int { return e.code }

func notFound(format string, args ...any) error {
	return &CommandError{fmt.Sprintf(format, args...), 127}
}

func notExecutable(format string, args ...any) error {
	return &CommandError{fmt.Sprintf(format, args...), 126}
}

// Command is what the container was asked to execute.
type Command struct {
	Name string   // args[0]
	Dir  string   // working directory, absolute
	Env  []string // where PATH is
}

// Explain finds out why execve(2) of the command failed with errno. It looks at
// the file, its interpreter and its loader only now, after the failure: a
// successful start pays nothing.
func Explain(t Tree, c Command, errno error) error {
	if c.Name == "" {
		return notFound("exec: the command is an empty string: executable file not found in $PATH")
	}
	name := c.Name
	if !strings.Contains(name, "/") {
		var found bool
		if name, found = lookPath(t, c); !found {
			return notFound("exec: %q: executable file not found in $PATH of the image", c.Name)
		}
	} else if !path.IsAbs(name) {
		name = path.Join(c.Dir, name)
	}
	return explainFile(t, name, errno)
}

// lookPath finds the first file of that name; one that cannot be executed
// counts only if there is no other.
func lookPath(t Tree, c Command) (string, bool) {
	fallback := ""
	for _, dir := range strings.Split(pathOf(c.Env), ":") {
		if dir == "" {
			dir = "."
		}
		if !path.IsAbs(dir) {
			dir = path.Join(c.Dir, dir)
		}
		p := path.Join(dir, c.Name)
		fi, err := t.stat(p)
		switch {
		case err != nil || fi.IsDir():
		case fi.Mode()&0o111 != 0:
			return p, true
		case fallback == "":
			fallback = p
		}
	}
	return fallback, fallback != ""
}

func pathOf(env []string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			return v
		}
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

func explainFile(t Tree, name string, errno error) error {
	fi, err := t.stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return notFound("exec: %q: no such file or directory %s", name, t.where(name))
	case errors.Is(err, syscall.ELOOP):
		return notExecutable("exec: %q: too many levels of symbolic links", name)
	case err != nil:
		return fmt.Errorf("exec: %w", err)
	case fi.IsDir():
		return notExecutable("exec: %q: is a directory", name)
	case !fi.Mode().IsRegular():
		return notExecutable("exec: %q: permission denied: it is not a regular file", name)
	case fi.Mode()&0o111 == 0:
		return notExecutable("exec: %q: permission denied: the file is not executable, chmod +x it %s", name, t.where(name))
	}
	f, err := t.open(name, syscall.O_RDONLY|syscall.O_NONBLOCK)
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	defer f.Close()
	head := make([]byte, 256) // what the kernel looks at (BINPRM_BUF_SIZE)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("exec: %w", err)
	}
	head = head[:n]
	switch {
	case n == 0:
		return notExecutable("exec: %q: exec format error: the file is empty", name)
	case bytes.HasPrefix(head, []byte("#!")):
		return explainScript(t, name, head, errno)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return explainELF(t, name, f, errno)
	case errors.Is(errno, syscall.ENOEXEC):
		return notExecutable("exec: %q: exec format error: it is neither a program nor a script that begins with #!", name)
	}
	return plain(name, errno)
}

// plain is for what the file does not tell.
func plain(name string, errno error) error {
	if errors.Is(errno, os.ErrNotExist) {
		return notFound("exec: %q: %v", name, errno)
	}
	return notExecutable("exec: %q: %v", name, errno)
}

func explainScript(t Tree, name string, head []byte, errno error) error {
	line, _, whole := bytes.Cut(head[2:], []byte("\n"))
	if !whole && len(head) == 256 {
		return notExecutable("exec: %q: exec format error: its #! line is too long", name)
	}
	crlf := bytes.HasSuffix(line, []byte("\r"))
	fields := strings.Fields(string(line))
	if len(fields) == 0 {
		return notExecutable("exec: %q: exec format error: its #! line names no interpreter", name)
	}
	interpreter := fields[0]
	// The kernel takes the carriage return for a part of the name.
	if crlf && len(fields) == 1 {
		if _, err := t.stat(interpreter); err == nil {
			return notFound("exec: %q: no such file or directory: its lines end in CRLF, so the kernel looks for %q: convert it with dos2unix", name, interpreter+"\r")
		}
	}
	fi, err := t.stat(interpreter)
	switch {
	case err != nil:
		return notFound("exec: %q: no such file or directory: its interpreter %q is not in the image", name, interpreter)
	case fi.IsDir(), fi.Mode()&0o111 == 0:
		return notExecutable("exec: %q: permission denied: its interpreter %q is not executable", name, interpreter)
	}
	return plain(name, errno)
}

// machines are the ELF machines that Go's architectures execute.
func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}

func explainELF(t Tree, name string, f *os.File, errno error) error {
	e, err := elf.NewFile(f)
	if err != nil {
		return notExecutable("exec: %q: exec format error: the program is damaged: %v", name, err)
	}
	if want := machines()[runtime.GOARCH]; e.Machine != want && (want != elf.EM_X86_64 || e.Machine != elf.EM_386) {
		return notExecutable("exec: %q: exec format error: the program is for %s, this machine is %s: use an image for %s",
			name, strings.ToLower(strings.TrimPrefix(e.Machine.String(), "EM_")), runtime.GOARCH, runtime.GOARCH)
	}
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			break
		}
		loader := strings.TrimRight(string(data), "\x00")
		if fi, err := t.stat(loader); err != nil {
			return notFound("exec: %q: no such file or directory: the program's loader %q is not in the image: it was built for another C library, or must be linked statically", name, loader)
		} else if fi.Mode()&0o111 == 0 {
			return notExecutable("exec: %q: permission denied: the program's loader %q is not executable", name, loader)
		}
	}
	return plain(name, errno)
}
