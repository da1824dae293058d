package layer_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"berth/internal/testutil"
	"berth/layer"
)

// GNU tar writes sparse files in four formats: the content and the holes
// survive each.
func TestApplySparse(t *testing.T) {
	testutil.RequireRoot(t)
	src := t.TempDir()
	const size = 64 << 20
	write := func(name string, size int64, at ...int64) {
		t.Helper()
		f, err := os.Create(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, off := range at {
			if _, err := f.WriteAt(bytes.Repeat([]byte("data"), 3000), off); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
	}
	write("middle", size, 10<<20, 10<<20+64<<10, 40<<20+1)
	write("start", size+3, 0)
	write("end", size+5, size+5-12000)
	write("hole", size)
	var many []int64
	for i := range int64(500) {
		many = append(many, i*100_000)
	}
	write("many", size, many...)
	for _, format := range [][]string{
		{"--format=gnu"},
		{"--format=posix", "--sparse-version=0.0"},
		{"--format=posix", "--sparse-version=0.1"},
		{"--format=posix", "--sparse-version=1.0"},
	} {
		t.Run(format[len(format)-1], func(t *testing.T) {
			data, err := exec.Command("tar", append(format, "-C", src, "--sparse", "-c", "middle", "start", "end", "hole", "many")...).Output()
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > 20<<20 {
				t.Fatalf("tar of %d bytes is not sparse", len(data))
			}
			dir, _ := root(t)
			if _, err := layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"middle", "start", "end", "hole", "many"} {
				want, err := os.ReadFile(filepath.Join(src, name))
				if err != nil {
					t.Fatal(err)
				}
				if got := read(t, dir, name); got != string(want) {
					t.Errorf("%s: content differs", name)
				}
				limit := int64(1 << 20)
				if name == "many" {
					limit = 16 << 20
				}
				if disk := stat(t, dir, name).Disk; disk > limit {
					t.Errorf("%s: %d bytes on disk: the holes are gone", name, disk)
				}
			}
		})
	}
}
