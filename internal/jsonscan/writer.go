package jsonscan

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Writer writes one document, its values in the order of the calls. In an
// object each value follows a [Writer.Name].
type Writer struct {
	// Indent is put before each member once for each level; empty writes one line.
	Indent string

	buf   []byte
	depth int
	comma bool // a value stands before the next one
}

// Bytes is the document so far.
func (w *Writer) Bytes() []byte { return w.buf }

// Begin opens an object with '{' or an array with '['.
func (w *Writer) Begin(c byte) {
	w.value()
	w.buf = append(w.buf, c)
	w.depth++
	w.comma = false
}

// End closes it with '}' or ']'.
func (w *Writer) End(c byte) {
	w.depth--
	if w.comma {
		w.line()
	}
	w.buf = append(w.buf, c)
	w.comma = true
}

// Name writes the name of the next value.
func (w *Writer) Name(name string) {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.line()
	w.buf = append(appendText(w.buf, name), ':')
	if w.Indent != "" {
		w.buf = append(w.buf, ' ')
	}
	w.comma = false
}

// value makes room for a value in an array; in an object Name has.
func (w *Writer) value() {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	if n := len(w.buf); n > 0 && (w.comma || w.buf[n-1] == '[') {
		w.line()
	}
	w.comma = true
}

func (w *Writer) line() {
	if w.Indent == "" {
		return
	}
	w.buf = append(w.buf, '\n')
	for range w.depth {
		w.buf = append(w.buf, w.Indent...)
	}
}

// Text writes a string.
func (w *Writer) Text(s string) {
	w.value()
	w.buf = appendText(w.buf, s)
}

// Texts writes an array of strings.
func (w *Writer) Texts(list []string) {
	w.Begin('[')
	for _, s := range list {
		w.Text(s)
	}
	w.End(']')
}

// Int writes a number.
func (w *Writer) Int(n int64) {
	w.value()
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

// Uint writes a number.
func (w *Writer) Uint(n uint64) {
	w.value()
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

// Bool writes true or false.
func (w *Writer) Bool(b bool) {
	w.value()
	w.buf = strconv.AppendBool(w.buf, b)
}

// appendText writes a string in quotes. Bytes that are no UTF-8 become U+FFFD.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < ' ':
			const digits = "0123456789abcdef"
			if j := strings.IndexByte("\b\f\n\r\t", c); j >= 0 {
				b = append(b, '\\', "bfnrt"[j])
			} else {
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
			}
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
		}
	}
	return append(b, '"')
}
