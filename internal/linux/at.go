package linux

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The functions of this file act on one name in an open directory, as the *at
// system calls do. The name must be a single path component: then no symbolic
// link is ever followed, and what is acted on lies in that directory.

// FileID tells one file from another on this host.
type FileID struct{ Dev, Ino uint64 }

// Stat is what lstat(2) says of a file.
type Stat struct {
	ID       FileID
	Mode     uint32 // S_IFMT and permission bits, as the kernel has them
	UID, GID uint32
	Rdev     uint64 // of a device node, see [Mkdev]
	Links    uint64
	Size     int64 // bytes
	Disk     int64 // bytes allocated on disk
	Mtime    time.Time
}

// IsDir tells a directory.
func (s Stat) IsDir() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsSymlink tells a symbolic link.
func (s Stat) IsSymlink() bool { return s.Mode&unix.S_IFMT == unix.S_IFLNK }

// IsWhiteout tells overlayfs's mark of a deleted name: a character device 0:0.
func (s Stat) IsWhiteout() bool { return s.Mode&unix.S_IFMT == unix.S_IFCHR && s.Rdev == 0 }

// StatAt returns what lies at name in dir; a symbolic link is not followed.
// An empty name is dir itself.
func StatAt(dir *os.File, name string) (Stat, error) {
	var st unix.Stat_t
	err := retry(func() error {
		return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH)
	})
	if err != nil {
		return Stat{}, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return Stat{
		ID:   FileID{Dev: st.Dev, Ino: st.Ino},
		Mode: st.Mode, UID: st.Uid, GID: st.Gid,
		Rdev: st.Rdev, Links: uint64(st.Nlink),
		Size: st.Size, Disk: st.Blocks * 512,
		Mtime: time.Unix(st.Mtim.Unix()),
	}, nil
}

// CreateAt makes a new regular file, mode 0600, for writing. EEXIST if the
// name is taken, by a dangling symbolic link too.
func CreateAt(dir *os.File, name string) (*os.File, error) {
	return openAt(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, 0o600)
}

// OpenAt opens name in dir with the open(2) flags given; ELOOP if it is a
// symbolic link (unless O_PATH is among the flags).
func OpenAt(dir *os.File, name string, flags int) (*os.File, error) {
	return openAt(dir, name, flags|unix.O_NOFOLLOW, 0)
}

func openAt(dir *os.File, name string, flags int, mode uint32) (*os.File, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// MkdirAt makes a directory, mode 0700. EEXIST if the name is taken.
func MkdirAt(dir *os.File, name string) error {
	return pathErr("mkdir", name, unix.Mkdirat(int(dir.Fd()), name, 0o700))
}

// SymlinkAt makes a symbolic link to target.
func SymlinkAt(dir *os.File, name, target string) error {
	return pathErr("symlink", name, unix.Symlinkat(target, int(dir.Fd()), name))
}

// ReadlinkAt returns the target of a symbolic link. EINVAL if it is none.
func ReadlinkAt(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

// LinkAt gives the file oldName in oldDir a further name. A symbolic link is
// linked itself, not what it points to.
func LinkAt(oldDir *os.File, oldName string, dir *os.File, name string) error {
	return pathErr("link", name, unix.Linkat(int(oldDir.Fd()), oldName, int(dir.Fd()), name, 0))
}

// MknodAt makes a device node, fifo or socket: mode holds the S_IFMT bits and
// the permissions, which are set exactly (no umask); rdev is as [Mkdev] makes it.
func MknodAt(dir *os.File, name string, mode uint32, rdev uint64) error {
	err := unix.Mknodat(int(dir.Fd()), name, mode&unix.S_IFMT|0o600, int(rdev))
	if err != nil || mode&0o7777 == 0o600 {
		return pathErr("mknod", name, err)
	}
	return ChmodAt(dir, name, mode&0o7777)
}

// ChmodAt sets the permission bits (07777) of name; EOPNOTSUPP if it is a
// symbolic link. fchmodat(2) has no way to refuse links before Linux 6.6, so
// the file is opened O_PATH first and changed through /proc.
func ChmodAt(dir *os.File, name string, mode uint32) error {
	f, err := OpenAt(dir, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // O_PATH: nothing to flush
	err = unix.Fchmodat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), mode&0o7777, 0)
	return pathErr("chmod", name, err)
}

// Chmod sets the permission bits (07777) of the open file f. Unlike
// os.File.Chmod it takes the kernel's bits.
func Chmod(f *os.File, mode uint32) error {
	return pathErr("chmod", f.Name(), unix.Fchmod(int(f.Fd()), mode&0o7777))
}

// ChownAt sets the owner of name, of a symbolic link itself; of dir if name is empty.
func ChownAt(dir *os.File, name string, uid, gid uint32) error {
	return pathErr("chown", name, unix.Fchownat(int(dir.Fd()), name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH))
}

// SetMtimeAt sets the modification time of name, of a symbolic link itself,
// to the nanosecond; the access time stays. An empty name is dir itself
// (Linux 5.8).
func SetMtimeAt(dir *os.File, name string, mtime time.Time) error {
	ts := []unix.Timespec{
		{Nsec: unix.UTIME_OMIT},
		{Sec: mtime.Unix(), Nsec: int64(mtime.Nanosecond())},
	}
	err := unix.UtimesNanoAt(int(dir.Fd()), name, ts, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH)
	return pathErr("set time of", name, err)
}

// UnlinkAt removes the name of a file that is no directory (EISDIR).
func UnlinkAt(dir *os.File, name string) error {
	return pathErr("unlink", name, unix.Unlinkat(int(dir.Fd()), name, 0))
}

// RmdirAt removes an empty directory.
func RmdirAt(dir *os.File, name string) error {
	return pathErr("rmdir", name, unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR))
}

// SyncFS writes all of the file system that f lies on to disk (syncfs(2)) and
// reports write-back errors since the file system was last asked (Linux 5.8).
func SyncFS(f *os.File) error {
	return pathErr("syncfs", f.Name(), unix.Syncfs(int(f.Fd())))
}

func pathErr(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

// retry repeats call while a signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Exchange swaps the names of two files of one file system in one step
// (renameat2(2) RENAME_EXCHANGE, Linux 3.15). The error is an *os.LinkError:
// os.ErrNotExist if one is missing, EINVAL if the file system cannot.
func Exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return &os.LinkError{Op: "renameat2", Old: a, New: b, Err: err}
	}
	return nil
}
