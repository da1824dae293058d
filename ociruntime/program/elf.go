package program

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
)

const pageSize = 4096

// Program is an assembled list of steps.
type Program struct {
	steps []*Step
	base  uint64 // address of the first step
	later int    // first step after the wait for start
	image []byte
}

// Assemble turns the builder's steps into an executable. It fails if a label
// was never placed or a limit of the layout is passed.
func (b *Builder) Assemble() (*Program, error) {
	for _, s := range b.steps {
		if len(s.tolerated) > MaxTolerated {
			b.fail("step %q tolerates more than %d errnos", s.Name, MaxTolerated)
		}
	}
	for _, l := range b.used {
		if l.step < 0 || l.step >= len(b.steps) {
			b.fail("label %q is not placed before a step", l.name)
		}
	}
	size := int(b.stepsBase()-TextBase) + len(b.steps)*stepSize
	if size > maxText {
		b.fail("the program has %d bytes; at most %d are possible", size, maxText)
	}
	if b.err != nil {
		return nil, fmt.Errorf("assemble program: %w", b.err)
	}
	binary.LittleEndian.PutUint64(b.data[headFirst:], b.stepsBase())
	text := make([]byte, size)
	copy(text, b.text)
	off := int(b.stepsBase() - TextBase)
	for i, s := range b.steps {
		s.encode(text[off+i*stepSize:])
	}
	later := len(b.steps)
	if b.later != nil {
		later = b.later.step
	}
	return &Program{steps: b.steps, base: b.stepsBase(), later: later, image: link(interpreterCode(), b.data, text)}, nil
}

// link writes the ELF file: four program headers, then each segment at a page.
func link(code, data, text []byte) []byte {
	const headers = 64 + 4*56
	codeSize := headers + len(code)
	dataOff := align(codeSize)
	textOff := dataOff + align(len(data))
	image := make([]byte, textOff+len(text))
	le := binary.LittleEndian

	machine := elf.EM_X86_64
	if runtime.GOARCH == "arm64" {
		machine = elf.EM_AARCH64
	}
	copy(image, "\x7fELF\x02\x01\x01")
	le.PutUint16(image[16:], uint16(elf.ET_EXEC))
	le.PutUint16(image[18:], uint16(machine))
	le.PutUint32(image[20:], uint32(elf.EV_CURRENT))
	le.PutUint64(image[24:], CodeBase+headers) // entry
	le.PutUint64(image[32:], 64)               // program headers
	le.PutUint16(image[52:], 64)
	le.PutUint16(image[54:], 56)
	le.PutUint16(image[56:], 4)

	segment := func(i int, typ elf.ProgType, flags elf.ProgFlag, off, addr, size int) {
		p := image[64+56*i:]
		le.PutUint32(p[0:], uint32(typ))
		le.PutUint32(p[4:], uint32(flags))
		le.PutUint64(p[8:], uint64(off))
		le.PutUint64(p[16:], uint64(addr))
		le.PutUint64(p[24:], uint64(addr))
		le.PutUint64(p[32:], uint64(size))
		le.PutUint64(p[40:], uint64(size))
		le.PutUint64(p[48:], pageSize)
	}
	segment(0, elf.PT_LOAD, elf.PF_R|elf.PF_X, 0, CodeBase, codeSize)
	segment(1, elf.PT_LOAD, elf.PF_R|elf.PF_W, dataOff, DataBase, len(data))
	segment(2, elf.PT_LOAD, elf.PF_R, textOff, TextBase, len(text))
	segment(3, elf.PT_GNU_STACK, elf.PF_R|elf.PF_W, 0, 0, 0)

	copy(image[headers:], code)
	copy(image[dataOff:], data)
	copy(image[textOff:], text)
	return image
}

func align(n int) int { return (n + pageSize - 1) &^ (pageSize - 1) }

// Size is the executable's size in bytes; Len the number of steps.
func (p *Program) Size() int { return len(p.image) }

// Len is the number of steps.
func (p *Program) Len() int { return len(p.steps) }

// String prints the system calls, one a line, below what they are for. Jumps
// are left out; a call that they can skip says so in what it is for.
func (p *Program) String() string {
	var w strings.Builder
	group, name := "", ""
	for _, s := range p.steps {
		if s.number < 0 {
			continue
		}
		if s.Group != group {
			group, name = s.Group, ""
			fmt.Fprintf(&w, "%s\n", group)
		}
		shown := s.Name
		if shown == name {
			shown = ""
		}
		name = s.Name
		fmt.Fprintf(&w, "  %-44s %s\n", shown, s)
	}
	return w.String()
}

// Image is the executable.
func (p *Program) Image() []byte { return p.image }
