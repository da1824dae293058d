package program

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
)

// Work is what steps do together.
type Work struct {
	// Group and Name say what for: "mount", "mount proc at /proc".
	Group, Name string
	// Remedy says what the user can do when it fails; empty if nothing is known.
	Remedy string
}

// Step is one system call, or a pseudo step.
type Step struct {
	*Work
	// Exec marks the execve of the user's command.
	Exec bool

	refused   bool // more errnos than MaxTolerated
	number    int32
	call      string
	args      []Arg
	result    Slot
	tolerated [MaxTolerated]uint16 // errnos, then zeros
}

// Builder collects steps, constants and memory. The zero value is not usable.
//
// A program is built once in the life of a short process, whose fresh memory
// costs more than what is done with it: a page fault is as expensive as some
// hundred steps. So everything here is small and lies close together.
type Builder struct {
	work  Work
	named *Work    // copy of work in the last step, nil when work has changed
	steps [][]Step // full but for the last, so that a step stays where it is
	count int
	args  []Arg // what is left of a piece for arguments
	text  []byte
	data  []byte
	known index
	late  []late
	later *Label
	err   error
}

// How many steps and arguments are made room for at once: 8 kB each.
const (
	stepPiece = 92
	argPiece  = 256
)

// NewBuilder returns an empty program.
func NewBuilder() *Builder {
	b := &Builder{data: make([]byte, headSize, 4<<10), text: make([]byte, 0, 32<<10), late: make([]late, 0, 128)}
	binary.LittleEndian.PutUint64(b.data[headVerdict:], VerdictFD)
	return b
}

// Group names the steps that follow; Do names the work within it.
func (b *Builder) Group(name string) { b.work.Group, b.named = name, nil }

// Do names what the following steps do together. A failed step is reported by it.
func (b *Builder) Do(format string, args ...any) {
	b.work.Name, b.work.Remedy, b.named = sprintf(format, args), "", nil
}

// Remedy says what the user can do when one of the steps that follow fails,
// until the next Do.
func (b *Builder) Remedy(format string, args ...any) {
	b.work.Remedy, b.named = sprintf(format, args), nil
}

