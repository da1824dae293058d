package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

type sttyFlag struct {
	name string
	bit  uint32
	word func(*syscall.Termios) *uint32
}

func sttyFlags() []sttyFlag {
	in := func(t *syscall.Termios) *uint32 { return &t.Iflag }
	out := func(t *syscall.Termios) *uint32 { return &t.Oflag }
	local := func(t *syscall.Termios) *uint32 { return &t.Lflag }
	return []sttyFlag{
		{"ignbrk", syscall.IGNBRK, in},
		{"brkint", syscall.BRKINT, in},
		{"istrip", syscall.ISTRIP, in},
		{"inlcr", syscall.INLCR, in},
		{"igncr", syscall.IGNCR, in},
		{"icrnl", syscall.ICRNL, in},
		{"ixon", syscall.IXON, in},
		{"ixoff", syscall.IXOFF, in},
		{"opost", syscall.OPOST, out},
		{"onlcr", syscall.ONLCR, out},
		{"isig", syscall.ISIG, local},
		{"icanon", syscall.ICANON, local},
		{"iexten", syscall.IEXTEN, local},
		{"echo", syscall.ECHO, local},
		{"echoe", syscall.ECHOE, local},
		{"echok", syscall.ECHOK, local},
		{"echonl", syscall.ECHONL, local},
		{"noflsh", syscall.NOFLSH, local},
		{"tostop", syscall.TOSTOP, local},
	}
}

func ioctl(request uintptr, p unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, request, uintptr(p)); errno != 0 {
		return fmt.Errorf("standard input: %w", errno)
	}
	return nil
}

// stty shows or changes the terminal at standard input: size, -a, raw, sane,
// rows N, cols N and the flags of sttyFlags, with - before one to clear it.
func stty(e *env) error {
	var t syscall.Termios
	if err := ioctl(syscall.TCGETS, unsafe.Pointer(&t)); err != nil {
		return err
	}
	var size struct{ rows, cols, x, y uint16 }
	if err := ioctl(syscall.TIOCGWINSZ, unsafe.Pointer(&size)); err != nil {
		return err
	}
	if len(e.args) == 0 || e.args[0] == "-a" {
		fmt.Fprintf(e.out, "rows %d; columns %d;\n", size.rows, size.cols)
		var shown []string
		for _, f := range sttyFlags() {
			name := f.name
			if *f.word(&t)&f.bit == 0 {
				name = "-" + name
			}
			shown = append(shown, name)
		}
		fmt.Fprintln(e.out, strings.Join(shown, " "))
		return nil
	}
	for i := 0; i < len(e.args); i++ {
		a := e.args[i]
		switch a {
		case "size":
			fmt.Fprintf(e.out, "%d %d\n", size.rows, size.cols)
		case "rows", "cols", "columns":
			i++
			if i == len(e.args) {
				return usageError(a + " needs a number")
			}
			n, err := strconv.ParseUint(e.args[i], 10, 16)
			if err != nil {
				return usageError("bad number " + strconv.Quote(e.args[i]))
			}
			if a == "rows" {
				size.rows = uint16(n)
			} else {
				size.cols = uint16(n)
			}
			if err := ioctl(syscall.TIOCSWINSZ, unsafe.Pointer(&size)); err != nil {
				return err
			}
		case "raw":
			t.Iflag, t.Lflag = 0, 0
			t.Oflag &^= syscall.OPOST
			t.Cc[syscall.VMIN], t.Cc[syscall.VTIME] = 1, 0
		case "sane", "cooked":
			t.Iflag = syscall.BRKINT | syscall.ICRNL | syscall.IXON
			t.Oflag |= syscall.OPOST | syscall.ONLCR
			t.Lflag = syscall.ISIG | syscall.ICANON | syscall.IEXTEN | syscall.ECHO | syscall.ECHOE | syscall.ECHOK
		default:
			if !sttySet(&t, a) {
				return usageError("unknown setting " + strconv.Quote(a))
			}
		}
	}
	return ioctl(syscall.TCSETS, unsafe.Pointer(&t))
}

func sttySet(t *syscall.Termios, setting string) bool {
	name, clear := strings.CutPrefix(setting, "-")
	for _, f := range sttyFlags() {
		if f.name != name {
			continue
		}
		if clear {
			*f.word(t) &^= f.bit
		} else {
			*f.word(t) |= f.bit
		}
		return true
	}
	return false
}
