package netns_test

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"berth/internal/linux/netns"
	"berth/internal/testutil"
)

// Who enters both has the ids of the map and all rights over the network; the child
// that made them is gone.
func TestNewOwned(t *testing.T) {
	testutil.RequireRoot(t)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 400000, Size: 65536}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			users, network, err := netns.NewOwned(ids, ids)
			if err != nil {
				t.Error(err)
				return
			}
			defer users.Close()
			defer network.Close()
			cmd := exec.Command("nsenter", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", "sh", "-ec",
				"cat /proc/self/uid_map; ip link add v0 type veth peer name v1; ip link set v1 up; ip link set v0 up; ip -o link show v0")
			cmd.ExtraFiles = []*os.File{users, network}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.HasPrefix(strings.Join(strings.Fields(string(out)), " "), "0 400000 65536 ") || !strings.Contains(string(out), "UP") {
				t.Errorf("in the namespaces: %v: %s", err, out)
			}
			up := func() (up bool) {
				err := netns.Do(network, func() error {
					lo, err := net.InterfaceByName("lo")
					if err == nil {
						up = lo.Flags&net.FlagUp != 0
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
				return up
			}
			if up() {
				t.Error("lo is up")
			}
			if err := netns.SetUp(network); err != nil || !up() {
				t.Errorf("lo is not up: %v", err)
			}
		})
	}
	all.Wait()
	children, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	if err == nil && strings.TrimSpace(string(children)) != "" {
		t.Errorf("children are left: %s", children)
	}
	if _, _, err := netns.NewOwned(append(ids, ids...), ids); err == nil {
		t.Error("a map that overlaps itself was taken")
	}
}
