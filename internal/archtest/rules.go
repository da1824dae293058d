package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// Rule is one check of the whole tree.
type Rule struct {
	Name  string
	Check func(*Tree) []Violation
}

// Rules are all of them.
func Rules() []Rule {
	return []Rule{
		{"layers", layers},
		{"libraries", libraryRooms},
		{"cards", cards},
		{"sizes", sizes},
		{"names", names},
		{"calls", calls},
		{"init", noInit},
		{"blank imports", blankImports},
		{"open ends", openEnds},
	}
}

// inRepo cuts the module's path off an import.
func inRepo(imp string) (dir string, ok bool) { return strings.CutPrefix(imp, module+"/") }

// layers checks that imports point down. A test may look sideways, never up.
func layers(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		from, ok := roomOf(p.Dir)
		if !ok {
			bad = append(bad, Violation{p.Dir, "belongs to no room: add it to the layer table or move it"})
			continue
		}
		for _, f := range p.Files {
			for _, imp := range f.Imports {
				dir, ok := inRepo(imp)
				if !ok {
					continue
				}
				if why := wrongWay(p.Dir, from, dir, f.Test); why != "" {
					bad = append(bad, Violation{f.Path, fmt.Sprintf("imports %s: %s", imp, why)})
				}
			}
		}
	}
	return bad
}

// wrongWay says what is wrong with an import, "" if nothing is.
func wrongWay(fromDir string, from room, toDir string, test bool) string {
	to, ok := roomOf(toDir)
	if !ok {
		return "that is no room"
	}
	if under(toDir, "internal/testutil") && !test && !under(fromDir, "internal/testutil") && !under(fromDir, "test") {
		return "only tests import testutil"
	}
	if test && (from.level >= to.level || under(toDir, "internal")) {
		return ""
	}
	for _, b := range bans() {
		if under(fromDir, b.from) && under(toDir, b.to) {
			return b.why
		}
	}
	switch {
	case from.dir == to.dir && from.name != "L0":
		return "" // within a room
	case from.name == "L0" && to.name == "L0":
		// internal/linux knows nobody; the others may build on it.
		if under(toDir, "internal/linux") && !under(fromDir, "internal/linux") || sameInternal(fromDir, toDir) {
			return ""
		}
		return "rooms of one level do not import each other"
	case from.level > to.level:
		return ""
	case from.level == to.level:
		return fmt.Sprintf("both are %s: rooms of one level do not import each other", from.name)
	}
	return fmt.Sprintf("%s may not import %s: imports point down", from.name, to.name)
}

// sameInternal says whether both are in one directory of internal.
func sameInternal(a, b string) bool {
	first := func(s string) string {
		rest := strings.TrimPrefix(s, "internal/")
		name, _, _ := strings.Cut(rest, "/")
		return name
	}
	return first(a) == first(b)
}

// libraryRooms checks who imports modules from elsewhere.
func libraryRooms(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, imp := range f.Imports {
				first, _, _ := strings.Cut(imp, "/")
				if !strings.Contains(first, ".") {
					continue // the standard library or this module
				}
				if why := wrongLibrary(p.Dir, imp, f.Test); why != "" {
					bad = append(bad, Violation{f.Path, fmt.Sprintf("imports %s: %s", imp, why)})
				}
			}
		}
	}
	return bad
}

func wrongLibrary(dir, imp string, test bool) string {
	var l library
	for _, candidate := range libraries() {
		if under(imp, candidate.path) && len(candidate.path) > len(l.path) {
			l = candidate
		}
	}
	switch {
	case l.path == "":
		return "no room is named for it: add it to the library table, with the reason"
	case test && l.tests, listed(dir, l.rooms):
		return ""
	case l.rooms == "":
		return l.why
	}
	return fmt.Sprintf("only %s may: %s", strings.ReplaceAll(l.rooms, " ", ", "), l.why)
}

// cards checks that each package has one doc comment that opens with its card.
func cards(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		var docs []*File
		code := false
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			code = true
			if f.AST.Doc != nil && strings.TrimSpace(f.AST.Doc.Text()) != "" {
				docs = append(docs, f)
			}
		}
		switch {
		case !code: // tests only
		case len(docs) == 0:
			bad = append(bad, Violation{p.Dir, "has no package comment: write its card (see internal/linux/doc.go)"})
		case len(docs) > 1:
			bad = append(bad, Violation{docs[1].Path, "is the second package comment: one file has it, " + docs[0].Path})
		default:
			bad = append(bad, card(p.Dir, docs[0])...)
		}
	}
	return bad
}

