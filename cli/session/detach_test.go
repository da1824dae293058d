package session

import (
	"testing"
)

func TestDetacher(t *testing.T) {
	tests := []struct {
		name     string
		keys     string
		in       []string // pieces as they are read
		out      string
		detached bool
		rest     string
	}{
		{"nothing", "pq", []string{"hello"}, "hello", false, ""},
		{"in one piece", "pq", []string{"pq"}, "", true, ""},
		{"in two pieces", "pq", []string{"p", "q"}, "", true, ""},
		{"after text", "pq", []string{"abpq"}, "ab", true, ""},
		{"half", "pq", []string{"p", "x"}, "px", false, ""},
		{"half at the end", "pq", []string{"ap"}, "a", false, "p"},
		{"first key twice", "pq", []string{"ppq"}, "p", true, ""},
		{"first key twice in pieces", "pq", []string{"p", "p", "q"}, "p", true, ""},
		{"falls back into itself", "aab", []string{"aaab"}, "a", true, ""},
		{"overlap", "abab!", []string{"ababab!"}, "ab", true, ""},
		{"rest is dropped", "pq", []string{"pqx"}, "", true, ""},
		{"no keys", "", []string{"pq"}, "pq", false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := detacher{keys: []byte(tt.keys)}
			var out []byte
			detached := false
			for _, p := range tt.in {
				o, done := d.filter([]byte(p))
				out = append(out, o...)
				detached = detached || done
			}
			if string(out) != tt.out || detached != tt.detached {
				t.Errorf("keys %q in %q: out %q, detached %v; want %q, %v", tt.keys, tt.in, out, detached, tt.out, tt.detached)
			}
			if rest := string(d.rest()); rest != tt.rest {
				t.Errorf("keys %q in %q: %q is held at the end, want %q", tt.keys, tt.in, rest, tt.rest)
			}
		})
	}
}

func TestDetachKeys(t *testing.T) {
	for in, want := range map[string]string{"": "\x10\x11", "ctrl-p,ctrl-q": "\x10\x11", "ctrl-a": "\x01", "a,b": "ab"} {
		if got, err := DetachKeys(in); err != nil || string(got) != want {
			t.Errorf("DetachKeys(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"ctrl-", "ctrl-ß", "abc"} {
		if got, err := DetachKeys(in); err == nil {
			t.Errorf("DetachKeys(%q) = %q, want an error", in, got)
		}
	}
}

// FuzzDetacher checks that input without the sequence passes unchanged, however
// it is cut.
func FuzzDetacher(f *testing.F) {
	f.Add("pq", "appqb", 2)
	f.Add("aab", "aaab", 1)
	f.Fuzz(func(t *testing.T, keys, in string, cut int) {
		if len(keys) > 8 {
			return
		}
		whole := detacher{keys: []byte(keys)}
		want, wantDone := whole.filter([]byte(in))
		if !wantDone {
			if got := string(want) + string(whole.rest()); got != in {
				t.Fatalf("keys %q: %q became %q", keys, in, got)
			}
		}
		if cut < 0 || cut > len(in) {
			return
		}
		halves := detacher{keys: []byte(keys)}
		got, done := halves.filter([]byte(in[:cut]))
		got = append([]byte{}, got...)
		if !done {
			var more []byte
			more, done = halves.filter([]byte(in[cut:]))
			got = append(got, more...)
		}
		if done != wantDone || (done && string(got) != string(want)) {
			t.Fatalf("keys %q in %q: whole %q, %v; cut at %d %q, %v", keys, in, want, wantDone, cut, got, done)
		}
	})
}
