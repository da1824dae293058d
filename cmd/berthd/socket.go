package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// privateDir makes a directory that only root may enter, and makes sure that an
// existing one is such.
func privateDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("directory %q: it must be an absolute path", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("directory %s belongs to another user: choose one of your own", dir)
	}
	if fi.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// lockDir makes sure that one daemon works on a directory; it waits for the end
// of another. The kernel gives the lock back when a daemon dies, however it does.
func lockDir(ctx context.Context, dir string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(wait); ; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || ctx.Err() != nil || time.Now().After(end) {
			break
		}
		<-tick.C
	}
	if err != nil {
		_ = f.Close() // not locked
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another berthd works on %s: stop it, or choose another directory", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// locks are held as long as one of their files is open, in any process.
type locks []*os.File

func (l locks) release() {
	for _, f := range l {
		_ = f.Close() // closing unlocks
	}
}

// lockDirs locks the data root and the run directory.
func lockDirs(ctx context.Context, o options) (held locks, err error) {
	for _, dir := range []string{o.root, o.run} {
		// A command starts a daemon as soon as the last one has closed its socket.
		wait := time.Duration(0)
		if o.onDemand {
			wait = 2 * shutdownLimit
		}
		f, err := lockDir(ctx, dir, wait)
		if err != nil {
			held.release()
			return nil, err
		}
		held = append(held, f)
	}
	return held, nil
}

// listen returns the socket: systemd's, if it started us for one, else our own.
func listen(o options) (*net.UnixListener, error) {
	if o.inside != nil && o.inside.listener != nil {
		return takeOver(o.inside.listener)
	}
	f, err := inherited()
	if err != nil {
		return nil, err
	}
	if f != nil {
		return takeOver(f)
	}
	path := filepath.Join(o.run, "berth.sock")
	// Nobody listens there: we hold the lock. The directory is root's alone, so
	// nobody can put something else there or connect before the mode is set.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// firstInherited is the first descriptor of socket activation (sd_listen_fds(3)).
const firstInherited = 3

// inherited returns the socket of systemd's socket activation, or nil.
func inherited() (*os.File, error) {
	n, pid := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID")
	if n == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if n != "1" {
		return nil, fmt.Errorf("socket activation passes %s sockets: berthd takes one", n)
	}
	return os.NewFile(firstInherited, "socket"), nil
}

func takeOver(f *os.File) (*net.UnixListener, error) {
	l, err := net.FileListener(f)
	err = errors.Join(err, f.Close()) // FileListener has its own, close-on-exec
	if err != nil {
		return nil, fmt.Errorf("take over systemd's socket: %w", err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(errors.New("socket activation passes no unix socket"), l.Close())
	}
	u.SetUnlinkOnClose(false)
	return u, nil
}
