package format

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table prints lines of cells in aligned columns, as docker does: three spaces
// between columns, none at the end of a line.
type Table struct{ lines [][]string }

// Add adds a line.
func (t *Table) Add(cells ...string) { t.lines = append(t.lines, cells) }

// Print writes the table.
func (t *Table) Print(w io.Writer) error {
	const gap = 3
	var width []int
	for _, line := range t.lines {
		for i, c := range line {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, line := range t.lines {
		for i, c := range line {
			b.WriteString(c)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+gap))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
