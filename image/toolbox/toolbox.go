// Package toolbox holds the image that berth carries with it, so that the first
// container needs no registry: a shell and the usual commands, as static
// programs.
//
// Level: L2.
// Owns: the embedded archive; how it is built (mk, src).
// May import: the standard library.
// Must not know: the image store, the engine.
//
// The archive is built by make (see mk) and is not part of the repository, so a
// berth that was built without make has none and says so.
package toolbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Name is the reference that the archive's image goes by.
const Name = "toolbox:latest"

// ErrNotBuilt says that this program was built without the archive.
var ErrNotBuilt = errors.New("the toolbox image is not in this build of berth: run make build")

// Open returns the archive: a tar that is both an OCI image layout and what
// docker save writes, with one image called [Name]. ErrNotBuilt if the program
// was built without it. The caller closes it.
func Open() (io.ReadCloser, error) {
	f, err := files.Open(dir + "/toolbox.tar")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	if err != nil {
		return nil, fmt.Errorf("open the embedded toolbox image: %w", err)
	}
	return f, nil
}
