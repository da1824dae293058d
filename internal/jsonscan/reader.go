package jsonscan

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and objects may lie in each other.
const maxDepth = 100

// Reader reads a document. After the first error all its methods do nothing,
// and [Reader.End] returns that error.
type Reader struct {
	data string
	pos  int
	err  error
	path []step // where pos is, for errors
}

// step is a name in an object, or an index in an array.
type step struct {
	name  string
	index int // -1 with a name
}

// New returns a reader of data. Strings that it reads share memory.
func New(data []byte) *Reader {
	return &Reader{data: string(data), path: make([]step, 0, 16)}
}

// End checks that nothing follows the document, and returns the first error.
func (r *Reader) End() error {
	if r.space(); r.err == nil && r.pos < len(r.data) {
		r.fail("text follows the end of the document")
	}
	return r.err
}

// Fail stops the reader with an error about the value that it is at.
func (r *Reader) Fail(format string, args ...any) {
	r.fail("%s", fmt.Sprintf(format, args...))
}

func (r *Reader) fail(format string, args ...any) {
	if r.err != nil {
		return
	}
	at := fmt.Sprintf("line %d: ", 1+strings.Count(r.data[:min(r.pos, len(r.data))], "\n"))
	if where := r.where(); where != "" {
		at += where + ": "
	}
	r.err = fmt.Errorf(at+format, args...)
}

// where writes the path as users do: linux.namespaces[2].type.
func (r *Reader) where() string {
	var b strings.Builder
	for _, s := range r.path {
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case b.Len() > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}

func (r *Reader) space() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\r', '\n':
			r.pos++
		default:
			return
		}
	}
}

// peek returns the first byte of the next token, 0 at the end or after an error.
func (r *Reader) peek() byte {
	if r.err != nil {
		return 0
	}
	r.space()
	if r.pos == len(r.data) {
		r.fail("the document ends too early")
		return 0
	}
	return r.data[r.pos]
}

// Null reports whether the next value is null, and goes past it if so.
func (r *Reader) Null() bool {
	return r.peek() == 'n' && r.literal("null")
}

func (r *Reader) literal(word string) bool {
	if !strings.HasPrefix(r.data[r.pos:], word) {
		r.fail("%s is no value of JSON", r.token())
		return false
	}
	r.pos += len(word)
	return true
}

// token is what stands at pos, for errors.
func (r *Reader) token() string {
	s := r.data[r.pos:]
	if i := strings.IndexAny(s, " \t\r\n,:]}"); i > 0 {
		s = s[:i]
	}
	const most = 20
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}

// kind says what value starts with c, for errors.
func kind(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return "a number"
	}
	return strconv.QuoteRune(rune(c))
}

// open goes past the first byte of a value that must be an object or array. It
// is false for null and after an error.
func (r *Reader) open(c byte) bool {
	switch got := r.peek(); {
	case r.err != nil:
		return false
	case got == 'n':
		r.literal("null")
		return false
	case got != c:
		r.fail("%s is needed, not %s", kind(c), kind(got))
		return false
	case len(r.path) == maxDepth:
		r.fail("nested deeper than %d levels", maxDepth)
		return false
	}
	r.pos++
	return true
}

// next goes past what separates the members of an object or array that ends
// with end: true if there is a further one.
func (r *Reader) next(end byte, first bool) bool {
	c := r.peek()
	switch {
	case r.err != nil:
		return false
	case c == end:
		r.pos++
		return false
	case first:
		return true
	case c != ',':
		r.fail("a comma or %q is needed, not %s", end, r.token())
		return false
	}
	r.pos++
	return true
}

// Members goes through an object's names. The caller reads each value.
func (r *Reader) Members() iter.Seq[string] { return r.members(true) }

func (r *Reader) members(unique bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !r.open('{') {
			return
		}
		var few [24]string
		seen := few[:0]
		for first := true; r.next('}', first); first = false {
			if r.peek() != '"' {
				r.fail("a name in quotes is needed, not %s", r.token())
				return
			}
			name := r.text()
			if r.err != nil {
				return
			}
			if unique && contains(seen, name) {
				r.fail("%q is there twice", name)
				return
			}
			if r.peek() != ':' {
				r.fail("a colon is needed after %q, not %s", name, r.token())
				return
			}
			r.pos++
			r.path = append(r.path, step{name, -1})
			before := r.pos
			goOn := yield(name)
			if r.err != nil || !goOn {
				return
			}
			r.path = r.path[:len(r.path)-1]
			if r.pos == before {
				panic("jsonscan: the value of " + name + " was not read")
			}
			// An attacker's document must not make this quadratic.
			if unique && len(seen) < maxNames {
				seen = append(seen, name)
			}
		}
	}
}

// maxNames is more names than any object of a known shape has.
const maxNames = 64

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// Elements goes through an array. The caller reads each value.
func (r *Reader) Elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !r.open('[') {
			return
		}
		for i := 0; r.next(']', i == 0); i++ {
			r.path = append(r.path, step{index: i})
			before := r.pos
			goOn := yield(i)
			if r.err != nil || !goOn {
				return
			}
			r.path = r.path[:len(r.path)-1]
			if r.pos == before {
				panic(fmt.Sprintf("jsonscan: element %d was not read", i))
			}
		}
	}
}

// Offset is how many bytes of the document the reader has gone past.
func (r *Reader) Offset() int { return r.pos }

// Skip goes past a value of any kind, which must be right all the same.
func (r *Reader) Skip() {
	switch c := r.peek(); {
	case r.err != nil:
	case c == '{':
		for range r.members(false) {
			r.Skip()
		}
	case c == '[':
		for range r.Elements() {
			r.Skip()
		}
	case c == '"':
		r.text()
	case c == 't' || c == 'f':
		var b bool
		Bool(r, &b)
	case c == 'n':
		r.literal("null")
	default:
		r.number()
	}
}

// text reads a string. Bytes that are no UTF-8 become U+FFFD, as they do in
// other runtimes.
func (r *Reader) text() string {
	start := r.pos + 1
	for i := start; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.pos = i + 1
			return r.data[start:i]
		case c == '\\' || c >= utf8.RuneSelf:
			return r.slowText(start)
		case c < ' ':
			r.pos = i
			r.fail("a string has a control character: write \\u%04x", c)
			return ""
		}
	}
	r.fail("a string does not end")
	return ""
}
