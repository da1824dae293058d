package netns_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"berth/internal/linux/netns"
	"berth/internal/testutil"
)

func TestDo(t *testing.T) {
	testutil.RequireRoot(t)
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := netns.Do(ns, func() error {
				links, err := net.Interfaces()
				there, lerr := os.Readlink("/proc/thread-self/ns/net")
				if len(links) != 1 || there == home {
					t.Errorf("in the new namespace %s: %v", there, links)
				}
				return errors.Join(err, lerr)
			})
			if here, lerr := os.Readlink("/proc/thread-self/ns/net"); err != nil || lerr != nil || here != home {
				t.Errorf("after it: in %s, %v, %v; want %s", here, err, lerr, home)
			}
		})
	}
	all.Wait()
	want := errors.New("f's")
	if err := netns.Do(ns, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error of f: %v", err)
	}
}

func TestOpenOfADeadProcess(t *testing.T) {
	testutil.RequireRoot(t)
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if f, err := netns.Open(cmd.Process.Pid); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%v, %v", f, err)
	}
}
