package jsonscan

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Name  string            `json:"name"`
	On    bool              `json:"on"`
	Count int64             `json:"count"`
	Size  uint16            `json:"size"`
	Tags  []string          `json:"tags"`
	More  map[string]uint64 `json:"more"`
	Next  *inner            `json:"next"`
	List  []inner           `json:"list"`
}

func readInner(r *Reader, v *inner) {
	for key := range r.Members() {
		switch key {
		case "name":
			String(r, &v.Name)
		case "on":
			Bool(r, &v.On)
		case "count":
			Int(r, &v.Count)
		case "size":
			Uint(r, &v.Size)
		case "tags":
			Strings(r, &v.Tags)
		case "more":
			Map(r, &v.More, Uint[uint64])
		case "next":
			Ptr(r, &v.Next, readInner)
		case "list":
			List(r, &v.List, readInner)
		default:
			r.Skip()
		}
	}
}

func read(data string) (inner, error) {
	var v inner
	r := New([]byte(data))
	readInner(r, &v)
	return v, r.End()
}

var good = []string{
	`{}`,
	` { "name" : "x" , "on":true,"count":-9223372036854775808,"size":65535 } `,
	"{\n\t\"tags\": [],\r\n \"more\": {}, \"next\": null, \"list\": []}",
	`{"tags":["a","","\u00e9\ud83d\ude00\n\\\"\/"],"more":{"a":0,"":18446744073709551615}}`,
	`{"next":{"next":{"name":"deep"}},"list":[{"name":"a"},{"size":2}]}`,
	`{"other":[1,-2.5e+10,0.1E-3,{"a":{"b":[true,false,null]}},"x"],"on":false}`,
	`{"name":"é","name2":1}`,
	"{\"name\":\"\xff\xfe\"}",
	`{"name":"\ud800"}`,
	`{"name":null,"on":null,"count":null,"tags":null,"more":null,"list":null}`,
}

// The documents that both take mean the same to encoding/json.
func TestLikeEncodingJSON(t *testing.T) {
	for _, data := range good {
		var want inner
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatalf("encoding/json refuses %s: %v", data, err)
		}
		got, err := read(data)
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %+v\nwant %+v", data, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for data, want := range map[string]string{
		``:                         "line 1: the document ends too early",
		`[]`:                       "line 1: an object is needed, not an array",
		`{"name":"x"} {}`:          "line 1: text follows the end of the document",
		`{"name":"x",}`:            `line 1: a name in quotes is needed, not "}"`,
		`{"name" "x"}`:             `line 1: a colon is needed after "name", not "\"x\""`,
		`{"on":true "size":1}`:     `line 1: a comma or '}' is needed, not "\"size\""`,
		"{\n\"name\": 1\n}":        "line 2: name: a string is needed, not a number",
		`{"on":"yes"}`:             "line 1: on: a boolean is needed, not a string",
		`{"on":truthy}`:            `line 1: on: "truthy" is no value of JSON`,
		`{"count":1.5}`:            "line 1: count: 1.5 is no whole number",
		`{"count":01}`:             `line 1: count: "01" is no value of JSON`,
		`{"count":"1"}`:            "line 1: count: a number is needed, not a string",
		`{"size":65536}`:           "line 1: size: 65536 is too large",
		`{"size":-1}`:              "line 1: size: -1 must not be negative",
		`{"tags":["a",2]}`:         "line 1: tags[1]: a string is needed, not a number",
		`{"list":[{"tags":[{}]}]}`: "line 1: list[0].tags[0]: a string is needed, not an object",
		`{"name":"a","name":"b"}`:  `line 1: "name" is there twice`,
		`{"more":{"a":1,"a":2}}`:   "line 1: more.a: it is there twice",
		`{"name":"a`:               "line 1: name: a string does not end",
		"{\"name\":\"a\nb\"}":      `line 1: name: a string has a control character: write \u000a`,
		`{"name":"\u0000"}`:        `line 1: name: a string has the escape "\\u0000": it is unknown or stands for a zero byte`,
		`{"name":"\x41"}`:          `line 1: name: a string has the escape "\\x41\"}": it is unknown or stands for a zero byte`,
		`{"other":nul}`:            `line 1: other: "nul" is no value of JSON`,
		`{"other":-}`:              `line 1: other: "-" is no value of JSON`,
		`{"other":.5}`:             `line 1: other: ".5" is no value of JSON`,
	} {
		_, err := read(data)
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", data, err, want)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	data := `{"other":` + strings.Repeat("[", 1_000_000)
	if _, err := read(data); err == nil || !strings.HasSuffix(err.Error(), "nested deeper than 100 levels") {
		t.Errorf("got %.200v", err)
	}
}

func TestUnreadValueIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	for range New([]byte(`{"a":1}`)).Members() {
	}
}

// What this package accepts encoding/json accepts too, with the same meaning.
func FuzzRead(f *testing.F) {
	for _, data := range good {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		got, err := read(data)
		if err != nil {
			return
		}
		if folded(data) { // encoding/json takes NAME for name
			return
		}
		var want inner
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q\n got %+v\nwant %+v", data, got, want)
		}
	})
}

// folded says whether data may have a known name in other letters.
func folded(data string) bool {
	var doc any
	if json.Unmarshal([]byte(data), &doc) != nil {
		return true
	}
	return hasFolded(doc)
}

func hasFolded(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			for _, known := range []string{"name", "on", "count", "size", "tags", "more", "next", "list"} {
				if name != known && strings.EqualFold(name, known) {
					return true
				}
			}
			if hasFolded(value) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if hasFolded(value) {
				return true
			}
		}
	}
	return false
}
