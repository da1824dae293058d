package engine

import (
	"fmt"
	"path"

	"github.com/containerd/errdefs"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// noContainer and imageError use Docker's words where nothing was found: its
// clients look for them.
func noContainer(ref string) error {
	return errdefs.ErrNotFound.WithMessage("No such container: " + clip(ref))
}

func imageError(ref string, err error) error {
	if errdefs.IsNotFound(err) {
		return errdefs.ErrNotFound.WithMessage("No such image: " + clip(ref))
	}
	return err
}

func clip(s string) string { return s[:min(len(s), 200)] }

func globMatch(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
