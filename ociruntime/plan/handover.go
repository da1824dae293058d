package plan

import (
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// initRecord is what the builder writes for who finds the container later, see
// InitRecord. The time is that of CLOCK_BOOTTIME, when the init was there: a
// process of that number that began later is another.
const initRecord = `{"pid":          ,"seconds":            ,"nanoseconds":          }` + "\n"

// InitFile is the name of the builder's record in the run directory.
const InitFile = "init"

// InitRecord is the content of InitFile.
type InitRecord struct {
	Pid         int   `json:"pid"`
	Seconds     int64 `json:"seconds"`
	Nanoseconds int64 `json:"nanoseconds"`
}

// recordInit tells the caller the init's pid and, for a container, everybody.
func (p *planner) recordInit() {
	p.ReportChild()
	if p.exec {
		return
	}
	rec, now := p.Buffer("init-record", []byte(initRecord)), p.Words("now", 0, 0)
	end := func(field string) program.Arg { return rec.At(fieldEnd(initRecord, field)) }
	p.Call("clock_gettime", linux.SysClockGettime, program.Flags(linux.ClockBoottime, "CLOCK_BOOTTIME"), now.At(0))
	p.Decimal(p.Child().Value(), end("pid"))
	p.Decimal(now.Slot(0).Value(), end("seconds"))
	p.Decimal(now.Slot(8).Value(), end("nanoseconds"))
	p.writeRecord(InitFile, rec, len(initRecord))
}

// awaitHooks lets the caller run hooks while the init stands still.
func (p *planner) awaitHooks() {
	p.Group("hooks")
	p.Do("wait for hooks")
	p.Call("write", syscall.SYS_WRITE, program.Int(FDHooks), p.one, program.Int(1))
	p.awaitCaller()
}

// awaitCaller waits until the caller writes a byte to FDHooks. If it is gone, so is the init.
func (p *planner) awaitCaller() {
	n, goOn := p.Slot("told"), p.Label("told to go on")
	p.Call("read", syscall.SYS_READ, program.Int(FDHooks), p.word.At(0), program.Int(1)).To(n)
	p.IfEqual(n.Value(), program.Int(1), goOn)
	p.Call("exit_group", syscall.SYS_EXIT_GROUP, program.Int(1))
	p.Place(goOn)
}

// preserveFiles gives the command the files that the caller wants it to have.
func (p *planner) preserveFiles() {
	n := p.in.Preserved()
	if n == 0 {
		return
	}
	p.Do("give the command %d more files", n)
	cloexec := program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC")
	p.Call("dup3", linux.SysDup3, program.Int(FDVerdict), program.Int(p.fixed(fdVerdict)), cloexec).To(p.Verdict())
	if p.filter().Notifies() {
		p.Call("dup3", linux.SysDup3, program.Int(FDSeccomp), program.Int(p.fixed(fdSeccomp)), cloexec)
	}
	if p.in.Handover.Wait {
		p.Call("dup3", linux.SysDup3, program.Int(FDStart), program.Int(p.fixed(fdStart)), cloexec)
		p.Call("dup3", linux.SysDup3, program.Int(FDStarted), program.Int(p.fixed(fdStarted)), cloexec)
	}
	for i := range n {
		p.Call("dup3", linux.SysDup3, program.Int(p.firstPreserved()+i), program.Int(FDVerdict+i), program.Int(0))
	}
}

// firstPreserved is where the files for the command are at the start.
func (p *planner) firstPreserved() int {
	switch {
	case p.exec && p.guest:
		return p.execInit() + 2
	case p.exec:
		return p.execInit() + 1
	}
	return p.firstCopyUp() + len(CopyUps(p.in.Spec))
}

// firstCopyUp is where the files of CopyUps are at the start.
func (p *planner) firstCopyUp() int { return FDFirstJoin + len(p.in.Joins) + len(Joined(p.in.Spec)) }

// waitForStart holds the init until it is told to run the command. By then it
// has let go of all that it needs no more. Nothing but execve and what a filter
// leaves to do comes after.
func (p *planner) waitForStart() {
	h := p.in.Handover
	if h == nil || !h.Wait {
		return
	}
	p.FindCommand(p.command(), p.in.Spec.Process.Env)
	p.Do("let go of the files of the making")
	verdict, start, started := FDVerdict, FDStart, FDStarted
	closeRange := func(first, last int) {
		p.Call("close_range", linux.SysCloseRange, program.Int(first), program.Flags(uint64(uint32(last)), itoa(last)), program.Int(0))
	}
	if n := h.Preserve; n > 0 {
		verdict, start, started = p.fixed(fdVerdict), p.fixed(fdStart), p.fixed(fdStarted)
		closeRange(FDVerdict+n, verdict-1)
	} else {
		closeRange(FDRunDir, FDRunDir)
	}
	closeRange(started+1, -1)
	p.Do("wait for start")
	p.Call("dup3", linux.SysDup3, program.Int(started), program.Int(verdict), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
	p.Later(p.Label("waiting"))
	p.Call("close", syscall.SYS_CLOSE, program.Int(started))
	p.Call("read", syscall.SYS_READ, program.Int(start), p.word.At(0), program.Int(1))
}

// fieldEnd is where the value of a field of a record ends.
func fieldEnd(record, field string) int {
	i := strings.Index(record, `"`+field+`":`)
	return i + strings.IndexAny(record[i:], ",}")
}
