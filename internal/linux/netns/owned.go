package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// NewOwned makes a user namespace with these id maps, and a network namespace that
// belongs to it (user_namespaces(7)): root there has all rights over it. They live as
// long as the files or something in them. It takes CAP_SYS_ADMIN and CAP_SETUID.
func NewOwned(uids, gids []syscall.SysProcIDMap) (users, network *os.File, err error) {
	var made sync.WaitGroup
	made.Go(func() { // the end of its thread would be the child's
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		users, network, err = newOwned(uids, gids)
	})
	made.Wait()
	if err != nil {
		return nil, nil, fmt.Errorf("make a user and a network namespace: %w", err)
	}
	return users, network, nil
}

// newOwned has a child for the namespaces, for only a process of one thread can make
// and be in another user namespace. It is stopped by its tracer, this process, before the
// first instruction of its program (ptrace(2) PTRACE_TRACEME), which is never run.
func newOwned(uids, gids []syscall.SysProcIDMap) (users, network *os.File, err error) {
	child, err := os.StartProcess("/proc/self/exe", []string{"berth-namespaces"}, &os.ProcAttr{
		Dir: "/", Env: []string{},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
			UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: true,
			Ptrace: true, Pdeathsig: syscall.SIGKILL,
		},
	})
	if err != nil {
		return nil, nil, err
	}
	at := "/proc/" + strconv.Itoa(child.Pid) + "/ns/"
	users, uerr := os.Open(at + "user")
	network, nerr := os.Open(at + "net")
	kerr := child.Kill()
	_, werr := child.Wait()
	if err := errors.Join(uerr, nerr, kerr, werr); err != nil {
		for _, f := range []*os.File{users, network} {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
		return nil, nil, err
	}
	return users, network, nil
}
