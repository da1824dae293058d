package systemd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Kinds of messages (D-Bus specification, "Message Format").
const (
	methodCall = iota + 1
	methodReturn
	errorReply
	signal
)

// Codes of header fields.
const (
	fieldPath = iota + 1
	fieldInterface
	fieldMember
	fieldErrorName
	fieldReplySerial
	fieldDestination
	fieldSender
	fieldSignature
)

// Bounds of what a peer may send. The specification allows 128 MiB; what we
// ask for has some hundred bytes.
const (
	maxFields = 64 << 10
	maxBody   = 1 << 20
	fixedSize = 16
)

// message is one D-Bus message. Only what is used here of it is kept.
type message struct {
	kind      byte
	serial    uint32
	reply     uint32 // the serial that it answers
	path      string
	iface     string
	member    string
	errorName string
	target    string
	signature string
	body      []byte
}

// encoder writes values, each aligned from the start of its part.
type encoder struct{ b []byte }

func (e *encoder) align(n int) {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) byte(v byte) { e.b = append(e.b, v) }

func (e *encoder) uint32(v uint32) {
	e.align(4)
	e.b = binary.LittleEndian.AppendUint32(e.b, v)
}

func (e *encoder) uint64(v uint64) {
	e.align(8)
	e.b = binary.LittleEndian.AppendUint64(e.b, v)
}

func (e *encoder) bool(v bool) {
	if v {
		e.uint32(1)
		return
	}
	e.uint32(0)
}

func (e *encoder) string(s string) {
	e.uint32(uint32(len(s)))
	e.b = append(append(e.b, s...), 0)
}

func (e *encoder) signature(s string) {
	e.byte(byte(len(s)))
	e.b = append(append(e.b, s...), 0)
}

// array writes the length of what items writes. Elements begin at a multiple of align.
func (e *encoder) array(align int, items func()) {
	e.uint32(0)
	at := len(e.b) - 4
	e.align(align)
	start := len(e.b)
	items()
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-start))
}

// variant writes a value with its signature in front.
func (e *encoder) variant(v any) error {
	switch v := v.(type) {
	case bool:
		e.signature("b")
		e.bool(v)
	case string:
		e.signature("s")
		e.string(v)
	case int32:
		e.signature("i")
		e.uint32(uint32(v))
	case uint32:
		e.signature("u")
		e.uint32(v)
	case int64:
		e.signature("x")
		e.uint64(uint64(v))
	case uint64:
		e.signature("t")
		e.uint64(v)
	case float64:
		e.signature("d")
		e.uint64(math.Float64bits(v))
	case []byte:
		e.signature("ay")
		e.array(1, func() { e.b = append(e.b, v...) })
	case []uint32:
		e.signature("au")
		e.array(4, func() {
			for _, n := range v {
				e.uint32(n)
			}
		})
	case []string:
		e.signature("as")
		e.array(4, func() {
			for _, s := range v {
				e.string(s)
			}
		})
	case [][2]string:
		e.signature("a(ss)")
		e.array(8, func() {
			for _, p := range v {
				e.align(8)
				e.string(p[0])
				e.string(p[1])
			}
		})
	default:
		return fmt.Errorf("encode a %T for D-Bus", v)
	}
	return nil
}

// encode returns the message as it is sent.
func (m *message) encode() []byte {
	var e encoder
	e.b = append(e.b, 'l', m.kind, 0, 1) // little-endian, no flags, version 1
	e.uint32(uint32(len(m.body)))
	e.uint32(m.serial)
	e.array(8, func() {
		field := func(code byte, signature, value string) {
			if value == "" {
				return
			}
			e.align(8)
			e.byte(code)
			e.signature(signature)
			if signature == "g" {
				e.signature(value)
				return
			}
			e.string(value)
		}
		field(fieldPath, "o", m.path)
		field(fieldInterface, "s", m.iface)
		field(fieldMember, "s", m.member)
		field(fieldErrorName, "s", m.errorName)
		field(fieldDestination, "s", m.target)
		field(fieldSignature, "g", m.signature)
		if m.reply != 0 {
			e.align(8)
			e.byte(fieldReplySerial)
			e.signature("u")
			e.uint32(m.reply)
		}
	})
	e.align(8)
	return append(e.b, m.body...)
}

