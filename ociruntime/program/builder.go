package program

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// Arg is an argument of a step: a constant, an address, or the content of a Slot.
type Arg struct {
	constant uint64
	late     func() uint64 // what is known when the program is assembled
	indirect bool
	text     string
}

func (a Arg) value() uint64 {
	if a.late != nil {
		return a.late()
	}
	return a.constant
}

// Pointer is the argument's address or constant, for structures in a Buffer.
func (a Arg) Pointer() uint64 { return a.constant }

// Int is a constant.
func Int(v int) Arg { return Arg{constant: uint64(v), text: strconv.Itoa(v)} }

// Flags is a constant that is printed as text.
func Flags(v uint64, text string) Arg { return Arg{constant: v, text: text} }

// Slot is a word of memory that holds a step's result.
type Slot struct {
	addr uint64
	name string
}

// Value is the slot's content when the step runs.
func (s Slot) Value() Arg { return Arg{constant: s.addr, indirect: true, text: "$" + s.name} }

// Pointer is the slot's address, for structures in a Buffer.
func (s Slot) Pointer() uint64 { return s.addr }

// Address is where the slot is.
func (s Slot) Address() Arg { return Arg{constant: s.addr, text: "&" + s.name} }

// Buffer is writable memory with an initial content.
type Buffer struct {
	addr uint64
	name string
}

// At is the address of the byte at off.
func (b Buffer) At(off int) Arg {
	text := "&" + b.name
	if off != 0 {
		text += "+" + strconv.Itoa(off)
	}
	return Arg{constant: b.addr + uint64(off), text: text}
}

// Pointer is the address of the byte at off, for structures in a Buffer.
func (b Buffer) Pointer(off int) uint64 { return b.addr + uint64(off) }

// Slot is the word at off.
func (b Buffer) Slot(off int) Slot {
	return Slot{addr: b.addr + uint64(off), name: b.name + "." + strconv.Itoa(off)}
}

// Label is a place in the list of steps. It may be used before it is placed.
type Label struct {
	b    *Builder
	step int
	name string
}

// arg is the label's address; it must be placed by the time of assembly.
func (l *Label) arg() Arg {
	l.b.used = append(l.b.used, l)
	return Arg{late: l.address, text: "-> " + l.name}
}

func (l *Label) address() uint64 { return l.b.stepsBase() + uint64(l.step*stepSize) }

// Step is one system call, or a pseudo step.
type Step struct {
	// Group and Name say what the step is for: "mount", "mount proc at /proc".
	Group, Name string
	// Exec marks the execve of the user's command.
	Exec bool
	// Remedy says what the user can do when it fails; empty if nothing is known.
	Remedy string

	call      string
	number    int
	args      [6]Arg
	nargs     int
	result    uint64
	resultTo  string
	tolerated []syscall.Errno
}

// Builder collects steps, constants and memory. The zero value is not usable.
type Builder struct {
	group string
	name  string
	hint  string
	steps []*Step
	text  []byte
	data  []byte
	known map[string]uint64
	used  []*Label
	later *Label
	err   error
}

// NewBuilder returns an empty program.
func NewBuilder() *Builder {
	b := &Builder{data: make([]byte, headSize), known: map[string]uint64{}}
	binary.LittleEndian.PutUint64(b.data[headVerdict:], VerdictFD)
	return b
}

// Group names the steps that follow; Do names the work within it.
func (b *Builder) Group(name string) { b.group = name }

// Do names what the following steps do together. A failed step is reported by it.
func (b *Builder) Do(format string, args ...any) { b.name, b.hint = fmt.Sprintf(format, args...), "" }

// Remedy says what the user can do when one of the steps that follow fails,
// until the next Do.
func (b *Builder) Remedy(format string, args ...any) { b.hint = fmt.Sprintf(format, args...) }

// String places s and a NUL in read-only memory. Equal strings share their place.
func (b *Builder) String(s string) Arg {
	if strings.IndexByte(s, 0) >= 0 {
		b.fail("string %q holds a NUL byte", s)
	}
	a := b.place(s + "\x00")
	a.text = strconv.Quote(s)
	return a
}

