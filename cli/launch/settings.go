package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth/internal/places"
)

// Settings say which daemon a command talks to.
type Settings struct {
	// Host is the daemon's address, unix://PATH. Empty: the socket in Run, and
	// a daemon is started if none runs.
	Host string
	// Root is the daemon's data root, Run its run directory; they are handed to
	// a daemon that is started. Empty: there is no place for it, see Check.
	Root, Run string
}

// FromEnv reads BERTH_HOST, BERTH_ROOT and BERTH_RUN. What is not set there is
// root's or this user's.
func FromEnv(getenv func(string) string) Settings {
	// An error is Check's: a flag may name the directory.
	root, _ := places.Data(os.Geteuid(), getenv)
	run, _ := places.Runtime(os.Geteuid(), getenv)
	return Settings{
		Host: getenv("BERTH_HOST"),
		Root: or(getenv("BERTH_ROOT"), root),
		Run:  or(getenv("BERTH_RUN"), run),
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Check tests the settings and makes the paths absolute.
func (s *Settings) Check() error {
	if s.Host != "" && !strings.HasPrefix(s.Host, "unix://") {
		return fmt.Errorf("the daemon's address %q is not supported: berthd listens on a unix socket, give unix:///PATH", s.Host)
	}
	var err error
	if s.Host == "" && s.Root == "" {
		if _, err := places.Data(os.Geteuid(), os.Getenv); err != nil {
			return err
		}
	}
	if s.Host == "" && s.Run == "" {
		if _, err := places.Runtime(os.Geteuid(), os.Getenv); err != nil {
			return err
		}
	}
	if s.Root, err = filepath.Abs(s.Root); err != nil {
		return fmt.Errorf("find the data root %s: %w", s.Root, err)
	}
	if s.Run, err = filepath.Abs(s.Run); err != nil {
		return fmt.Errorf("find the run directory %s: %w", s.Run, err)
	}
	const maxSocket = 107 // sun_path, unix(7), without its final zero byte
	if p := s.Socket(); len(p) > maxSocket {
		return fmt.Errorf("the path of the daemon's socket %s has %d bytes, and the kernel takes at most %d: choose a shorter --run", p, len(p), maxSocket)
	}
	return nil
}

// Socket is the path of the daemon's unix socket.
func (s Settings) Socket() string {
	if s.Host != "" {
		return strings.TrimPrefix(s.Host, "unix://")
	}
	return filepath.Join(s.Run, "berth.sock")
}
