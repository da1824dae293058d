package conformance

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Column is a runtime and its results, one for each program.
type Column struct {
	Runtime Runtime
	Results []*Result
}

// Table prints results side by side: verdict, and the tests that passed, failed
// and were skipped.
func Table(w io.Writer, columns []Column) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := "program"
	for _, c := range columns {
		header += "\t" + c.Runtime.Name
	}
	fmt.Fprintln(tw, header)
	for i, first := range columns[0].Results {
		row := first.Program
		for _, c := range columns {
			row += "\t" + c.Results[i].cell()
		}
		fmt.Fprintln(tw, row)
	}
	row := "programs passed"
	for _, c := range columns {
		passed := 0
		for _, r := range c.Results {
			if r.Passed() {
				passed++
			}
		}
		row += fmt.Sprintf("\t%d of %d", passed, len(c.Results))
	}
	fmt.Fprintln(tw, row)
	return tw.Flush()
}

func (r *Result) cell() string {
	verdict := "pass"
	switch {
	case !r.Passed():
		verdict = "FAIL"
	case r.Note() != "":
		verdict = "pass*"
	}
	return fmt.Sprintf("%s %d/%d/%d", verdict, r.OK, r.NotOK, r.Skip)
}

// Behind prints in what ours is behind any of the peers, and how many such
// places there are.
func Behind(w io.Writer, ours Column, peers []Column) (n int, err error) {
	for i, r := range ours.Results {
		for _, p := range peers {
			for _, what := range r.Behind(p.Results[i]) {
				n++
				if _, err := fmt.Fprintf(w, "%s passes %s, %s does not: %s\n", p.Runtime.Name, r.Program, ours.Runtime.Name, what); err != nil {
					return n, err
				}
			}
		}
	}
	return n, nil
}

// shorten writes a list, which may be long, in one line.
func shorten(list []string) string {
	const shown = 3
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
}

// Explain prints why programs did not pass, and what they left.
func Explain(w io.Writer, c Column) error {
	for _, r := range c.Results {
		var notes []string
		for _, note := range []string{r.Why(), r.Note()} {
			if note != "" {
				notes = append(notes, note)
			}
		}
		if len(r.Leftovers) > 0 {
			notes = append(notes, "left: "+shorten(r.Leftovers))
		}
		if len(notes) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s, %s: %s\n", c.Runtime.Name, r.Program, strings.Join(notes, "; ")); err != nil {
			return err
		}
	}
	return nil
}
