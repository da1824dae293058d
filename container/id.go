package container

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// maxName bounds a name: it is a file name in some clients and a host name part.
const maxName = 128

// newID returns 64 random hex digits whose first 12 are not all decimal: the
// short form must not look like a number (a user id, a port) to scripts.
func newID() string {
	for {
		var b [32]byte
		_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
		id := hex.EncodeToString(b[:])
		if strings.Trim(id[:12], "0123456789") != "" {
			return id
		}
	}
}

// CheckID says whether id is a full container id, 64 lower-case hex digits.
// Only such an id may become part of a path.
func CheckID(id string) error {
	if len(id) == 64 && isHex(id) {
		return nil
	}
	return fmt.Errorf("%.80q is not a container id: %w", id, errdefs.ErrInvalidArgument)
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// CheckName says whether name may name a container: 2 to 128 letters, digits,
// "_", "." or "-", the first a letter or digit.
func CheckName(name string) error {
	ok := len(name) >= 2 && len(name) <= maxName
	for i, c := range []byte(name) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && strings.IndexByte("_.-", c) >= 0)
	}
	if ok {
		return nil
	}
	return fmt.Errorf("invalid container name %.80q: use 2 to %d of [a-zA-Z0-9_.-], the first a letter or digit: %w",
		name, maxName, errdefs.ErrInvalidArgument)
}
