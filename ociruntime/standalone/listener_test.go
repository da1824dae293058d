package standalone

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A process whose filter notifies starts once its agent has the listener, and
// the agent is told of which process it is.
func TestSeccompListener(t *testing.T) {
	c := newContainer(t, "sh", "-c", "echo started")
	c.capture()
	agent, err := net.Listen("unix", c.dir+"/agent")
	c.must(err)
	defer agent.Close()
	c.spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: c.dir + "/agent", ListenerMetadata: "mine",
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}},
	}
	got := make(chan specs.ContainerProcessState, 1)
	go func() { // ends with the connection, at the latest with the deadline
		defer close(got)
		conn, err := agent.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Error(err)
			return
		}
		var s specs.ContainerProcessState
		if err := json.NewDecoder(conn).Decode(&s); err != nil {
			t.Error(err)
		}
		got <- s
	}()
	code, err := c.runtime.Run(t.Context(), c.write())
	s := <-got
	if code != 0 || err != nil || c.said() != "started\n" {
		t.Errorf("exit %d, %v, output %q", code, err, c.said())
	}
	if s.Metadata != "mine" || s.Pid == 0 || s.State.ID != c.id || s.State.Status != specs.StateCreating || len(s.Fds) != 1 {
		t.Errorf("the agent was told %+v", s)
	}
	// Without an agent there is no container.
	c.must(os.Remove(c.dir + "/agent"))
	if _, err := c.runtime.Run(t.Context(), c.write()); err == nil || !strings.Contains(err.Error(), c.dir+"/agent") {
		t.Errorf("run without an agent: %v", err)
	}
}