func card(dir string, f *File) []Violation {
	text := f.AST.Doc.Text()
	var bad []Violation
	want := "Package " + f.AST.Name.Name + " "
	if f.AST.Name.Name == "main" {
		want = "Command "
	}
	if !strings.HasPrefix(text, want) {
		bad = append(bad, Violation{f.Path, fmt.Sprintf("the package comment does not start with %q and the purpose", want)})
	}
	for _, line := range []string{"Level:", "Owns:", "May import:", "Must not know:"} {
		if !strings.Contains(text, "\n"+line+" ") {
			bad = append(bad, Violation{f.Path, fmt.Sprintf("the card lacks the line %q", line)})
		}
	}
	r, ok := roomOf(dir)
	_, level, found := strings.Cut(text, "\nLevel: ")
	if ok && found && !strings.HasPrefix(level, r.name) {
		line, _, _ := strings.Cut(level, "\n")
		bad = append(bad, Violation{f.Path, fmt.Sprintf("the card says level %q, the layer table %s", line, r.name)})
	}
	return bad
}

// sizes checks the budgets.
func sizes(t *Tree) []Violation {
	var bad []Violation
	over := func(where, what string, n, limit int) {
		if n > limit {
			bad = append(bad, Violation{where, fmt.Sprintf("%d %s, at most %d: split it by concern", n, what, limit)})
		}
	}
	for _, p := range t.Packages {
		lines, files := 0, 0
		imports := map[string]bool{}
		for _, f := range p.Files {
			over(f.Path, "lines", f.Lines, maxFileLines)
			if f.Test {
				continue
			}
			lines += f.Lines
			files++
			for _, imp := range f.Imports {
				if dir, ok := inRepo(imp); ok {
					imports[dir] = true
				}
			}
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || longFunctions()[f.Path+" "+fn.Name.Name] != "" {
					continue
				}
				n := t.Fset.Position(fn.End()).Line - t.Fset.Position(fn.Pos()).Line + 1
				over(t.at(fn), "lines in "+fn.Name.Name, n, maxFuncLines)
			}
		}
		over(p.Dir, "lines without tests", lines, maxPackageLines)
		over(p.Dir, "files without tests", files, maxPackageFiles)
		if !manyImports(p.Dir) {
			over(p.Dir, "imports of this repository", len(imports), maxInRepoImports)
		}
	}
	return bad
}

// names checks that a package's name says something.
func names(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		for _, part := range append(strings.Split(p.Dir, "/"), p.Files[0].AST.Name.Name) {
			if slices.Contains(forbiddenNames(), part) {
				bad = append(bad, Violation{p.Dir, fmt.Sprintf("%q says nothing: name the package for what it is about", part)})
				break
			}
		}
	}
	return bad
}

// calls checks forbidden functions, by their package's import path, whatever
// the file calls it.
func calls(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			local := localNames(f)
			ast.Inspect(f.AST, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				if !ok {
					return true
				}
				for _, c := range forbiddenCalls() {
					if local[x.Name] == c.pkg && sel.Sel.Name == c.name && (!f.Test || c.tests) && !listed(p.Dir, c.except) {
						bad = append(bad, Violation{t.at(n), fmt.Sprintf("%s.%s: %s", c.pkg, c.name, c.instead)})
					}
				}
				return true
			})
		}
	}
	return bad
}

// localNames maps what a file calls a package to its import path.
func localNames(f *File) map[string]string {
	m := map[string]string{}
	for i, spec := range f.AST.Imports {
		imp := f.Imports[i]
		name := imp[strings.LastIndexByte(imp, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		m[name] = imp
	}
	return m
}

// noInit checks that nothing runs before main.
func noInit(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					bad = append(bad, Violation{t.at(fn), "init(): wire it by a plain call from cmd"})
				}
			}
		}
	}
	return bad
}

// blankImports checks that nobody imports for a side effect.
func blankImports(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for i, spec := range f.AST.Imports {
				if spec.Name != nil && (spec.Name.Name == "_" && f.Imports[i] != "embed" || spec.Name.Name == ".") {
					bad = append(bad, Violation{t.at(spec), "imports " + f.Imports[i] + " for its side effects or all its names"})
				}
			}
		}
	}
	return bad
}

// openEnds checks that comments promise no work to come.
func openEnds(t *Tree) []Violation {
	var bad []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, group := range f.AST.Comments {
				for _, c := range group.List {
					for _, mark := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"} {
						if slices.Contains(strings.FieldsFunc(c.Text, notLetter), mark) {
							bad = append(bad, Violation{t.at(c), mark + ": do it, or open an issue and name its number elsewhere"})
						}
					}
				}
			}
		}
	}
	return bad
}

func notLetter(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }
