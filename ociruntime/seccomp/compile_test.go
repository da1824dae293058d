package seccomp

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mobyseccomp "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// defaultProfile is Docker's for a container without capabilities of note.
func defaultProfile(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	p, err := mobyseccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_CHROOT", "CAP_NET_RAW"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM}
	return p
}

func TestDefaultProfileGolden(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			f, err := Compile(defaultProfile(t), arch)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "default-"+arch+".bpf")
			got := disassemble(f)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
			}
		})
	}
}

// disassemble prints a filter with the targets of its jumps.
func disassemble(f Filter) string {
	var b strings.Builder
	fmt.Fprintf(&b, "flags %#x\n", f.Flags)
	for i, in := range f.Insns {
		at := func(off uint32) int { return i + 1 + int(off) }
		fmt.Fprintf(&b, "%4d ", i)
		switch in.Op {
		case opLoad:
			fmt.Fprintf(&b, "load %s\n", wordName(in.K))
		case opAnd:
			fmt.Fprintf(&b, "and  %#x\n", in.K)
		case opReturn:
			fmt.Fprintf(&b, "ret  %#x\n", in.K)
		case jumpAlways:
			fmt.Fprintf(&b, "goto %d\n", at(in.K))
		case jumpEqual, jumpAtLeast, jumpAnyBit:
			op := map[uint16]string{jumpEqual: "==", jumpAtLeast: ">=", jumpAnyBit: "&"}[in.Op]
			fmt.Fprintf(&b, "if   %s %#x goto %d else %d\n", op, in.K, at(uint32(in.Jt)), at(uint32(in.Jf)))
		default:
			fmt.Fprintf(&b, "unknown %+v\n", in)
		}
	}
	return b.String()
}

func wordName(offset uint32) string {
	switch {
	case offset == offNr:
		return "nr"
	case offset == offArch:
		return "arch"
	case offset >= offArgs:
		return fmt.Sprintf("arg%d.%s", (offset-offArgs)/8, []string{"low", "high"}[(offset-offArgs)%8/4])
	}
	return fmt.Sprint(offset)
}

func TestDefaultProfileAgainstNaive(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) { compareAll(t, defaultProfile(t), arch) })
	}
}

func BenchmarkCompile(b *testing.B) {
	p := defaultProfile(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(p, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}