// Bytes places p in read-only memory; text is how it is printed.
func (b *Builder) Bytes(p []byte, text string) Arg {
	a := b.place(string(p))
	a.text = text
	return a
}

func (b *Builder) place(s string) Arg {
	addr, ok := b.known[s]
	if !ok {
		for len(b.text)%8 != 0 {
			b.text = append(b.text, 0)
		}
		addr = TextBase + uint64(len(b.text))
		b.text = append(b.text, s...)
		b.known[s] = addr
		if len(b.text) > maxText/2 {
			b.fail("constants take more than %d bytes: shorten the environment or the arguments", maxText/2)
		}
	}
	return Arg{constant: addr}
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
	b.Call("write", syscall.SYS_WRITE, b.Verdict().Value(), Arg{constant: DataBase + headErrno, text: "&child"}, Int(16))
}

// Child is the slot of the pid that is killed when a step fails.
func (b *Builder) Child() Slot { return Slot{addr: DataBase + headChild, name: "child"} }

// Verdict is the slot of the file descriptor to which a failed step is
// reported: VerdictFD at the start.
func (b *Builder) Verdict() Slot { return Slot{addr: DataBase + headVerdict, name: "verdict"} }

// Call adds a system call. name is the system call's, number its number.
func (b *Builder) Call(name string, number int, args ...Arg) *Step {
	s := &Step{Group: b.group, Name: b.name, Remedy: b.hint, call: name, number: number, nargs: len(args)}
	if len(args) > len(s.args) {
		b.fail("%s has %d arguments", name, len(args))
		return s
	}
	copy(s.args[:], args)
	b.steps = append(b.steps, s)
	return s
}

// To keeps the result in slot; a tolerated errno is kept as its negative.
func (s *Step) To(slot Slot) *Step {
	s.result, s.resultTo = slot.addr, slot.name
	return s
}

// Tolerate lets the program go on after these errnos.
func (s *Step) Tolerate(errnos ...syscall.Errno) *Step {
	s.tolerated = append(s.tolerated, errnos...)
	return s
}

// Label returns a label that is not yet placed.
func (b *Builder) Label(name string) *Label { return &Label{b: b, step: -1, name: name} }

// Place puts l before the next step.
func (b *Builder) Place(l *Label) { l.step = len(b.steps) }

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
	first, last := from.arg(), to.arg()
	floor := func(addr uint64) uint64 { return addr &^ (pageSize - 1) }
	ceil := func(addr uint64) uint64 { return floor(addr + pageSize - 1) }
	end := func() uint64 { return ceil(b.stepsBase() + uint64(len(b.steps)*stepSize)) }
	unmap := func(what string, addr, size func() uint64) {
		// Nothing to unmap is EINVAL.
		b.Call("munmap", syscall.SYS_MUNMAP, Arg{late: addr, text: what}, Arg{late: size, text: "size"}).Tolerate(syscall.EINVAL)
	}
	unmap("before", func() uint64 { return TextBase }, func() uint64 { return floor(first.value()) - TextBase })
	unmap("after", func() uint64 { return ceil(last.value()) }, func() uint64 { return end() - min(end(), ceil(last.value())) })
}

// Decimal prints v in decimal so that the last digit is the byte before end.
// What stands to the left of the digits stays.
func (b *Builder) Decimal(v, end Arg) { b.Call("decimal", opDecimal, v, end) }

// Errno is a constant that a tolerated result can be compared with.
func Errno(e syscall.Errno) Arg { return Arg{constant: -uint64(e), text: "-" + e.Error()} }

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
	if s.resultTo != "" {
		fmt.Fprintf(&w, "$%s = ", s.resultTo)
	}
	w.WriteString(s.call + "(")
	for i := range s.nargs {
		if i > 0 {
			w.WriteString(", ")
		}
		w.WriteString(s.args[i].text)
	}
	w.WriteString(")")
	for i, e := range s.tolerated {
		if i == 0 {
			w.WriteString(" or")
		}
		w.WriteString(" " + errnoName(e))
	}
	return w.String()
}
