package state

import (
	"errors"
	"os"
	"testing"

	"github.com/containerd/errdefs"
)

// An id becomes the name of a directory: whoever asks, it is one name.
func TestSecurity23StoreChecksIDs(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(root+"/x", 0o700); err != nil {
		t.Fatal(err)
	}
	s := Store{Root: root + "/state"}
	for _, id := range []string{"", ".", "..", "../x", "a/b", "~seccomp", "~new-a", "a\x00"} {
		_, create := s.Create(Record{ID: id}, nil, false)
		_, open := s.Open(id)
		_, lock := s.Lock(id)
		for what, err := range map[string]error{"Create": create, "Open": open, "Lock": lock, "Free": s.Free(id), "Sweep": s.Sweep(id)} {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%s of %q: %v", what, id, err)
			}
		}
	}
	if _, err := os.Stat(root + "/state"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}
