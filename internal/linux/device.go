package linux

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Device is a device node.
type Device struct {
	Block        bool // else a character device
	Major, Minor uint32
	Mode         fs.FileMode // permission bits
	UID, GID     uint32
}

// DeviceOf tells which device a file is, by what os.Stat said of it; false if
// it is none.
func DeviceOf(info os.FileInfo) (Device, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeDevice == 0 {
		return Device{}, false
	}
	return Device{
		Block: info.Mode()&fs.ModeCharDevice == 0,
		Major: unix.Major(uint64(st.Rdev)), Minor: unix.Minor(uint64(st.Rdev)),
		Mode: info.Mode().Perm(), UID: st.Uid, GID: st.Gid,
	}, true
}

// KernelRelease is the running kernel's version, 6.1 of "6.1.0-18-amd64" (uname(2)).
func KernelRelease() (major, minor uint, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return 0, 0, os.NewSyscallError("uname", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("read the kernel's release %q: %w", release, err)
	}
	return major, minor, nil
}

// IsCgroup2 reports whether path is on a cgroup v2 file system (statfs(2)).
func IsCgroup2(path string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return false, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return st.Type == unix.CGROUP2_SUPER_MAGIC, nil
}
