package program

import "bytes"

// index finds constants that are there already: a hash table of places in the
// text. It holds no copy of them, as a map would.
type index struct {
	places []place // a power of two of them, a quarter at least unused
	used   int
}

// place is where a constant is; its size is 0 where there is none.
type place struct{ at, size uint32 }

// find returns where text holds the same as text[start:], or start if nowhere
// before, which it remembers. Places are multiples of 8, sizes too are compared.
func (x *index) find(text []byte, start int) int {
	p := text[start:]
	if len(p) == 0 {
		return start
	}
	if 4*x.used >= 3*len(x.places) {
		x.grow(text)
	}
	i := x.slot(text, p)
	if x.places[i].size == 0 {
		x.places[i] = place{uint32(start), uint32(len(p))}
		x.used++
	}
	return int(x.places[i].at)
}

// slot is the index of p's place, or of the free one where it belongs.
func (x *index) slot(text, p []byte) int {
	mask := len(x.places) - 1
	for i := int(hash(p)) & mask; ; i = (i + 1) & mask {
		if c := x.places[i]; c.size == 0 || bytes.Equal(text[c.at:c.at+c.size], p) {
			return i
		}
	}
}

func (x *index) grow(text []byte) {
	old := x.places
	x.places = make([]place, max(512, 2*len(old)))
	for _, c := range old {
		if c.size != 0 {
			x.places[x.slot(text, text[c.at:c.at+c.size])] = c
		}
	}
}

// hash is FNV-1a. Whoever writes a spec can make it slow, for himself.
func hash(p []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range p {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}
