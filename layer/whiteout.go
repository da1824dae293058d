package layer

import (
	"errors"
	"strings"
	"syscall"

	"berth/internal/linux"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = whiteoutPrefix + whiteoutPrefix
	whiteoutOpaque = whiteoutMeta + ".opq"
)

// whiteout makes what an AUFS name of the image format means. done is false
// for a name that only looks like one.
func (x *extractor) whiteout(name string) (done bool, err error) {
	up, base := split(name)
	for component := range strings.SplitSeq(up, "/") {
		if strings.HasPrefix(component, whiteoutMeta) {
			return true, nil // in AUFS's own directory
		}
		if strings.HasPrefix(component, whiteoutPrefix) {
			return true, refuse("lies below the whiteout %.200q", component)
		}
	}
	if !strings.HasPrefix(base, whiteoutPrefix) {
		return false, nil
	}
	if strings.HasPrefix(base, whiteoutMeta) && base != whiteoutOpaque {
		return true, nil
	}
	target := strings.TrimPrefix(base, whiteoutPrefix)
	if target == "" || target == "." || target == ".." {
		return true, refuse("whiteout of %.200q", target)
	}
	parent, err := x.resolve(up, true)
	if err != nil {
		return true, err
	}
	if base == whiteoutOpaque {
		return true, x.markOpaque(parent)
	}
	return true, x.delete(parent, target)
}

// delete hides name of the layers below.
func (x *extractor) delete(parent *dir, name string) error {
	parent.touched = true
	err := linux.MknodAt(parent.f, name, syscall.S_IFCHR|0o600, 0)
	if !errors.Is(err, syscall.EEXIST) {
		return err
	}
	// This layer has the name itself: only a directory would still show what
	// is below.
	st, err := linux.StatAt(parent.f, name)
	if err != nil || !st.IsDir() {
		return err
	}
	d, err := x.enterDir(parent, name)
	if err != nil {
		return err
	}
	return x.markOpaque(d)
}
