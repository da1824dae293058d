package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// Pids are the container's processes: those of its cgroup, without one those of
// its PID namespace. None if it has ended.
func (c *Container) Pids() ([]int, error) {
	if c.cgroup != nil {
		return c.cgroup.Pids()
	}
	return sameNamespace(c.Pid())
}

// sameNamespace finds the processes in the PID namespace of a process.
func sameNamespace(pid int) ([]int, error) {
	want, err := os.Readlink(namespaceOf(strconv.Itoa(pid)))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the processes of a container: %w", err)
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("find the processes of a container: %w", err)
	}
	var pids []int
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if got, err := os.Readlink(namespaceOf(name)); err == nil && got == want { // else it is another's, or has ended
			pids = append(pids, n)
		}
	}
	return pids, nil
}

func namespaceOf(pid string) string { return "/proc/" + pid + "/ns/pid" }
