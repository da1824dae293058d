package program

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// Addresses of a program's three segments. They share one 2 MB region, so that
// a running program costs one page of page tables.
const (
	CodeBase = 0x400000
	DataBase = 0x410000
	TextBase = 0x420000

	maxData = TextBase - DataBase
	maxText = 0x180000
)

// The header at DataBase, one word each.
const (
	headFirst   = 0  // address of the first step
	headFailed  = 8  // verdict: address of the failed step
	headErrno   = 16 // verdict: its errno
	headChild   = 24 // pid to kill on failure, 0 for none
	headVerdict = 32 // file descriptor to which a failed step is reported
	headScratch = 40 // results nobody wants
	headSize    = 48
)

// A step as the interpreter reads it: number int32, mask uint32, result
// address uint64, six arguments uint64, four tolerated errnos uint16, a spare word.
const (
	stepSize = 80
	maxArgs  = 6
)

// Numbers of the pseudo steps.
const (
	opJump    = -1
	opDecimal = -2
)

// VerdictFD is the file descriptor to which a failed step is reported, until a
// step puts another number into Builder.Verdict.
const VerdictFD = 3

// MaxTolerated is how many errnos a step can tolerate.
const MaxTolerated = 4

// interpreterStart is the address of the interpreter in this binary.
var interpreterStart uintptr

var interpreterEnd = []byte{0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4}

// interpreterCode returns the machine code of the interpreter.
func interpreterCode() []byte {
	// The assembler's symbols carry no length; the code ends in eight halt
	// bytes (amd64: hlt; arm64: an undefined instruction).
	p := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&interpreterStart))), 1024)
	return p[:bytes.Index(p, interpreterEnd)]
}

// encode writes a step as the interpreter reads it.
func (b *Builder) encode(s *Step, out []byte) {
	le := binary.LittleEndian
	clear(out[:stepSize])
	le.PutUint32(out[0:], uint32(s.number))
	mask := uint32(0)
	for i, a := range s.args {
		if a.kind == argSlot {
			mask |= 1 << i
		}
		le.PutUint64(out[16+8*i:], b.value(a))
	}
	le.PutUint32(out[4:], mask)
	result := uint64(DataBase + headScratch)
	if s.result.addr != 0 {
		result = s.result.addr
	}
	le.PutUint64(out[8:], result)
	for i, e := range s.tolerated {
		le.PutUint16(out[64+2*i:], e)
	}
}
