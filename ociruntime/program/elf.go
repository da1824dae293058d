package program

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
)

const pageSize = 4096

// Program is an assembled list of steps.
type Program struct {
	b     *Builder
	later int // first step after the wait for start
}

// Assemble makes a program of the steps; the builder belongs to it from then on.
// It fails if a label was never placed or a limit of the layout is passed.
func (b *Builder) Assemble() (*Program, error) {
	for _, piece := range b.steps {
		for i := range piece {
			if piece[i].refused {
				b.fail("step %q tolerates more than %d errnos", piece[i].Name, MaxTolerated)
			}
		}
	}
	for _, l := range b.late {
		if l.label.step < 0 || l.label.step >= b.count {
			b.fail("label %q is not placed before a step", l.label.name)
		}
	}
	size := int(b.stepsBase()-TextBase) + b.count*stepSize
	if size > maxText {
		b.fail("the program has %d bytes; at most %d are possible", size, maxText)
	}
	if b.err != nil {
		return nil, fmt.Errorf("assemble program: %w", b.err)
	}
	binary.LittleEndian.PutUint64(b.data[headFirst:], b.stepsBase())
	later := b.count
	if b.later != nil {
		later = b.later.step
	}
	return &Program{b: b, later: later}, nil
}

// step is the i-th step.
func (p *Program) step(i int) *Step { return &p.b.steps[i/stepPiece][i%stepPiece] }

// WriteTo writes the executable, piece by piece: it is never in memory as a whole.
func (p *Program) WriteTo(w io.Writer) (int64, error) {
	out := counter{w: w}
	code := interpreterCode()
	head := make([]byte, align(headers+len(code)), pageSize+stepPiece*stepSize)
	p.writeHeaders(head, len(code))
	copy(head[headers:], code)
	out.write(head)
	out.write(p.b.data)
	out.write(make([]byte, align(len(p.b.data))-len(p.b.data)))
	out.write(p.b.text)
	out.write(make([]byte, int(p.b.stepsBase()-TextBase)-len(p.b.text)))
	for _, piece := range p.b.steps {
		encoded := head[:len(piece)*stepSize]
		for i := range piece {
			p.b.encode(&piece[i], encoded[i*stepSize:])
		}
		out.write(encoded)
	}
	return out.n, out.err
}

// counter writes until an error, and counts.
type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) write(p []byte) {
	if c.err != nil || len(p) == 0 {
		return
	}
	n, err := c.w.Write(p)
	c.n, c.err = c.n+int64(n), err
}

// What of the ELF format a program needs (elf(5)). Package debug/elf has it too,
// and much else, whose initialization every start would pay.
const (
	elfIdent    = "\x7fELF\x02\x01\x01" // 64 bits, least byte first, version 1
	elfExec     = 2                     // ET_EXEC
	elfAMD64    = 62                    // EM_X86_64
	elfARM64    = 183                   // EM_AARCH64
	elfLoad     = 1                     // PT_LOAD
	elfGNUStack = 0x6474e551            // PT_GNU_STACK
	elfX        = 1                     // PF_X, PF_W, PF_R
	elfW        = 2
	elfR        = 4

	elfHeader  = 64
	elfSegment = 56
	headers    = elfHeader + 4*elfSegment
)

// writeHeaders writes the ELF header, then the four segments', each at a page.
func (p *Program) writeHeaders(out []byte, code int) {
	le := binary.LittleEndian
	machine := uint16(elfAMD64)
	if runtime.GOARCH == "arm64" {
		machine = elfARM64
	}
	copy(out, elfIdent)
	le.PutUint16(out[16:], elfExec)
	le.PutUint16(out[18:], machine)
	le.PutUint32(out[20:], 1)                // version
	le.PutUint64(out[24:], CodeBase+headers) // entry
	le.PutUint64(out[32:], elfHeader)        // segments' headers
	le.PutUint16(out[52:], elfHeader)
	le.PutUint16(out[54:], elfSegment)
	le.PutUint16(out[56:], 4)

	segment := func(i int, typ, flags uint32, off, addr, size int) {
		p := out[elfHeader+elfSegment*i:]
		le.PutUint32(p[0:], typ)
		le.PutUint32(p[4:], flags)
		le.PutUint64(p[8:], uint64(off))
		le.PutUint64(p[16:], uint64(addr))
		le.PutUint64(p[24:], uint64(addr))
		le.PutUint64(p[32:], uint64(size))
		le.PutUint64(p[40:], uint64(size))
		le.PutUint64(p[48:], pageSize)
	}
	data := align(headers + code)
	text := data + align(len(p.b.data))
	segment(0, elfLoad, elfR|elfX, 0, CodeBase, headers+code)
	segment(1, elfLoad, elfR|elfW, data, DataBase, len(p.b.data))
	segment(2, elfLoad, elfR, text, TextBase, p.textSize())
	segment(3, elfGNUStack, elfR|elfW, 0, 0, 0)
}

// textSize is the size of constants and steps.
func (p *Program) textSize() int { return int(p.b.stepsBase()-TextBase) + p.b.count*stepSize }

func align(n int) int { return (n + pageSize - 1) &^ (pageSize - 1) }

// Size is the executable's size in bytes; Len the number of steps.
func (p *Program) Size() int {
	return align(headers+len(interpreterCode())) + align(len(p.b.data)) + p.textSize()
}

// Len is the number of steps.
func (p *Program) Len() int { return p.b.count }

// String prints the system calls, one a line, below what they are for. Jumps
// are left out; a call that they can skip says so in what it is for.
func (p *Program) String() string {
	var w strings.Builder
	group, name := "", ""
	for i := range p.Len() {
		s := p.step(i)
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
