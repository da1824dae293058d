package signals

import (
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestAwaitChild sends this process signals, some from the child, and looks
// what is passed until the child has ended.
func TestAwaitChild(t *testing.T) {
	c, err := Catch()
	if err != nil {
		t.Fatal(err)
	}
	self := os.Getpid()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, 64} {
		if err := syscall.Kill(self, s); err != nil {
			t.Fatalf("send signal %d: %v", s, err)
		}
	}
	child := exec.Command("sh", "-c", "kill -USR1 $PPID; kill -INT $PPID; exit 3")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var got []syscall.Signal
	if err := c.AwaitChild(child.Process.Pid, func(s syscall.Signal) { got = append(got, s) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if want := []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGTERM, 64}; !slices.Equal(got, want) {
		t.Errorf("passed %v, want %v", got, want)
	}
	if _ = child.Wait(); child.ProcessState.ExitCode() != 3 {
		t.Errorf("child: %v: it was to be left to its parent", child.ProcessState)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	after := make(chan os.Signal, 1)
	signal.Notify(after, syscall.SIGUSR2)
	defer signal.Stop(after)
	if err := syscall.Kill(self, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	select {
	case <-after:
	case <-time.After(10 * time.Second):
		t.Error("os/signal gets no signal after Close")
	}
}

// TestUnderLoad lets signals come while goroutines grow stacks and allocate.
func TestUnderLoad(t *testing.T) {
	c, err := Catch()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sh", "-c", "i=0; while [ $i -lt 500 ]; do kill -USR1 $PPID; kill -40 $PPID 2>/dev/null; i=$((i+1)); done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
				n += deep(200)
			}
		}
	}()
	passed := 0
	if err := c.AwaitChild(child.Process.Pid, func(syscall.Signal) { passed++ }); err != nil {
		t.Fatal(err)
	}
	close(stop)
	if n := <-done; n == 0 {
		t.Error("nothing else ran")
	}
	if passed == 0 {
		t.Error("no signal was passed")
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func deep(n int) int {
	var b [128]byte
	if n == 0 {
		return len(make([]byte, 1000)) + int(b[0])
	}
	return deep(n-1) + int(b[n%128])
}
