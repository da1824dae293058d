package program

import (
	"bytes"
	"encoding/binary"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var jumpTarget = regexp.MustCompile(`(J[A-Z]+|B|B\.[A-Z]+|CBN?Z R\d+,|TBZ \$\d+, R20,|[A-Z]+) (0x[0-9a-f]{6,}|-?\d+\(PC\))`)

// symbol is what the disassembler takes the constant DataBase for.
var symbol = regexp.MustCompile(`\$\S+\(SB\)`)

// imageDir is where TestWriteImages writes the programs that another machine runs.
const imageDir = "BERTH_TEST_IMAGES"

// portable are programs whose system calls have the same meaning everywhere,
// with how they must end.
var portable = map[string]struct {
	build func(b *Builder)
	code  int
	errno syscall.Errno // of the verdict
}{
	"constants, slots, jumps": {code: 42, build: func(b *Builder) {
		pid, skip := b.Slot("pid"), b.Label("skip")
		b.Call("getpid", syscall.SYS_GETPID).To(pid)
		b.IfEqual(pid.Value(), Int(0), skip)
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(42))
		b.Place(skip)
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(1))
	}},
	"a failed step": {code: 125, errno: syscall.ENOENT, build: func(b *Builder) {
		b.Call("chdir", syscall.SYS_CHDIR, b.String("/nonexistent"))
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(0))
	}},
	"a tolerated errno, compared": {code: 7, build: func(b *Builder) {
		r, ok := b.Slot("r"), b.Label("ok")
		b.Call("chdir", syscall.SYS_CHDIR, b.String("/nonexistent")).Tolerate(syscall.EPERM, syscall.EACCES, syscall.EEXIST, syscall.ENOENT).To(r)
		b.IfEqual(r.Value(), Errno(syscall.ENOENT), ok)
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(1))
		b.Place(ok)
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(7))
	}},
	"a number as a path": {code: 9, build: func(b *Builder) {
		// /dev/fd with slashes, then 4294967295: no such file. Then 3: there is one.
		path, r, none := b.Buffer("path", []byte("/dev/fd//////////////\x00")), b.Slot("r"), b.Label("none")
		b.Decimal(Int(4294967295), path.At(21))
		b.Call("faccessat", syscall.SYS_FACCESSAT, Int(-100), path.At(0), Int(0)).Tolerate(syscall.ENOENT).To(r)
		b.IfEqual(r.Value(), Errno(syscall.ENOENT), none)
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(1))
		b.Place(none)
		path = b.Buffer("path", []byte("/dev/fd//////////////\x00"))
		b.Decimal(Int(VerdictFD), path.At(21))
		b.Call("faccessat", syscall.SYS_FACCESSAT, Int(-100), path.At(0), Int(0))
		b.Call("exit_group", syscall.SYS_EXIT_GROUP, Int(9))
	}},
}

func TestPortable(t *testing.T) {
	for name, tc := range portable {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder()
			tc.build(b)
			code, err := run(t, b)
			var got syscall.Errno
			if f, ok := err.(*Failure); ok { //nolint:errorlint // Verdict returns it bare
				got = f.Errno
			} else if err != nil {
				t.Fatal(err)
			}
			if code != tc.code || got != tc.errno {
				t.Errorf("exit code %d, errno %v; want %d, %v", code, got, tc.code, tc.errno)
			}
		})
	}
}

// TestWriteImages writes the programs as this architecture assembles them; it
// is run under emulation by TestArm64.
func TestWriteImages(t *testing.T) {
	dir := os.Getenv(imageDir)
	if dir == "" {
		dir = t.TempDir()
	}
	for name, tc := range portable {
		b := NewBuilder()
		tc.build(b)
		p, err := b.Assemble()
		if err != nil {
			t.Fatal(err)
		}
		var image bytes.Buffer
		if n, err := p.WriteTo(&image); err != nil || int(n) != image.Len() || image.Len() != p.Size() {
			t.Fatalf("wrote %d bytes, %v, of %d; want %d", n, err, image.Len(), p.Size())
		}
		if err := os.WriteFile(filepath.Join(dir, name), image.Bytes(), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestArm64 assembles the programs on an emulated arm64 and runs them there.
func TestArm64(t *testing.T) {
	testutil.RequireRoot(t)
	qemu, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		t.Fatal("needs qemu-aarch64: apt-get install qemu-user")
	}
	dir := t.TempDir()
	goTool(t, "arm64", "test", "-c", "-o", dir+"/program.test", ".")
	cmd := exec.Command(qemu, dir+"/program.test", "-test.run", "TestWriteImages")
	cmd.Env = append(os.Environ(), imageDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("write images: %v\n%s", err, out)
	}
	for name, tc := range portable {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.Command(qemu, filepath.Join(dir, name))
			cmd.ExtraFiles = []*os.File{w}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			verdict, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the exit code is what counts
			var errno syscall.Errno
			if len(verdict) == 16 {
				errno = syscall.Errno(binary.LittleEndian.Uint64(verdict[8:]))
			}
			if code := cmd.ProcessState.ExitCode(); code != tc.code || errno != tc.errno {
				t.Errorf("exit code %d, errno %v; want %d, %v", code, errno, tc.code, tc.errno)
			}
		})
	}
}

// TestDisassembly holds the machine code of both interpreters against what is
// meant, as the disassembler shows it.
func TestDisassembly(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			bin := t.TempDir() + "/program.test"
			goTool(t, arch, "test", "-c", "-o", bin, ".")
			out := goTool(t, arch, "tool", "objdump", "-s", `program\.interpreter$`, bin)
			var got strings.Builder
			for _, line := range strings.Split(string(out), "\n") {
				// "  file.s:24  0x51c7a0  41bc00004100  MOVL $0x410000, R12"
				if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[1], "0x") {
					got.WriteString(strings.Join(f[2:], " ") + "\n")
				}
			}
			golden := filepath.Join("testdata", arch+".golden")
			// Targets of jumps are absolute; the encoded bytes beside them are not.
			text := jumpTarget.ReplaceAllString(got.String(), "$1 *")
			text = symbol.ReplaceAllString(text, "$$0x410000")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text); diff != "" {
				t.Errorf("machine code (-want +got):\n%s", diff)
			}
		})
	}
}

func goTool(t *testing.T, arch string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}
