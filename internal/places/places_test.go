package places

import (
	"strings"
	"testing"
)

func TestPlaces(t *testing.T) {
	for name, tt := range map[string]struct {
		uid       int
		env       map[string]string
		data, run string // or a word of the error
	}{
		"root":         {0, map[string]string{"HOME": "/root", "XDG_RUNTIME_DIR": "/x"}, Root, Run},
		"user":         {54321, map[string]string{"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/54321"}, "/home/u/.local/share/berth", "/run/user/54321/berth"},
		"data home":    {54321, map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "/d", "XDG_RUNTIME_DIR": "/r"}, "/d/berth", "/r/berth"},
		"nothing":      {54321, nil, "HOME is not set", "XDG_RUNTIME_DIR is not set"},
		"not absolute": {54321, map[string]string{"HOME": "x", "XDG_RUNTIME_DIR": "run"}, "HOME is not set", "no absolute path"},
	} {
		getenv := func(key string) string { return tt.env[key] }
		for kind, f := range map[string]func(int, func(string) string) (string, error){"data": Data, "run": Runtime} {
			want := map[string]string{"data": tt.data, "run": tt.run}[kind]
			got, err := f(tt.uid, getenv)
			if err != nil {
				got = err.Error()
			}
			if got != want && (err == nil || !strings.Contains(got, want)) {
				t.Errorf("%s, %s: got %q, want %q", name, kind, got, want)
			}
		}
	}
}
