package jsonscan

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func write(w *Writer, v any) {
	switch v := v.(type) {
	case map[string]any:
		w.Begin('{')
		for _, name := range []string{"a", "b", "c"} { // in this order
			if value, ok := v[name]; ok {
				w.Name(name)
				write(w, value)
			}
		}
		w.End('}')
	case []any:
		w.Begin('[')
		for _, value := range v {
			write(w, value)
		}
		w.End(']')
	case []string:
		w.Texts(v)
	case string:
		w.Text(v)
	case bool:
		w.Bool(v)
	case int64:
		w.Int(v)
	case uint64:
		w.Uint(v)
	}
}

func TestWriterIsLikeEncodingJSON(t *testing.T) {
	for _, v := range []any{
		"", "a\"b\\c/d\n\t\x00\x1f\x7f é 😀 <&>", true, int64(-1 << 63), uint64(1<<64 - 1),
		map[string]any{},
		[]any{},
		[]string{"x", "y"},
		map[string]any{"a": []any{}, "b": map[string]any{"a": "x"}, "c": []any{map[string]any{"b": false}, []any{int64(1), int64(2)}}},
	} {
		for _, indent := range []string{"", "  "} {
			w := Writer{Indent: indent}
			write(&w, v)
			var want strings.Builder
			enc := json.NewEncoder(&want)
			enc.SetIndent("", indent)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v); err != nil {
				t.Fatal(err)
			}
			if got := string(w.Bytes()) + "\n"; got != want.String() {
				t.Errorf("%v, indent %q\n got %swant %s", v, indent, got, want.String())
			}
		}
	}
}

// What is written is read again as it was, whatever it is.
func FuzzText(f *testing.F) {
	f.Add("a\"\\\n\x01é")
	f.Fuzz(func(t *testing.T, s string) {
		var w Writer
		w.Text(s)
		var want string
		if err := json.Unmarshal(w.Bytes(), &want); err != nil {
			t.Fatalf("%q: %v", w.Bytes(), err)
		}
		if strings.Contains(s, "\x00") {
			return // New refuses it
		}
		var got string
		r := New(w.Bytes())
		if String(r, &got); r.End() != nil || !reflect.DeepEqual(got, want) || got != strings.ToValidUTF8(s, "\ufffd") && !strings.Contains(got, "\ufffd") {
			t.Errorf("%q became %q and %q: %v", s, got, want, r.End())
		}
	})
}
