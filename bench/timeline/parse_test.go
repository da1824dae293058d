package timeline

import (
	"strings"
	"testing"
	"time"
)

// trace is what the kernel writes of a shell (100) that starts prog (101), which
// has a thread (102) and a child that becomes another program (103).
const trace = `# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
              sh-100     [000] .....  10.000000: sys_clone(clone_flags: 0x4111, newsp: 0)
              sh-100     [000] .....  10.000010: sched_process_fork: comm=sh pid=100 child_comm=sh child_pid=101
              sh-100     [000] d..2.  10.000020: sched_switch: prev_comm=sh prev_pid=100 prev_prio=120 prev_state=S ==> next_comm=sh next_pid=101 next_prio=120
              sh-101     [000] .....  10.000030: sys_execve(filename: 0x1, argv: 0x2, envp: 0x3)
            prog-101     [000] .....  10.000130: sched_process_exec: filename=/bin/prog pid=101 old_pid=101
            prog-101     [000] .....  10.000150: sys_execve -> 0x0
            prog-101     [000] d....  10.000160: page_fault_user: address=0x1000 ip=0x2000 error_code=0x6
            prog-101     [000] .....  10.000200: sys_clone(clone_flags: 0xd0f00, newsp: 0)
            prog-101     [000] .....  10.000210: sched_process_fork: comm=prog pid=101 child_comm=prog child_pid=102
            prog-101     [000] .....  10.000220: sys_clone -> 0x66
            prog-101     [000] .....  10.000230: sys_read(fd: 3, buf: 0x0, count: 1)
            prog-101     [000] d..2.  10.000240: sched_switch: prev_comm=prog prev_pid=101 prev_prio=120 prev_state=S ==> next_comm=prog next_pid=102 next_prio=120
            prog-102     [000] .....  10.000300: sys_getpid()
            prog-102     [000] .....  10.000301: sys_getpid -> 0x65
            prog-102     [000] .....  10.000310: sys_clone3(uargs: 0x1, size: 0x58)
            prog-102     [000] .....  10.000320: sched_process_fork: comm=prog pid=102 child_comm=prog child_pid=103
            prog-102     [000] .....  10.000330: sys_clone3 -> 0x67
            prog-102     [000] d..2.  10.000340: sched_switch: prev_comm=prog prev_pid=102 prev_prio=120 prev_state=S ==> next_comm=name: with [odd] next_pid=103 next_prio=120
 name: with [odd]-103     [001] .....  10.000400: sys_execve(filename: 0x1, argv: 0x2, envp: 0x3)
            true-103     [001] .....  10.000450: sched_process_exec: filename=true pid=103 old_pid=103
            true-103     [001] .....  10.000460: sys_execve -> 0x0
            true-103     [001] .....  10.000480: sys_exit_group(error_code: 0)
            true-103     [001] .....  10.000500: sched_process_exit: comm=true pid=103 prio=120
            true-103     [001] d..2.  10.000510: sched_switch: prev_comm=true prev_pid=103 prev_prio=120 prev_state=X ==> next_comm=swapper/1 next_pid=0 next_prio=120
           other-900     [001] .....  10.000520: sys_getppid()
`

func TestParse(t *testing.T) {
	r, err := Parse(strings.NewReader(trace))
	if err != nil {
		t.Fatal(err)
	}
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	all := r.Below(100).Merged()
	if len(all) != 2 {
		t.Fatalf("%d processes, want prog and true", len(all))
	}
	prog, child := all[0], all[1]
	if prog.Name != "prog" || prog.Threads != 1 || prog.Faults != 1 || prog.Start != us(10) || prog.Switches != 2 {
		t.Errorf("prog: %+v", prog)
	}
	// 101 ran from 20 to 240, its thread from 240 to 340.
	if prog.CPU != us(320) || prog.User != us(10+50+10+60+9+10) {
		t.Errorf("prog: CPU %v, outside of calls %v", prog.CPU, prog.User)
	}
	for name, want := range map[string]Call{"execve": {1, us(120)}, "clone": {1, us(20)}, "read": {1, us(10)}, "getpid": {1, us(1)}, "clone3": {1, us(20)}} {
		if got := prog.Calls[name]; got != want {
			t.Errorf("prog: %s: %+v, want %+v", name, got, want)
		}
	}
	if child.Name != "true" || child.Parent != 102 || child.End != us(500) || child.CPU != us(170) || len(child.Execs) != 1 || child.Execs[0].At != us(450) {
		t.Errorf("child: %+v", child)
	}
	if got := child.Calls["exit_group"]; got != (Call{1, us(30)}) {
		t.Errorf("child: exit_group %+v", got)
	}
}

func TestSplitLine(t *testing.T) {
	for line, want := range map[string]string{
		"  a-b-12     [003] d..2.  1.000002: event: x": "12 1.000002s event: x",
		"  [x] y-7     [000] .....  0.000001: e":       "",
		"# comment":                                    "",
		"":                                             "",
		"CPU:1 [LOST 42 EVENTS]":                       "",
	} {
		pid, at, event, ok := splitLine(line)
		got := ""
		if ok {
			got = strings.Join([]string{itoa(pid), at.String(), event}, " ")
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}
