package fault

import (
	"errors"
	"io"
	"testing"
)

func TestErrorf(t *testing.T) {
	class := errors.New("class")
	err := Errorf(class, "read %s: %w", "x", io.ErrUnexpectedEOF)
	if err.Error() != "read x: unexpected EOF" || !errors.Is(err, class) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Errorf("got %q", err)
	}
}
