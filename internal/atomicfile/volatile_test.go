package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"berth/internal/atomicfile"
)

func TestWriteVolatileReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{"first", "second, longer", "third"} {
		if err := atomicfile.WriteVolatile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("read %q, %v; want %q", got, err, content)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files in the directory, %v; want only the one", len(entries), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What a killed process left under the temporary name is in nobody's way.
func TestWriteVolatileAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), ".file.volatile"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.WriteVolatile(path, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "whole" {
		t.Errorf("read %q, %v", got, err)
	}
}
