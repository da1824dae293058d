package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"berth/cli/client"
)

const (
	// startLimit bounds the time that berthd may take until it listens. Reading
	// the state of many containers from a cold disk takes seconds at most.
	startLimit = 30 * time.Second
	// againLimit bounds the time that a daemon which the user named may take to
	// come back.
	againLimit = 10 * time.Second
	// pollEvery is the time between two attempts to connect to a daemon that starts.
	pollEvery = 2 * time.Millisecond
	// maxLog is the size beyond which a start empties the log: the run directory
	// is usually in memory.
	maxLog = 1 << 20
	// maxStartError bounds what is shown of a log.
	maxStartError = 4 << 10
)

// Ensure connects to the daemon and starts one if none listens, unless the user
// named an address: then it is not ours to start.
func Ensure(ctx context.Context, api *client.Client, s Settings) error {
	err := api.Dial(ctx)
	if err == nil || !nobodyListens(err) || s.Host != "" {
		return explain(err, s)
	}
	if err := os.MkdirAll(s.Run, 0o700); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(s.Run, "start.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	// While we waited for the lock, another command may have started it.
	if err := api.Dial(ctx); err == nil || !nobodyListens(err) {
		return explain(err, s)
	}
	return start(ctx, api, s)
}

// Again connects after the daemon was lost. One that the user named is not ours
// to start, so it gets time to be started again.
func Again(ctx context.Context, api *client.Client, s Settings) error {
	if s.Host == "" {
		return Ensure(ctx, api, s)
	}
	deadline, cancel := context.WithTimeout(ctx, againLimit)
	defer cancel()
	var last error
	err := poll(deadline, func() (bool, error) {
		last = api.Dial(ctx)
		return last == nil || !nobodyListens(last), explain(last, s)
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return explain(last, s)
	}
	return err
}

// nobodyListens tells the two errors of connect(2) that mean so: there is no
// socket, or its owner is dead.
func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
}

func explain(err error, s Settings) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		return fmt.Errorf("cannot reach berthd at %s: permission denied: it is another user's; leave out --host and --run for your own, or use sudo for root's", s.Socket())
	case nobodyListens(err):
		return fmt.Errorf("no berthd listens at %s: start it, or leave out --host and BERTH_HOST to have it started", s.Socket())
	}
	return fmt.Errorf("connect to berthd at %s: %w", s.Socket(), err)
}

// lock takes the lock that lets one command at a time start a daemon. The kernel
// gives it back when its holder dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock for starting berthd: %w", err)
	}
	deadline, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err = poll(deadline, func() (bool, error) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		_ = f.Close() // nothing was locked
		return nil, fmt.Errorf("take the lock for starting berthd, %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing unlocks; there is nothing to write back
}

// start runs `berthd --on-demand` in a session of its own and waits until it
// listens. Its output goes to a log in the run directory.
func start(ctx context.Context, api *client.Client, s Settings) error {
	path, err := find()
	if err != nil {
		return err
	}
	logPath := filepath.Join(s.Run, "berthd.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open berthd's log: %w", err)
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("find the end of berthd's log: %w", err)
	}
	if before > maxLog {
		if err := log.Truncate(0); err != nil {
			return fmt.Errorf("empty berthd's log: %w", err)
		}
		before = 0
	}
	cmd := exec.Command(path, "--on-demand", "--root", s.Root, "--run", s.Run, "--log", logPath)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start berthd: %w", err)
	}
	// Joined by its end, which is berthd's: the command usually ends before.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	deadline, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err = poll(deadline, func() (bool, error) {
		err := api.Dial(ctx)
		if err == nil || !nobodyListens(err) {
			return true, explain(err, s)
		}
		select {
		case err := <-ended:
			return true, startError(log, before, logPath, err)
		default:
			return false, nil
		}
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("berthd does not listen at %s after %s: see %s", s.Socket(), startLimit, logPath)
	}
	return err
}

// poll calls f until it is done, fails, or the context ends.
func poll(ctx context.Context, f func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if done, err := f(); done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// find looks for berthd beside our own executable, then in PATH.
func find() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "berthd")
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath("berthd")
	if err != nil {
		return "", errors.New("berthd is not installed: it is neither beside berth nor in PATH; install both with `make install`")
	}
	return path, nil
}

// startError is what berthd wrote before it ended: its last line says why.
func startError(log *os.File, from int64, path string, ended error) error {
	text, err := io.ReadAll(io.NewSectionReader(log, from, 1<<20))
	if err != nil {
		return fmt.Errorf("berthd did not start (%w), and its log %s cannot be read: %w", ended, path, err)
	}
	text = bytes.TrimSpace(text)
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	if len(text) > maxStartError {
		text = text[:maxStartError]
	}
	if len(text) == 0 {
		if ended == nil {
			return fmt.Errorf("berthd ended while it started and said nothing: see %s", path)
		}
		return fmt.Errorf("berthd did not start (%w) and said nothing: see %s", ended, path)
	}
	return fmt.Errorf("berthd did not start: %s", strings.TrimPrefix(string(text), "berthd: "))
}
