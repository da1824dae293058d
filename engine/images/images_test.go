package images

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"
)

func TestMatchReference(t *testing.T) {
	names := []string{"debian:12", "localhost:5000/a/b:1"}
	tests := []struct {
		want string
		ok   bool
	}{
		{"debian", true}, {"debian:12", true}, {"debian:11", false}, {"deb*", true}, {"deb", false},
		{"localhost:5000/a/b", true}, {"localhost:5000/a/*", true}, {"b", false}, {"[", false},
	}
	for _, tt := range tests {
		if got := matchReference([]string{tt.want}, names); got != tt.ok {
			t.Errorf("%q: %v", tt.want, got)
		}
	}
	if !matchReference(nil, nil) || matchReference([]string{"x"}, nil) {
		t.Error("without names or patterns")
	}
}

func TestExplainUsesDockersWords(t *testing.T) {
	err := explain("nope", errdefs.ErrNotFound)
	if !errors.Is(err, errdefs.ErrNotFound) || err.Error() != "No such image: nope" {
		t.Errorf("%v", err)
	}
	other := errors.New("disk")
	if explain("nope", other) != other {
		t.Error("another error was changed")
	}
}
