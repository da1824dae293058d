package seccomp

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// rawDefault is the default profile as it stands in config.json.
func rawDefault(t testing.TB) []byte {
	t.Helper()
	raw, err := json.MarshalIndent(defaultProfile(t), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newDiskCache(t testing.TB) DiskCache { return DiskCache{filepath.Join(t.TempDir(), "seccomp")} }

// compileRaw is Compile for a profile in JSON.
func compileRaw(raw []byte, goarch string) (Filter, error) {
	var p specs.LinuxSeccomp
	if err := json.Unmarshal(raw, &p); err != nil {
		return Filter{}, err
	}
	return Compile(&p, goarch)
}

// CompileRaw is what a runtime does.
func (c DiskCache) CompileRaw(raw []byte, goarch string) (Filter, error) {
	if f, ok := c.Find(raw, goarch); ok {
		return f, nil
	}
	f, err := compileRaw(raw, goarch)
	if err == nil {
		c.Add(raw, goarch, f)
	}
	return f, err
}

// files are the paths in the cache's directory.
func (c DiskCache) files(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(c.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// must compiles raw and compares with what comes without a cache.
func (c DiskCache) must(t testing.TB, raw []byte) {
	t.Helper()
	want, err := compileRaw(raw, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.CompileRaw(raw, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("not what Compile gives (-want +got):\n%s", diff)
	}
}

func TestDiskCache(t *testing.T) {
	c, raw := newDiskCache(t), rawDefault(t)
	c.must(t, raw)
	files := c.files(t)
	if len(files) != 1 {
		t.Fatalf("the directory holds %v, want one file", files)
	}
	for path, want := range map[string]os.FileMode{c.Dir: os.ModeDir | 0o700, files[0]: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	c.must(t, raw)
	for name, other := range map[string]func() (Filter, error){
		"another architecture": func() (Filter, error) { return c.CompileRaw(raw, "arm64") },
		"other bytes":          func() (Filter, error) { return c.CompileRaw(append(raw, ' '), "amd64") },
		"decoded":              func() (Filter, error) { return c.Compile(defaultProfile(t), "amd64") },
		"decoded, other":       func() (Filter, error) { return c.Compile(defaultProfile(t), "arm64") },
	} {
		before := len(c.files(t))
		f, err := other()
		if err != nil || len(f.Insns) == 0 || len(c.files(t)) != before+1 {
			t.Errorf("%s: %d instructions, %v, %d files after %d", name, len(f.Insns), err, len(c.files(t)), before)
		}
	}
}

// TestDiskCacheReads puts another filter under the key: it is what comes, so
// the profile is not looked at.
func TestDiskCacheReads(t *testing.T) {
	c, raw := newDiskCache(t), rawDefault(t)
	c.must(t, raw)
	other := Filter{Insns: []bpf.RawInstruction{{Op: opReturn, K: uint32(retAllow)}}, Flags: FlagLog}
	overwrite(t, c.files(t)[0], encodeFilter(onlyKey(t, c), other))
	if got, err := c.CompileRaw(raw, "amd64"); err != nil || !cmp.Equal(got, other) {
		t.Errorf("got %+v, %v, want what the file holds", got, err)
	}
}

func onlyKey(t testing.TB, c DiskCache) (key [32]byte) {
	t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(filepath.Base(c.files(t)[0]), "%x", &b); err != nil {
		t.Fatal(err)
	}
	return [32]byte(b)
}

func overwrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDiskCacheCorrupt changes every byte, cuts at every length, and appends:
// never does another filter come, and the file is whole again afterwards.
func TestDiskCacheCorrupt(t *testing.T) {
	c := newDiskCache(t)
	raw := []byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","mount"],"action":"SCMP_ACT_ALLOW"}]}`)
	c.must(t, raw)
	path, key := c.files(t)[0], onlyKey(t, c)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := [][]byte{nil, append(slices.Clone(good), 0), append(slices.Clone(good), good...), bytes.Repeat([]byte{0}, len(good)), make([]byte, diskMost+8)}
	for i := range good {
		damaged = append(damaged, good[:i])
		for bit := range 8 {
			b := slices.Clone(good)
			b[i] ^= 1 << bit
			damaged = append(damaged, b)
		}
	}
	for i, b := range damaged {
		if _, ok := decodeFilter(key, b); ok {
			t.Fatalf("damage %d is accepted", i)
		}
		if i%100 > 4 {
			continue // by way of the disk it takes longer
		}
		overwrite(t, path, b)
		c.must(t, raw)
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, good) {
			t.Fatalf("damage %d is not healed: %v", i, err)
		}
	}
	if _, ok := decodeFilter([32]byte{}, good); ok {
		t.Error("the file is accepted for another key")
	}
	t.Logf("%d ways to damage %d bytes", len(damaged), len(good))
}

// TestDiskCacheElsewhere: a directory that somebody else may write, or that is
// none, is left alone, and no error.
func TestDiskCacheElsewhere(t *testing.T) {
	raw := rawDefault(t)
	for name, prepare := range map[string]func(t *testing.T, dir string) error{
		"open to all": func(t *testing.T, dir string) error {
			return os.Mkdir(dir, 0o700) // made wide below, whatever the umask
		},
		"a symbolic link": func(t *testing.T, dir string) error { return os.Symlink(t.TempDir(), dir) },
		"a file":          func(t *testing.T, dir string) error { return os.WriteFile(dir, []byte("x"), 0o600) },
		"no parent":       func(*testing.T, string) error { return nil },
		"another user's": func(t *testing.T, dir string) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chown(dir, 12345, -1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newDiskCache(t)
			if err := prepare(t, c.Dir); err != nil {
				t.Fatal(err)
			}
			switch name {
			case "open to all":
				if err := os.Chmod(c.Dir, 0o755); err != nil {
					t.Fatal(err)
				}
			case "no parent":
				c.Dir = filepath.Join(c.Dir, "below")
			}
			c.must(t, raw)
			if files := c.files(t); len(files) > 0 {
				t.Errorf("wrote %v", files)
			}
		})
	}
	DiskCache{}.must(t, raw)
}

func TestDiskCacheBound(t *testing.T) {
	c := newDiskCache(t)
	for i := range uint(3 * diskEntries) {
		if _, err := c.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &i}, "amd64"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.files(t)); n != diskEntries {
		t.Errorf("%d files, want %d", n, diskEntries)
	}
}

// TestDiskCacheRace has many use one directory at once, over its bound.
func TestDiskCacheRace(t *testing.T) {
	c := newDiskCache(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2 * diskEntries {
				errno := uint((i*(w+1) + w) % (diskEntries + 9))
				want := []bpf.RawInstruction{{Op: opReturn, K: uint32(retErrno) | uint32(errno)}}
				f, err := c.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno}, "amd64")
				if err != nil || !slices.Contains(f.Insns, want[0]) {
					t.Errorf("errno %d: %v, %v", errno, f.Insns, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, path := range c.files(t) {
		if bytes.HasPrefix([]byte(filepath.Base(path)), []byte("new-")) {
			t.Errorf("%s is left", path)
		}
	}
}

func BenchmarkDiskCache(b *testing.B) {
	c, raw := newDiskCache(b), rawDefault(b)
	c.must(b, raw)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := c.CompileRaw(raw, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompileRaw(b *testing.B) {
	raw := rawDefault(b)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := compileRaw(raw, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCompilerVersion fails when the compiler gives other filters than when
// compilerVersion was last raised: those in caches would stay in use.
func TestCompilerVersion(t *testing.T) {
	h := sha256.New()
	fmt.Fprintln(h, syscalls)
	var profiles []*specs.LinuxSeccomp
	for _, name := range slices.Sorted(maps.Keys(testProfiles)) {
		profiles = append(profiles, testProfiles[name])
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := make([]byte, 20+r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		profiles = append(profiles, profileOf(b))
	}
	for _, p := range profiles {
		for _, arch := range []string{"amd64", "arm64"} {
			f, err := Compile(p, arch)
			if err != nil {
				t.Fatal(err)
			}
			h.Write(f.Bytes())
			fmt.Fprintln(h, f.Flags)
		}
	}
	const file = "testdata/compiler.version"
	got := fmt.Sprintf("%d %x\n", compilerVersion, h.Sum(nil))
	b, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := string(b)
	if got == want {
		return
	}
	if strings.HasPrefix(want, fmt.Sprintf("%d ", compilerVersion)) {
		t.Fatal("the compiler gives other filters than before: raise compilerVersion, then run with -update")
	}
	if !*update {
		t.Fatal("run with -update")
	}
	overwrite(t, file, []byte(got))
}