// errFormat is for bytes that are no D-Bus message.
var errFormat = errors.New("malformed D-Bus message")

// decoder reads values. After an error it reads zeros.
type decoder struct {
	b     []byte
	at    int
	order binary.ByteOrder
	err   error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b)-d.at {
		d.err = errFormat
		return nil
	}
	out := d.b[d.at : d.at+n]
	d.at += n
	return out
}

func (d *decoder) align(n int) {
	if rest := d.at % n; rest != 0 {
		d.take(n - rest)
	}
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	d.align(4)
	if b := d.take(4); b != nil {
		return d.order.Uint32(b)
	}
	return 0
}

func (d *decoder) string() string {
	n := d.uint32()
	if n > maxBody {
		d.err = errFormat
		return ""
	}
	s := string(d.take(int(n)))
	if d.byte() != 0 {
		d.err = errFormat
	}
	return s
}

func (d *decoder) signature() string {
	s := string(d.take(int(d.byte())))
	if d.byte() != 0 {
		d.err = errFormat
	}
	return s
}

// readMessage reads one message.
func readMessage(r io.Reader) (*message, error) {
	var fixed [fixedSize]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return nil, err
	}
	order, err := orderOf(fixed[0])
	if err != nil || fixed[3] != 1 {
		return nil, errFormat
	}
	body, fields := order.Uint32(fixed[4:]), order.Uint32(fixed[12:])
	if body > maxBody || fields > maxFields {
		return nil, fmt.Errorf("a D-Bus message of %d and %d bytes: more than is taken", fields, body)
	}
	padded := (int(fields) + 7) &^ 7
	rest := make([]byte, padded+int(body))
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, err
	}
	m := &message{kind: fixed[1], serial: order.Uint32(fixed[8:]), body: rest[padded:]}
	if err := m.decodeFields(rest[:fields], order); err != nil {
		return nil, err
	}
	return m, nil
}

func orderOf(mark byte) (binary.ByteOrder, error) {
	switch mark {
	case 'l':
		return binary.LittleEndian, nil
	case 'B':
		return binary.BigEndian, nil
	}
	return nil, errFormat
}

func (m *message) decodeFields(fields []byte, order binary.ByteOrder) error {
	d := &decoder{b: fields, order: order} // the array begins at byte 16 of the message: aligned as from 0
	for d.err == nil && d.at < len(d.b) {
		d.align(8)
		code, signature := d.byte(), d.signature()
		var text string
		var number uint32
		switch signature {
		case "s", "o":
			text = d.string()
		case "g":
			text = d.signature()
		case "u":
			number = d.uint32()
		default:
			return errFormat // no header field is of another kind
		}
		switch code {
		case fieldPath:
			m.path = text
		case fieldInterface:
			m.iface = text
		case fieldMember:
			m.member = text
		case fieldErrorName:
			m.errorName = text
		case fieldReplySerial:
			m.reply = number
		case fieldDestination:
			m.target = text
		case fieldSignature:
			m.signature = text
		}
	}
	if order != binary.LittleEndian {
		m.body = nil // nobody on this machine's sockets sends it; the header says enough to go on
	}
	return d.err
}

// strings reads the body's leading strings and object paths, after skip numbers of 32 bits.
func (m *message) strings(skip, count int) ([]string, error) {
	d := &decoder{b: m.body, order: binary.LittleEndian}
	for range skip {
		d.uint32()
	}
	out := make([]string, count)
	for i := range out {
		out[i] = d.string()
	}
	return out, d.err
}
