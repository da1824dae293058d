package jsonscan

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// String reads a string.
func String[T ~string](r *Reader, p *T) {
	switch c := r.peek(); {
	case r.err != nil:
	case c == 'n':
		r.literal("null")
	case c != '"':
		r.fail("a string is needed, not %s", kind(c))
	default:
		if s := r.text(); r.err == nil {
			*p = T(s)
		}
	}
}

// Bool reads true or false.
func Bool(r *Reader, p *bool) {
	switch c := r.peek(); {
	case r.err != nil:
	case c == 'n':
		r.literal("null")
	case c == 't':
		if r.literal("true") {
			*p = true
		}
	case c == 'f':
		if r.literal("false") {
			*p = false
		}
	default:
		r.fail("a boolean is needed, not %s", kind(c))
	}
}

// Int reads a whole number that fits into T.
func Int[T ~int | ~int32 | ~int64](r *Reader, p *T) {
	s := r.whole()
	if s == "" {
		return
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || int64(T(n)) != n {
		r.badNumber(s, err)
		return
	}
	*p = T(n)
}

// Uint reads a whole number that fits into T.
func Uint[T ~uint | ~uint16 | ~uint32 | ~uint64](r *Reader, p *T) {
	s := r.whole()
	if s == "" {
		return
	}
	if s[0] == '-' {
		r.fail("%s must not be negative", s)
		return
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || uint64(T(n)) != n {
		r.badNumber(s, err)
		return
	}
	*p = T(n)
}

func (r *Reader) badNumber(s string, err error) {
	if errors.Is(err, strconv.ErrSyntax) {
		r.fail("%s is no whole number", s)
		return
	}
	r.fail("%s is too large", s)
}

// whole returns the digits of a number, "" for null and after an error.
func (r *Reader) whole() string {
	switch c := r.peek(); {
	case r.err != nil:
		return ""
	case c == 'n':
		r.literal("null")
		return ""
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case strings.IndexByte(`{["tf`, c) >= 0:
		r.fail("a number is needed, not %s", kind(c))
	default:
		r.fail("%s is no value of JSON", r.token())
	}
	return ""
}

// number reads a number as RFC 8259 writes it.
func (r *Reader) number() string {
	start, i := r.pos, r.pos
	digits := func() bool {
		from := i
		for i < len(r.data) && r.data[i] >= '0' && r.data[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(chars string) bool {
		if i < len(r.data) && strings.IndexByte(chars, r.data[i]) >= 0 {
			i++
			return true
		}
		return false
	}
	at("-")
	ok := at("0") || digits()
	if ok && at(".") {
		ok = digits()
	}
	if ok && at("eE") {
		at("+-")
		ok = digits()
	}
	if !ok || i < len(r.data) && strings.IndexByte(" \t\r\n,]}", r.data[i]) < 0 {
		r.fail("%s is no value of JSON", r.token())
		return ""
	}
	r.pos = i
	return r.data[start:i]
}

// Ptr reads a value into a new variable; null leaves the pointer as it was.
func Ptr[T any](r *Reader, p **T, read func(*Reader, *T)) {
	if r.peek(); r.err != nil || r.Null() {
		return
	}
	v := new(T)
	if read(r, v); r.err == nil {
		*p = v
	}
}

// List reads an array.
func List[T any](r *Reader, p *[]T, read func(*Reader, *T)) {
	if r.peek(); r.err != nil || r.Null() {
		return
	}
	list := make([]T, 0, 4)
	for i := range r.Elements() {
		var zero T
		list = append(list, zero)
		read(r, &list[i]) // a local variable would be one allocation each
	}
	if r.err == nil {
		*p = list
	}
}

// Strings reads an array of strings.
func Strings[T ~string](r *Reader, p *[]T) { List(r, p, String[T]) }

// Map reads an object whose names the caller does not know.
func Map[T any](r *Reader, p *map[string]T, read func(*Reader, *T)) {
	if r.peek(); r.err != nil || r.Null() {
		return
	}
	m := map[string]T{}
	for name := range r.members(false) {
		if _, twice := m[name]; twice {
			r.fail("it is there twice")
		}
		var v T
		read(r, &v)
		m[name] = v
	}
	if r.err == nil {
		*p = m
	}
}

// slowText is text for a string with escapes or beyond ASCII.
func (r *Reader) slowText(start int) string {
	var b strings.Builder
	for i := start; i < len(r.data); {
		c := r.data[i]
		switch {
		case c == '"':
			r.pos = i + 1
			return b.String()
		case c < ' ':
			r.pos = i
			r.fail("a string has a control character: write \\u%04x", c)
			return ""
		case c == '\\':
			c, n := unescape(r.data[i:])
			if n == 0 || c == 0 {
				r.pos = i
				r.fail("a string has the escape %s: it is unknown or stands for a zero byte", strconv.Quote(r.data[i:min(i+6, len(r.data))]))
				return ""
			}
			b.WriteRune(c)
			i += n
		case c < utf8.RuneSelf:
			b.WriteByte(c)
			i++
		default:
			c, n := utf8.DecodeRuneInString(r.data[i:])
			b.WriteRune(c)
			i += n
		}
	}
	r.fail("a string does not end")
	return ""
}

// unescape reads the escape that s starts with and returns its length, 0 if it is none.
func unescape(s string) (c rune, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	if s[1] != 'u' {
		const names, chars = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
		i := strings.IndexByte(names, s[1])
		if i < 0 {
			return 0, 0
		}
		return rune(chars[i]), 2
	}
	c, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(c) {
		if low, ok := hex4(s[6:]); ok {
			if whole := utf16.DecodeRune(c, low); whole != utf8.RuneError {
				return whole, 12
			}
		}
		return utf8.RuneError, 6
	}
	return c, 6
}

// hex4 reads \uXXXX.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
