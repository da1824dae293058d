package archtest

import (
	"fmt"
	"go/ast"
	"regexp"
	"strconv"
	"strings"
)

// securityTests finds the tests whose names carry a number of SECURITY.md
// (TestSecurity35TarEscapes), as "package.name" by number. A name may carry
// several: TestSecurity3And4WorkingDirectory.
func securityTests(t *Tree) map[int][]string {
	numbers := regexp.MustCompile(`^Test(?:\w*_)?Security((?:\d+(?:And|to|To|_)?)+)`)
	found := map[int][]string{}
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !f.Test || fn.Recv != nil {
					continue
				}
				m := numbers.FindStringSubmatch(fn.Name.Name)
				if m == nil {
					continue
				}
				for _, n := range expand(m[1]) {
					found[n] = append(found[n], "`"+p.Dir+"` "+fn.Name.Name)
				}
			}
		}
	}
	return found
}

// expand reads "3And4", "3_4" and "3To5".
func expand(s string) []int {
	var all []int
	s = strings.ReplaceAll(s, "to", "To")
	for _, part := range regexp.MustCompile(`And|_`).Split(s, -1) {
		from, to, isRange := strings.Cut(part, "To")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		last := first
		if n, err := strconv.Atoi(to); isRange && err == nil {
			last = n
		}
		for n := first; n <= last; n++ {
			all = append(all, n)
		}
	}
	return all
}

// securityIndex fills the last column of the document's table and returns the
// whole; unknown are the tests whose number no row has.
func securityIndex(t *Tree, doc string) (filled string, unknown []string) {
	tests := securityTests(t)
	row := regexp.MustCompile(`^\| (\d+) \| (.*) \|[^|]*\|$`)
	var out strings.Builder
	for line := range strings.Lines(doc) {
		m := row.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			out.WriteString(line)
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			out.WriteString(line)
			continue
		}
		list := strings.Join(tests[n], "; ")
		if list != "" {
			list += " "
		}
		fmt.Fprintf(&out, "| %d | %s | %s|\n", n, m[2], list)
		delete(tests, n)
	}
	for _, names := range tests {
		unknown = append(unknown, names...)
	}
	return out.String(), unknown
}
