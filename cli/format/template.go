package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
	"unicode/utf8"

	"berth/cli/command"
)

// Row is one line of a list: a template's fields by their names. Labels are found
// with {{.Label "name"}}.
type Row map[string]string

// Label is the value of one of the object's labels, taken from the field Labels.
func (r Row) Label(name string) string {
	for _, l := range strings.Split(r["Labels"], ",") {
		if k, v, _ := strings.Cut(l, "="); k == name {
			return v
		}
	}
	return ""
}

// List prints rows.
type List struct {
	// Format is the value of --format: empty, "table", "json", a template, or
	// "table" and a template.
	Format string
	// Columns are the fields of the default table.
	Columns []string
	// Headers are the headings of all fields; other fields do not exist.
	Headers map[string]string
	// Quiet prints only this field, if it is not empty.
	Quiet string
}

// Print writes the rows to w.
func (l *List) Print(w io.Writer, rows []Row) error {
	switch {
	case l.Quiet != "":
		for _, r := range rows {
			fmt.Fprintln(w, r[l.Quiet])
		}
		return nil
	case l.Format == "json":
		for _, r := range rows {
			if err := printJSON(w, r, ""); err != nil {
				return err
			}
		}
		return nil
	case l.Format == "" || l.Format == "table":
		var t Table
		for _, r := range append([]Row{l.header()}, rows...) {
			cells := make([]string, len(l.Columns))
			for i, c := range l.Columns {
				cells[i] = r[c]
			}
			t.Add(cells...)
		}
		return t.Print(w)
	}
	return l.template(w, rows)
}

func (l *List) header() Row { return Row(l.Headers) }

func (l *List) template(w io.Writer, rows []Row) error {
	text, table := strings.CutPrefix(l.Format, "table ")
	t, err := parse(text)
	if err != nil {
		return err
	}
	var out Table
	if table {
		rows = append([]Row{l.header()}, rows...)
	}
	for _, r := range rows {
		var b bytes.Buffer
		if err := t.Execute(&b, r); err != nil {
			return badTemplate(l.Format, err)
		}
		if !table {
			fmt.Fprintln(w, b.String())
			continue
		}
		out.Add(strings.Split(b.String(), "\t")...)
	}
	return out.Print(w)
}

// Value prints one answer with a template, or as JSON if the format is "json".
func Value(w io.Writer, format string, v any) error {
	if format == "json" {
		return printJSON(w, v, "")
	}
	t, err := parse(format)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return badTemplate(format, err)
	}
	fmt.Fprintln(w, b.String())
	return nil
}

// JSON prints v indented, as docker's inspect.
func JSON(w io.Writer, v any) error { return printJSON(w, v, "    ") }

func printJSON(w io.Writer, v any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}

func parse(text string) (*template.Template, error) {
	// A shell passes \t and \n as they are typed.
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	t, err := template.New("").Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, badTemplate(text, err)
	}
	return t, nil
}

func badTemplate(text string, err error) error {
	why := strings.TrimPrefix(err.Error(), "template: ")
	return command.BadUsage("invalid --format %q: %s", text, why)
}

// functions are those that docker adds to the template language.
func functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			var b bytes.Buffer
			err := printJSON(&b, v, "")
			return strings.TrimSpace(b.String()), err
		},
		"split":    strings.Split,
		"join":     join,
		"title":    title,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"pad":      pad,
		"truncate": Truncate,
	}
}

func join(v any, sep string) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, sep)
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = fmt.Sprint(w)
		}
		return strings.Join(words, sep)
	}
	return fmt.Sprint(v)
}

func title(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(string(r)) + s[n:]
}

func pad(s string, before, after int) string {
	if s == "" {
		return s
	}
	return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
}

// Truncate cuts s to n characters.
func Truncate(s string, n int) string {
	if n < 0 || utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

// Ellipsis cuts s to n characters, the last of which tells that it was cut.
func Ellipsis(s string, n int) string {
	if utf8.RuneCountInString(s) <= n || n < 1 {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
