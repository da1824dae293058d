package session

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/moby/term"
)

// openTerminal makes a terminal; what is written to it is never read.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var unlock, number int32
	for request, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(arg))); e != 0 {
			t.Fatal(e)
		}
	}
	f, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func modes(t *testing.T, f *os.File) term.State {
	t.Helper()
	s, err := term.SaveState(f.Fd())
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func TestTerminalIsRestored(t *testing.T) {
	f := openTerminal(t)
	before := modes(t, f)
	ways := map[string]func(raw *Terminal){
		"restore": (*Terminal).Restore,
		"twice":   func(raw *Terminal) { raw.Restore(); raw.Restore() },
		"again":   func(raw *Terminal) { raw.Again(); raw.Restore(); raw.Again() },
		"panic": func(raw *Terminal) {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			defer raw.OnPanic()
			panic("a bug")
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			raw, err := Raw(f)
			if err != nil {
				t.Fatal(err)
			}
			if modes(t, f) == before {
				t.Fatal("raw mode changes nothing: the test cannot fail")
			}
			way(raw)
			if modes(t, f) != before {
				t.Error("the terminal is not as before")
			}
		})
	}
}

func TestNoTerminalToRestore(t *testing.T) {
	var none *Terminal
	none.Restore()
	none.Again()
	none.OnPanic()
	if h, w := Size(nil); h != 0 || w != 0 {
		t.Errorf("no terminal has the size %d, %d", h, w)
	}
}
