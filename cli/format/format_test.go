package format

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"berth/cli/command"
)

func TestListPrint(t *testing.T) {
	rows := []Row{
		{"ID": "1", "Names": "web", "Labels": "a=b,c=d=e"},
		{"ID": "22", "Names": "wörld", "Labels": ""},
	}
	tests := []struct{ name, format, quiet, want string }{
		{"table", "", "", "ID   NAMES\n1    web\n22   wörld\n"},
		{"table by name", "table", "", "ID   NAMES\n1    web\n22   wörld\n"},
		{"quiet", "", "ID", "1\n22\n"},
		{"template", "{{.Names}}={{.ID}}", "", "web=1\nwörld=22\n"},
		{"own table", `table {{.Names}}\t{{.ID}}`, "", "NAMES   ID\nweb     1\nwörld   22\n"},
		{"json", "json", "", `{"ID":"1","Labels":"a=b,c=d=e","Names":"web"}` + "\n" + `{"ID":"22","Labels":"","Names":"wörld"}` + "\n"},
		{"label", `{{.Label "c"}}`, "", "d=e\n\n"},
		{"functions", `{{json .ID}} {{upper .Names}} {{truncate .Names 2}} {{join (split .Names "r") "-"}}`, "", "\"1\" WEB we web\n\"22\" WÖRLD wö wö-ld\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := List{Format: tt.format, Quiet: tt.quiet, Columns: []string{"ID", "Names"}, Headers: map[string]string{"ID": "ID", "Names": "NAMES", "Labels": "LABELS"}}
			var b bytes.Buffer
			if err := l.Print(&b, rows); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("format %q prints\n%s\nwant\n%s", tt.format, b.String(), tt.want)
			}
		})
	}
}

func TestBadTemplates(t *testing.T) {
	l := List{Headers: map[string]string{"ID": "ID"}}
	for _, f := range []string{"{{", "{{.Nope}}", "table {{.Nope}}", "{{nope}}"} {
		l.Format = f
		err := l.Print(&bytes.Buffer{}, []Row{{"ID": "1"}})
		var exit *command.Exit
		if !errors.As(err, &exit) || exit.Code != command.BadInput || strings.Contains(err.Error(), "\n") {
			t.Errorf("format %q gives %v, want one line and exit code %d", f, err, command.BadInput)
		}
	}
}

func TestDecodeKeepsWholeNumbers(t *testing.T) {
	v, err := Decode([]byte(`{"Id":"x","State":{"ExitCode":137},"Big":9007199254740993,"F":1.5,"L":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Value(&b, `{{.ID}} {{.State.ExitCode}} {{.Big}} {{.F}} {{index .L 0}} {{if eq .State.ExitCode 137}}killed{{end}}`, v); err != nil {
		t.Fatal(err)
	}
	if want := "x 137 9007199254740993 1.5 1 killed\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestFilters(t *testing.T) {
	q := url.Values{}
	if err := Filters(q, []string{"status=exited", "label=a=b", "Status=created"}); err != nil {
		t.Fatal(err)
	}
	if got, want := q.Get("filters"), `{"label":{"a=b":true},"status":{"created":true,"exited":true}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := Filters(url.Values{}, []string{"status"}); err == nil {
		t.Error("a filter without a value was taken")
	}
}

func TestEllipsis(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "abcd": "ab…", "äöüß": "äö…"} {
		if got := Ellipsis(in, 3); got != want {
			t.Errorf("Ellipsis(%q, 3) = %q, want %q", in, got, want)
		}
	}
}
