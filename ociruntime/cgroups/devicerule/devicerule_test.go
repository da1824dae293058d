package devicerule

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func devRule(allow bool, kind string, major, minor int64, acc string) specs.LinuxDeviceCgroup {
	r := specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: acc}
	if major >= 0 {
		r.Major = &major
	}
	if minor >= 0 {
		r.Minor = &minor
	}
	return r
}

func TestV1(t *testing.T) {
	deny := devRule(false, "", -1, -1, "rwm")
	for _, tc := range []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		want  string // the start of what is written
	}{
		{"default", []specs.LinuxDeviceCgroup{deny}, "devices.deny: a; devices.allow: c *:* m, b *:* m, c 1:3 mrw, "},
		{"privileged", []specs.LinuxDeviceCgroup{deny, devRule(true, "a", -1, -1, "rwm")}, "devices.allow: a; "},
		{"merged", []specs.LinuxDeviceCgroup{deny, devRule(true, "b", 8, 0, "r"), devRule(true, "b", 8, 0, "w")}, "devices.deny: a; devices.allow: b 8:0 rw, "},
		{"taken back", []specs.LinuxDeviceCgroup{deny, devRule(true, "b", 8, 0, "r"), devRule(false, "b", 8, 0, "rwm")}, "devices.deny: a; devices.allow: c *:* m"},
		{"all kinds, reading", []specs.LinuxDeviceCgroup{deny, devRule(true, "a", -1, -1, "r")}, "devices.deny: a; devices.allow: b *:* mr, c *:* mr, "},
		{"one denied", []specs.LinuxDeviceCgroup{devRule(false, "b", 8, -1, "w")}, "devices.deny: b 8:* w; "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rules, err := Parse(tc.rules)
			if err != nil {
				t.Fatal(err)
			}
			list, err := Emulate(rules)
			if err != nil {
				t.Fatal(err)
			}
			got := text(list.Fresh())
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func text(writes []Write) string {
	got := ""
	for _, w := range writes {
		got += w.File + ": " + strings.Join(w.Lines, ", ") + "; "
	}
	return got
}

func mustEmulate(t *testing.T, rules ...specs.LinuxDeviceCgroup) List {
	t.Helper()
	parsed, err := Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Emulate(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFrom(t *testing.T) {
	deny, all := devRule(false, "", -1, -1, "rwm"), devRule(true, "a", -1, -1, "rwm")
	disk, tape := devRule(true, "b", 8, 0, "rw"), devRule(true, "c", 9, -1, "rw")
	list := func(extra string) string {
		out := ""
		for _, l := range mustEmulate(t, deny).lines(nil) {
			out += l + "\n"
		}
		return out + extra
	}
	for _, tc := range []struct {
		name, now string
		to        List
		want      string
	}{
		{"nothing to do", list(""), mustEmulate(t, deny), ""},
		{"one more", list(""), mustEmulate(t, deny, disk), "devices.allow: b 8:0 rw; "},
		{"one less", list("b 8:0 rw\n"), mustEmulate(t, deny), "devices.deny: b 8:0 rw; "},
		{"another, with no gap", list("b 8:0 rwm\n"), mustEmulate(t, deny, disk, tape), "devices.allow: c 9:* rw; devices.deny: b 8:0 m; "},
		{"privileged", list(""), mustEmulate(t, deny, all), "devices.allow: a; "},
		{"no more privileged", "a *:* rwm\n", mustEmulate(t, deny), "devices.deny: a; devices.allow: c *:* m, b *:* m, c 1:3 mrw, c 1:5 mrw, c 1:7 mrw, c 1:8 mrw, c 1:9 mrw, c 5:0 mrw, c 5:2 mrw, c 136:* mrw; "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now, err := Current(tc.now)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(tc.to.From(now)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if same := tc.want == ""; tc.to.Same(now) != same {
				t.Errorf("same: %v", !same)
			}
		})
	}
}

func FuzzCurrent(f *testing.F) {
	f.Add("a *:* rwm\n")
	f.Add("c 1:3 rwm\nb *:* m\nc 136:* rw\n")
	f.Fuzz(func(t *testing.T, data string) {
		l, err := Current(data)
		if err != nil || l.unknown {
			return
		}
		again, err := Current(strings.Join(l.lines(nil), "\n"))
		if err != nil || !again.Same(l) {
			t.Fatalf("%v: %+v, then %+v", err, l, again)
		}
	})
}

func TestRefused(t *testing.T) {
	below := int64(-2)
	for _, r := range []specs.LinuxDeviceCgroup{
		devRule(true, "x", 1, 1, "r"), devRule(true, "c", 1, 1, "rx"), devRule(true, "c", 5000, 1, "r"),
		{Type: "c", Major: &below},
	} {
		if _, err := Parse([]specs.LinuxDeviceCgroup{r}); err == nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	rules, err := Parse([]specs.LinuxDeviceCgroup{devRule(false, "", -1, -1, ""), devRule(true, "c", 10, -1, "rw"), devRule(false, "c", 10, 200, "rw")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Emulate(rules); err == nil {
		t.Errorf("an exception from an exception: %v", err)
	}
}

// run interprets a device program as the kernel would.
func run(program []linux.BPFInstruction, kind byte, acc access, major, minor int64) (int64, error) {
	var reg [11]int64
	for pc, n := 0, 0; n < 10000; pc, n = pc+1, n+1 {
		if pc < 0 || pc >= len(program) {
			return 0, fmt.Errorf("left the program at %d", pc)
		}
		i := program[pc]
		dst, src := i.Registers&15, i.Registers>>4
		switch i.Code {
		case bpfLoadWord:
			reg[dst] = map[int16]int64{0: int64(acc)<<16 | int64(bpfKind[kind]), 4: major, 8: minor}[i.Offset]
		case bpfAnd:
			reg[dst] &= int64(i.Immediate)
		case bpfShift:
			reg[dst] >>= i.Immediate
		case bpfMove:
			reg[dst] = int64(i.Immediate)
		case bpfCopy:
			reg[dst] = reg[src]
		case bpfJumpEq:
			if reg[dst] == int64(i.Immediate) {
				pc += int(i.Offset)
			}
		case bpfJumpNe:
			if reg[dst] != int64(i.Immediate) {
				pc += int(i.Offset)
			}
		case bpfExit:
			return reg[regResult], nil
		default:
			return 0, fmt.Errorf("instruction %#x", i.Code)
		}
	}
	return 0, errors.New("does not end")
}

// allowed is what the rules mean, said another way: each kind of access on
// its own goes by the last rule that covers it.
func allowed(rules []Rule, kind byte, acc access, major, minor int64) bool {
	for _, bit := range []access{mknod, read, write} {
		ok := true
		for _, r := range rules {
			if r.access&bit != 0 && r.overlaps(nodes{kind, major, minor}) {
				ok = r.allow
			}
		}
		if acc&bit != 0 && !ok {
			return false
		}
	}
	return true
}

func FuzzV2(f *testing.F) {
	f.Add([]byte{0, 0, 0, 7, 9, 1, 2, 3, 5, 2, 3, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var rules []Rule
		for len(data) >= 4 && len(rules) < 50 { // small numbers, so that rules meet
			r := Rule{nodes{"abc"[data[0]%3], int64(data[1]%4) - 1, int64(data[2]%4) - 1}, access(data[3]&7) | access(1>>(data[3]&7)), data[0]&8 != 0}
			if r.kind == 'a' {
				r.nodes = everything
			}
			rules = append(rules, r)
			data = data[4:]
		}
		program := V2(rules)
		for _, kind := range []byte("bc") {
			for acc := access(1); acc <= allAccess; acc++ {
				for n := range int64(16) {
					got, err := run(program, kind, acc, n/4, n%4)
					if err != nil {
						t.Fatal(err)
					}
					if want := allowed(rules, kind, acc, n/4, n%4); (got == 1) != want {
						t.Fatalf("%c %d:%d %v: %d, want %v; rules %+v", kind, n/4, n%4, acc, got, want, rules)
					}
				}
			}
		}
	})
}
