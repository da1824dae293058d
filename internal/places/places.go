// Package places says where berth keeps things if nothing else is said: for root,
// and for an ordinary user.
//
// Level: L0.
// Owns: the names of these directories.
// May import: the standard library.
// Must not know: what is in them.
package places

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Root's places.
const (
	Root = "/var/lib/berth"
	Run  = "/run/berth"
)

// Data is the data root of a user: $XDG_DATA_HOME/berth, ~/.local/share/berth if that
// is not set (XDG Base Directory Specification), and root's for root.
func Data(uid int, getenv func(string) string) (string, error) {
	if uid == 0 {
		return Root, nil
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "berth"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/share/berth"), nil
	}
	return "", errors.New("HOME is not set, so there is no place for images: set it, or name a directory with --root or BERTH_ROOT")
}

// Runtime is the run directory of a user: $XDG_RUNTIME_DIR/berth, or what that usually
// is, if it is there and the user's alone; and root's for root.
func Runtime(uid int, getenv func(string) string) (string, error) {
	if uid == 0 {
		return Run, nil
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(uid)
		if !private(dir, uid) {
			return "", fmt.Errorf("XDG_RUNTIME_DIR is not set and %s is not there: log in as this user (su and sudo are no login; \"machinectl shell\" is), or name a directory with --run or BERTH_RUN", dir)
		}
	}
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("XDG_RUNTIME_DIR is %q, which is no absolute path: set it to /run/user/%d", dir, uid)
	}
	return filepath.Join(dir, "berth"), nil
}

func private(dir string, uid int) bool {
	fi, err := os.Lstat(dir)
	if err != nil || !fi.IsDir() || fi.Mode().Perm()&0o077 != 0 {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}
