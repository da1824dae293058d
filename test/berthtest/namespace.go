package berthtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// namespaceEnv marks a test process that is in a network namespace of its own.
const namespaceEnv = "BERTH_TEST_NETNS"

// Main runs the tests of a package; TestMain calls it and nothing else. As root
// they run in a network namespace of their own, with a loopback interface, so that
// the bridges, rules and ports of a berth are not the machine's, and end with the test.
func Main(m *testing.M) {
	if os.Getuid() == 0 && os.Getenv(namespaceEnv) == "" {
		os.Exit(inNamespace())
	}
	code := 1
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil && os.Getuid() == 0 {
		fmt.Fprintf(os.Stderr, "set the loopback interface up: %v: %s\n", err, out)
	} else {
		code = m.Run()
	}
	if err := Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// inNamespace runs this program again in a new network namespace.
func inNamespace() int {
	// The signal of the parent's end is that of its thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), namespaceEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "run the tests in a network namespace:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}
