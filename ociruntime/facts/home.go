package facts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"berth/internal/linux"
)

// maxPasswd bounds what is read of a root file system's /etc/passwd.
const maxPasswd = 1 << 20

// Home is the directory that the root file system's /etc/passwd gives a user, or
// "/": what runc and crun set HOME to if a process comes without. It is looked
// up where the bundle says the root is, so nothing that the container mounts has
// a part in it.
func Home(rootfs string, uid uint32) string {
	f, err := openPasswd(rootfs)
	if err != nil {
		return "/" // no file, no entry
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, maxPasswd)); s.Scan(); {
		field := strings.Split(s.Text(), ":")
		if len(field) < 6 || !strings.HasPrefix(field[5], "/") || strings.ContainsRune(field[5], 0) {
			continue
		}
		if n, err := strconv.ParseUint(field[2], 10, 32); err == nil && uint32(n) == uid {
			return field[5]
		}
	}
	return "/"
}

// openPasswd opens the file if it is one: opening a device or a pipe may have
// effects, or never end.
func openPasswd(rootfs string) (*os.File, error) {
	root, err := os.OpenFile(rootfs, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	found, err := linux.OpenInRoot(root, "etc/passwd", linux.OPath, 0)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	if st, err := found.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("open /etc/passwd: it is no file: %w", os.ErrInvalid)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", found.Fd()))
}
