package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestArchiveIsReproducible(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"sh", "tool", "uroot"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var archives [][]byte
	for range 2 {
		out := filepath.Join(t.TempDir(), "sub", "toolbox.tar")
		if err := writeArchive(out, dir, "amd64"); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(out + ".tmp"); err == nil {
			t.Error("the temporary file is left")
		}
		archives = append(archives, b)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same programs gave different archives")
	}
}

func TestArchiveNeedsItsPrograms(t *testing.T) {
	out := filepath.Join(t.TempDir(), "toolbox.tar")
	if err := writeArchive(out, t.TempDir(), "amd64"); err == nil {
		t.Error("an archive without programs was written")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed archive has its name")
	}
}

func TestLinkedLeavesOutWhatToolAnswersFor(t *testing.T) {
	for _, name := range linked() {
		for _, c := range toolCommands {
			if name == c {
				t.Errorf("%s is linked to both", name)
			}
		}
	}
}
