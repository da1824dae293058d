// Package timeline says where the time of a command and its children goes: it
// lets the kernel record their system calls, page faults and switches, and adds
// up the record.
//
// Level: L5.
// Owns: how the record is made and read.
// May import: the standard library, internal/linux.
// Must not know: what is measured.
package timeline

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"
)

// Process is what one process (or thread) did.
type Process struct {
	Pid    int
	Name   string        // after its last execve, or its parent's
	Parent int           // 0: none of the record
	Start  time.Duration // since the record's first event, as End and Execs
	Execs  []Exec
	End    time.Duration

	CPU      time.Duration   // in all
	User     time.Duration   // outside of system calls, page faults included
	Calls    map[string]Call // by name
	Faults   int             // page faults
	Switches int             // times it stopped running
	Threads  int             // of Merged: how many were added
}

// Exec is a program that the process has executed.
type Exec struct {
	At   time.Duration
	Name string
}

// Call is a system call's number of calls and the time it had the processor.
type Call struct {
	Count int
	CPU   time.Duration
}

// Record is what happened, by process in the order of their start.
type Record struct {
	Processes []*Process
}

// Below keeps the descendants of a process.
func (r Record) Below(pid int) Record {
	known := map[int]bool{pid: true}
	var below Record
	for _, p := range r.Processes {
		if known[p.Parent] {
			known[p.Pid] = true
			below.Processes = append(below.Processes, p)
		}
	}
	return below
}

// Merged adds up threads, and children that execute nothing, with their process.
func (r Record) Merged() []*Process {
	var all []*Process
	by := map[int]*Process{}
	for _, p := range r.Processes {
		into := by[p.Parent]
		if into == nil || len(p.Execs) > 0 {
			c := *p
			c.Calls = map[string]Call{}
			for name, call := range p.Calls {
				c.Calls[name] = call
			}
			by[p.Pid] = &c
			all = append(all, &c)
			continue
		}
		by[p.Pid] = into
		into.Threads++
		into.CPU, into.User = into.CPU+p.CPU, into.User+p.User
		into.Faults, into.Switches = into.Faults+p.Faults, into.Switches+p.Switches
		for name, call := range p.Calls {
			sum := into.Calls[name]
			into.Calls[name] = Call{sum.Count + call.Count, sum.CPU + call.CPU}
		}
	}
	return all
}

// reader is what is known while a record is read.
type reader struct {
	Record
	byPid map[int]*task
	zero  time.Duration
	begun bool
}

// task is a process while the record is read.
type task struct {
	*Process
	since   time.Duration // when it began to run or changed what it does
	running bool
	call    string // the system call it is in
}

// Parse reads the text of a trace (Documentation/trace/ftrace.rst): the events
// of syscalls, exceptions, sched_switch and sched_process_{fork,exec,exit}.
func Parse(r io.Reader) (Record, error) {
	p := reader{byPid: map[int]*task{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		pid, at, event, ok := splitLine(lines.Text())
		if ok {
			p.event(pid, at, event)
		}
	}
	return p.Record, lines.Err()
}

// splitLine takes "  name-123  [001] d..2.  12.345678: event" apart. The name
// may hold anything.
func splitLine(line string) (pid int, at time.Duration, event string, ok bool) {
	if strings.HasPrefix(line, "#") {
		return 0, 0, "", false
	}
	cpu := strings.Index(line, " [")
	if cpu < 0 {
		return 0, 0, "", false
	}
	task := strings.TrimSpace(line[:cpu])
	pid, err := strconv.Atoi(task[strings.LastIndexByte(task, '-')+1:])
	if err != nil {
		return 0, 0, "", false
	}
	rest := line[cpu+2:]
	stamp, event, ok := strings.Cut(rest, ": ")
	fields := strings.Fields(stamp)
	if !ok || len(fields) == 0 {
		return 0, 0, "", false
	}
	seconds, micros, _ := strings.Cut(fields[len(fields)-1], ".")
	s, err1 := strconv.ParseInt(seconds, 10, 64)
	us, err2 := strconv.ParseInt(micros, 10, 64)
	if err1 != nil || err2 != nil {
		return 0, 0, "", false
	}
	return pid, time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond, event, true
}

func (p *reader) event(pid int, at time.Duration, event string) {
	if !p.begun {
		p.zero, p.begun = at, true
	}
	at -= p.zero
	name, rest, _ := strings.Cut(event, ": ")
	switch {
	case name == "sched_switch":
		p.task(field(rest, "prev_pid"), at, "").stop(at)
		p.task(field(rest, "next_pid"), at, text(rest, "next_comm")).run(at)
	case name == "sched_process_fork":
		// The parent's name is the child's until it executes something.
		child := p.task(field(rest, "child_pid"), at, text(rest, "child_comm"))
		child.Parent, child.Start = pid, at
	case name == "sched_process_exec":
		t := p.task(pid, at, "")
		file := text(rest, "filename")
		t.Name = file[strings.LastIndexByte(file, '/')+1:]
		t.Execs = append(t.Execs, Exec{at, t.Name})
	case name == "sched_process_exit":
		p.task(pid, at, "").End = at
	case strings.HasPrefix(name, "page_fault_"):
		p.task(pid, at, "").Faults++
	case strings.HasPrefix(event, "sys_"):
		p.syscall(p.task(pid, at, ""), at, event)
	}
}

// syscall reads "sys_openat(dfd: ..." and "sys_openat -> 0x3".
func (p *reader) syscall(t *task, at time.Duration, event string) {
	t.run(at)
	t.account(at)
	name := strings.TrimPrefix(event, "sys_")
	if i := strings.IndexAny(name, "( "); i >= 0 {
		name = name[:i]
	}
	if strings.Contains(event, " -> ") && !strings.Contains(event, "(") {
		t.call = ""
		return
	}
	t.call = name
	c := t.Calls[name]
	c.Count++
	t.Calls[name] = c
}

func (p *reader) task(pid int, at time.Duration, name string) *task {
	t := p.byPid[pid]
	if t == nil || t.End != 0 && at > t.End && name != "" && pid != 0 && !t.running {
		t = &task{Process: &Process{Pid: pid, Name: name, Start: at, Calls: map[string]Call{}}}
		p.byPid[pid] = t
		if pid != 0 {
			p.Processes = append(p.Processes, t.Process)
		}
	}
	if t.Name == "" {
		t.Name = name
	}
	return t
}

// run notes that the task has the processor. One that was seen doing something has it.
func (t *task) run(at time.Duration) {
	if !t.running {
		t.running, t.since = true, at
	}
}

func (t *task) stop(at time.Duration) {
	if t.running {
		t.account(at)
		t.Switches++
	}
	t.running = false
}

// account adds the time since it was last asked to what the task was doing.
func (t *task) account(at time.Duration) {
	d := at - t.since
	t.since = at
	t.CPU += d
	if t.call == "" {
		t.User += d
		return
	}
	c := t.Calls[t.call]
	c.CPU += d
	t.Calls[t.call] = c
}

// field is the number after "key=".
func field(s, key string) int {
	n, err := strconv.Atoi(text(s, key))
	if err != nil {
		return 0
	}
	return n
}

// text is the word after "key=". A comm with a space loses what follows it.
func text(s, key string) string {
	_, rest, ok := strings.Cut(" "+s, " "+key+"=")
	if !ok {
		return ""
	}
	word, _, _ := strings.Cut(rest, " ")
	return word
}