func sprintf(format string, args []any) string {
	if len(args) == 0 && strings.IndexByte(format, '%') < 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// String places s and a NUL in read-only memory. Equal strings share their place.
func (b *Builder) String(s string) Arg {
	if strings.IndexByte(s, 0) >= 0 {
		b.fail("string %q holds a NUL byte", s)
	}
	start := b.reserve()
	b.text = append(append(b.text, s...), 0)
	return Arg{constant: b.settle(start), kind: argQuoted, name: s}
}

// Bytes places p in read-only memory; text is how it is printed.
func (b *Builder) Bytes(p []byte, text string) Arg {
	start := b.reserve()
	b.text = append(b.text, p...)
	return Arg{constant: b.settle(start), kind: argNamed, name: text}
}

// reserve returns where the next constant begins.
func (b *Builder) reserve() int {
	for len(b.text)%8 != 0 {
		b.text = append(b.text, 0)
	}
	return len(b.text)
}

// settle returns the address of the constant that was put at start, or of an
// equal one that was there before; then it is taken back.
func (b *Builder) settle(start int) uint64 {
	at := b.known.find(b.text, start)
	if at != start {
		b.text = b.text[:start]
	}
	if len(b.text) > maxText/2 {
		b.fail("constants take more than %d bytes: shorten the environment or the arguments", maxText/2)
	}
	return TextBase + uint64(at)
}

// Strings places a NULL-terminated array of strings, as execve takes it.
func (b *Builder) Strings(list []string, text string) Arg {
	var p []byte
	for _, s := range list {
		p = binary.LittleEndian.AppendUint64(p, b.String(s).constant)
	}
	return b.Bytes(binary.LittleEndian.AppendUint64(p, 0), text)
}

// Buffer reserves writable memory with the given initial content.
func (b *Builder) Buffer(name string, init []byte) Buffer {
	for len(b.data)%8 != 0 {
		b.data = append(b.data, 0)
	}
	buf := Buffer{addr: DataBase + uint64(len(b.data)), name: name}
	b.data = append(b.data, init...)
	if len(b.data) > maxData {
		b.fail("buffers take more than %d bytes", maxData)
	}
	return buf
}

// Words reserves a buffer of 64-bit words.
func (b *Builder) Words(name string, words ...uint64) Buffer {
	var p []byte
	for _, w := range words {
		p = binary.LittleEndian.AppendUint64(p, w)
	}
	return b.Buffer(name, p)
}

// Slot reserves a word, zero at the start.
func (b *Builder) Slot(name string) Slot {
	buf := b.Words(name, 0)
	return Slot{addr: buf.addr, name: name}
}

// ReportChild sends the child's pid as a verdict of its own, which ends nothing.
func (b *Builder) ReportChild() {
	// The words before it are zero: no step has failed.
	b.Call("write", syscall.SYS_WRITE, b.Verdict().Value(), Arg{constant: DataBase + headErrno, kind: argNamed, name: "&child"}, Int(16))
}

// Child is the slot of the pid that is killed when a step fails.
func (b *Builder) Child() Slot { return Slot{addr: DataBase + headChild, name: "child"} }

// Verdict is the slot of the file descriptor to which a failed step is
// reported: VerdictFD at the start.
func (b *Builder) Verdict() Slot { return Slot{addr: DataBase + headVerdict, name: "verdict"} }

// Call adds a system call. name is the system call's, number its number.
func (b *Builder) Call(name string, number int, args ...Arg) *Step {
	if len(args) > maxArgs {
		b.fail("%s has %d arguments", name, len(args))
		args = args[:maxArgs]
	}
	if b.named == nil {
		work := b.work
		b.named = &work
	}
	s := b.step()
	*s = Step{Work: b.named, call: name, number: int32(number), args: b.keep(args)}
	return s
}

// step makes room for one more step.
func (b *Builder) step() *Step {
	last := len(b.steps) - 1
	if last < 0 || len(b.steps[last]) == cap(b.steps[last]) {
		b.steps, last = append(b.steps, make([]Step, 0, stepPiece)), last+1
	}
	piece := b.steps[last]
	b.steps[last] = piece[:len(piece)+1]
	b.count++
	return &b.steps[last][len(piece)]
}

// keep copies arguments, whose array is the caller's.
func (b *Builder) keep(args []Arg) []Arg {
	if len(b.args) < len(args) {
		b.args = make([]Arg, argPiece)
	}
	kept := b.args[:len(args):len(args)]
	b.args = b.args[len(args):]
	copy(kept, args)
	return kept
}

// To keeps the result in slot; a tolerated errno is kept as its negative.
func (s *Step) To(slot Slot) *Step {
	s.result = slot
	return s
}

// Tolerate lets the program go on after these errnos.
func (s *Step) Tolerate(errnos ...syscall.Errno) *Step {
	n := 0
	for n < len(s.tolerated) && s.tolerated[n] != 0 {
		n++
	}
	s.refused = s.refused || n+len(errnos) > MaxTolerated
	for i, e := range errnos[:min(len(errnos), MaxTolerated-n)] {
		s.tolerated[n+i] = uint16(e)
	}
	return s
}

// Label returns a label that is not yet placed.
func (b *Builder) Label(name string) *Label { return &Label{b: b, step: -1, name: name} }

// Place puts l before the next step.
func (b *Builder) Place(l *Label) { l.step = b.count }

// Later places l, and says that the steps from there on have a verdict of their
// own: Program.Later names them.
func (b *Builder) Later(l *Label) {
	b.Place(l)
	b.later = l
}

// IfEqual continues at l if x and y are equal.
func (b *Builder) IfEqual(x, y Arg, l *Label) {
	b.Call("if-equal", opJump, x, y, l.arg())
}

// Goto continues at l.
func (b *Builder) Goto(l *Label) {
	zero := Int(0)
	b.Call("goto", opJump, zero, zero, l.arg())
}

// ForgetAllBut unmaps all steps and constants but the steps from one label to
// another, which must hold the place of this call: a process that goes on for
// long holds little memory. The steps between them may use no constants but
// those of buffers.
func (b *Builder) ForgetAllBut(from, to *Label) {
	floor := func(addr uint64) uint64 { return addr &^ (pageSize - 1) }
	ceil := func(addr uint64) uint64 { return floor(addr + pageSize - 1) }
	end := func() uint64 { return ceil(b.stepsBase() + uint64(b.count*stepSize)) }
	unmap := func(what string, l *Label, addr, size func() uint64) {
		// Nothing to unmap is EINVAL.
		b.Call("munmap", syscall.SYS_MUNMAP, b.whenPlaced(what, l, addr), b.whenPlaced("size", l, size)).Tolerate(syscall.EINVAL)
	}
	unmap("before", from, func() uint64 { return TextBase }, func() uint64 { return floor(from.address()) - TextBase })
	unmap("after", to, func() uint64 { return ceil(to.address()) }, func() uint64 { return end() - min(end(), ceil(to.address())) })
}

// Decimal prints v in decimal so that the last digit is the byte before end.
// What stands to the left of the digits stays.
func (b *Builder) Decimal(v, end Arg) { b.Call("decimal", opDecimal, v, end) }

func (b *Builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// stepsBase is the address of the first step: after the constants.
func (b *Builder) stepsBase() uint64 { return (TextBase + uint64(len(b.text)) + 15) &^ 15 }

// String prints the system call as one line.
func (s *Step) String() string {
	var w strings.Builder
	if s.result.addr != 0 {
		fmt.Fprintf(&w, "$%s = ", s.result)
	}
	w.WriteString(s.call + "(")
	for i, a := range s.args {
		if i > 0 {
			w.WriteString(", ")
		}
		w.WriteString(a.String())
	}
	w.WriteString(")")
	for i, e := range s.tolerated {
		if e == 0 {
			break
		}
		if i == 0 {
			w.WriteString(" or")
		}
		w.WriteString(" " + errnoName(syscall.Errno(e)))
	}
	return w.String()
}
