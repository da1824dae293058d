package program

import (
	"strconv"
	"syscall"
)

// argKind says what an argument is, and how it is printed.
type argKind uint8

const (
	argNumber      argKind = iota // in decimal
	argNamed                      // as its name
	argQuoted                     // as its name in quotes
	argErrno                      // a negative errno
	argAddress                    // &name, &name+offset
	argSlot                       // content of a slot: $name, $name.offset
	argSlotAddress                // &name, &name.offset
	argLate                       // known when the program is assembled: its name
)

// Arg is an argument of a step: a constant, an address, or the content of a Slot.
// It is printed only when somebody asks: texts are not made in advance.
type Arg struct {
	constant uint64 // argLate: index of Builder.late
	name     string
	offset   int32
	kind     argKind
}

// Pointer is the argument's address or constant, for structures in a Buffer.
func (a Arg) Pointer() uint64 { return a.constant }

// String prints the argument.
func (a Arg) String() string {
	switch a.kind {
	case argNumber:
		return strconv.Itoa(int(a.constant))
	case argQuoted:
		return strconv.Quote(a.name)
	case argErrno:
		return "-" + syscall.Errno(-a.constant).Error()
	case argAddress:
		if a.offset == 0 {
			return "&" + a.name
		}
		return "&" + a.name + "+" + strconv.Itoa(int(a.offset))
	case argSlot:
		return "$" + Slot{name: a.name, word: a.offset}.String()
	case argSlotAddress:
		return "&" + Slot{name: a.name, word: a.offset}.String()
	}
	return a.name
}

// Int is a constant.
func Int(v int) Arg { return Arg{constant: uint64(v)} }

// Flags is a constant that is printed as text.
func Flags(v uint64, text string) Arg { return Arg{constant: v, kind: argNamed, name: text} }

// Errno is a constant that a tolerated result can be compared with.
func Errno(e syscall.Errno) Arg { return Arg{constant: -uint64(e), kind: argErrno} }

// Slot is a word of memory that holds a step's result.
type Slot struct {
	addr uint64
	name string
	word int32 // where it is in a buffer, and one more; 0: it is no buffer's
}

// String is the slot's name.
func (s Slot) String() string {
	if s.word == 0 {
		return s.name
	}
	return s.name + "." + strconv.Itoa(int(s.word-1))
}

// Value is the slot's content when the step runs.
func (s Slot) Value() Arg { return Arg{constant: s.addr, kind: argSlot, name: s.name, offset: s.word} }

// Pointer is the slot's address, for structures in a Buffer.
func (s Slot) Pointer() uint64 { return s.addr }

// Address is where the slot is.
func (s Slot) Address() Arg {
	return Arg{constant: s.addr, kind: argSlotAddress, name: s.name, offset: s.word}
}

// Buffer is writable memory with an initial content.
type Buffer struct {
	addr uint64
	name string
}

// At is the address of the byte at off.
func (b Buffer) At(off int) Arg {
	return Arg{constant: b.addr + uint64(off), kind: argAddress, name: b.name, offset: int32(off)}
}

// Pointer is the address of the byte at off, for structures in a Buffer.
func (b Buffer) Pointer(off int) uint64 { return b.addr + uint64(off) }

// Slot is the word at off.
func (b Buffer) Slot(off int) Slot {
	return Slot{addr: b.addr + uint64(off), name: b.name, word: int32(off) + 1}
}

// Label is a place in the list of steps. It may be used before it is placed.
type Label struct {
	b    *Builder
	step int
	name string
}

// arg is the label's address; it must be placed by the time of assembly.
func (l *Label) arg() Arg { return l.b.whenPlaced("-> "+l.name, l, l.address) }

func (l *Label) address() uint64 { return l.b.stepsBase() + uint64(l.step*stepSize) }

// late is an argument that is known when the program is assembled.
type late struct {
	label *Label // must be placed by then
	value func() uint64
}

func (b *Builder) whenPlaced(text string, l *Label, value func() uint64) Arg {
	b.late = append(b.late, late{l, value})
	return Arg{constant: uint64(len(b.late) - 1), kind: argLate, name: text}
}

// value is what the argument is in the end.
func (b *Builder) value(a Arg) uint64 {
	if a.kind == argLate {
		return b.late[a.constant].value()
	}
	return a.constant
}
