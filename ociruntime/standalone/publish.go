package standalone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"berth/internal/linux"
)

// publish tells the caller which process it is. kind is runc's word for it, for
// the reader of the pidfd socket.
func (a ProcessArgs) publish(pid int, kind string) error {
	if a.PidfdSocket != "" {
		if err := sendPidfd(a.PidfdSocket, pid, kind); err != nil {
			return err
		}
	}
	return writePid(a.PidFile, pid)
}

// sendPidfd sends a file of a child of ours, which nobody has reaped.
func sendPidfd(path string, pid int, kind string) (err error) {
	socket, err := linux.DialUnix(path)
	if err != nil {
		return fmt.Errorf("connect to the pidfd socket: %w", err)
	}
	defer func() { err = errors.Join(err, socket.Close()) }()
	pidfd, err := linux.PidfdOpen(pid)
	if err != nil {
		return fmt.Errorf("open the process for the pidfd socket: %w", err)
	}
	if err = errors.Join(linux.SendFile(socket, []byte(kind), pidfd), pidfd.Close()); err != nil {
		return fmt.Errorf("send to the pidfd socket: %w", err)
	}
	return nil
}

// writePid writes a pid file, whole or not at all.
func writePid(path string, pid int) error {
	if path == "" {
		return nil
	}
	fresh := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(fresh, fmt.Append(nil, pid), 0o666); err != nil {
		return fmt.Errorf("write the pid file: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("write the pid file: %w", errors.Join(err, os.Remove(fresh)))
	}
	return nil
}
