package network

import (
	"fmt"
	"os"
	"testing"

	"berth/test/berthtest"
)

// TestLeaks: many containers in many networks leave nothing, neither on the host
// nor in the daemon.
func TestLeaks(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "--ipv6", "keep")
	l.Must(t, "network", "create", "--ipv6", "n2")
	run := func() {
		t.Helper()
		l.Must(t, "run", "--rm", "--network", "keep", "--network", "n2", "-p", "80", "-p", "80/udp", "toolbox", "true")
		l.Must(t, "run", "-d", "--name", "c1", "-p", "80", "toolbox", "sleep", "1000")
		l.Must(t, "network", "connect", "n2", "c1")
		l.Must(t, "network", "disconnect", "n2", "c1")
		l.Must(t, "network", "create", "--ipv6", "brief")
		l.Must(t, "run", "--rm", "--network", "brief", "toolbox", "true")
		l.Must(t, "network", "rm", "brief")
		l.Must(t, "rm", "-f", "c1")
	}
	run()
	l.clean()
	files, links := l.files(), len(devices(t, ""))
	for range 10 {
		run()
	}
	l.clean()
	err := berthtest.Poll(func() error {
		if now := l.files(); now > files {
			return fmt.Errorf("berthd has %d files open, had %d", now, files)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if now := len(devices(t, "")); now != links {
		t.Errorf("%d network devices, were %d", now, links)
	}
}

func (l *lab) files() int {
	l.t.Helper()
	return count(l.t, fmt.Sprintf("/proc/%d/fd", l.Daemon()))
}

func count(t *testing.T, dir string) int {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
