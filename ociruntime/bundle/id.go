package bundle

import (
	"berth/internal/fault"

	"github.com/containerd/errdefs"
)

// maxID is the longest container id: a file name's length less what is put
// around it for names of cgroups and temporary files.
const maxID = 240

// CheckID says whether a container may be called id: letters, digits and _+-.,
// as other runtimes have it, so that it is always one name in a directory.
// Anything else is errdefs.ErrInvalidArgument.
func CheckID(id string) error {
	switch {
	case id == "":
		return fault.Errorf(errdefs.ErrInvalidArgument, "the container id is empty: give a name")
	case len(id) > maxID:
		return fault.Errorf(errdefs.ErrInvalidArgument, "invalid container id %.20q...: it has %d characters, give at most %d", id, len(id), maxID)
	case id[0] == '.': // . and .. are directories that are always there, and ours are hidden
		return fault.Errorf(errdefs.ErrInvalidArgument, "invalid container id %q: it begins with a dot", id)
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '+', c == '-', c == '.':
		default:
			return fault.Errorf(errdefs.ErrInvalidArgument, "invalid container id %q: give letters, digits and _ + - . only", id)
		}
	}
	return nil
}
