// Package rate reads the limits that networks and their members ask for.
//
// Level: L2, a subroom of network.
// Owns: the words for rates, and the options that say them.
// May import: containerd/errdefs.
// Must not know: how a limit is made.
package rate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// The options of a network, for each of its members, and of one member.
const (
	OptIn  = "berth.rate.in"
	OptOut = "berth.rate.out"
)

// prefix is what the names of berth's own options begin with.
const prefix = "berth."

// Bounds of a limit, in bits a second. With less than the least one a connection hardly
// begins; more than the most is no limit to any machine.
const (
	Min = 8_000
	Max = 1_000_000_000_000
)

// Limit is what may pass in a second, in bits; zero is no bound.
type Limit struct {
	In  uint64 // towards the container
	Out uint64 // from it
}

// units are those of tc(8), in bits a second.
func units() map[string]float64 {
	return map[string]float64{
		"": 1, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12,
		"kibit": 1 << 10, "mibit": 1 << 20, "gibit": 1 << 30, "tibit": 1 << 40,
		"bps": 8, "kbps": 8e3, "mbps": 8e6, "gbps": 8e9, "tbps": 8e12,
		"kibps": 8 << 10, "mibps": 8 << 20, "gibps": 8 << 30, "tibps": 8 << 40,
	}
}

// Parse reads a rate as tc(8) writes it: a number with a unit of bits (10mbit, 512kibit) or of
// bytes (1mbps), without one of bits, a second. 0 is no limit.
func Parse(text string) (uint64, error) {
	word := strings.ToLower(strings.TrimSpace(text))
	end := strings.IndexFunc(word, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(word)
	}
	unit, known := units()[word[end:]]
	n, err := strconv.ParseFloat(word[:end], 64)
	if err != nil || !known || len(word) > 40 {
		return 0, invalid("rate %.40q cannot be read: write 10mbit, 512kbit, 1.5gbit, 2mbps (bytes), or bits a second", text)
	}
	bits := n * unit
	if bits == 0 {
		return 0, nil
	}
	if bits < Min || bits > Max {
		return 0, invalid("rate %.40q is out of bounds: a limit is %s to %s", text, Text(Min), Text(Max))
	}
	return uint64(bits), nil
}

// With is l with what options say. Others than berth's own are not looked at; one of
// its that is not known is an error.
func (l Limit) With(options map[string]string) (Limit, error) {
	for name, value := range options {
		var err error
		switch {
		case name == OptIn:
			l.In, err = Parse(value)
		case name == OptOut:
			l.Out, err = Parse(value)
		case strings.HasPrefix(name, prefix):
			err = invalid("unknown option %.80q: known are %s, %s", name, OptIn, OptOut)
		}
		if err != nil {
			return l, fmt.Errorf("%.80s: %w", name, err)
		}
	}
	return l, nil
}

// Text shows a rate as Parse reads it.
func Text(bits uint64) string {
	for _, u := range []struct {
		size uint64
		name string
	}{{1e9, "gbit"}, {1e6, "mbit"}, {1e3, "kbit"}} {
		if bits >= u.size && bits%(u.size/1000) == 0 {
			return strconv.FormatFloat(float64(bits)/float64(u.size), 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatUint(bits, 10) + "bit"
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
