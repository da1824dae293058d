// Package archtest checks that the repository keeps to its own plan: who may
// import whom, how large things may grow, what no code does.
//
// Level: L0, used by its own tests only.
// Owns: the layer table, the library table, the size budgets.
// May import: the standard library.
// Must not know: what any room does.
//
// A rule is a pure function from the parsed [Tree] to violations. Each has a
// test that shows it catching one. An exception is a line in a table, with its
// reason.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// module is the module path that in-repo imports start with.
const module = "berth"

// File is one parsed Go file.
type File struct {
	Path    string // from the repository's root, with slashes
	Test    bool   // a _test.go file
	Lines   int
	AST     *ast.File
	Imports []string
}

// Package is a directory of Go files.
type Package struct {
	Dir   string // from the repository's root; "." for the root
	Files []*File
}

// Tree is the whole repository, without nested modules and testdata.
type Tree struct {
	Fset     *token.FileSet
	Packages []*Package // sorted by Dir
}

// Violation is one place that breaks a rule.
type Violation struct {
	Where string // file or package, with a line where it helps
	What  string // the rule, and what to do
}

// String returns "where: what".
func (v Violation) String() string { return v.Where + ": " + v.What }

// Load parses every Go file below the root of fsys. A nested module (go.mod
// below the root), testdata and hidden directories are left out.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet()}
	byDir := map[string]*Package{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(fsys, p)
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := t.parse(fsys, p)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		if byDir[dir] == nil {
			byDir[dir] = &Package{Dir: dir}
			t.Packages = append(t.Packages, byDir[dir])
		}
		byDir[dir].Files = append(byDir[dir].Files, f)
		return nil
	})
	sort.Slice(t.Packages, func(i, j int) bool { return t.Packages[i].Dir < t.Packages[j].Dir })
	return t, err
}

func skipDir(fsys fs.FS, p string) error {
	if p == "." {
		return nil
	}
	base := path.Base(p)
	if strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, p+"/go.mod"); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) parse(fsys fs.FS, p string) (*File, error) {
	b, err := fs.ReadFile(fsys, p)
	if err != nil {
		return nil, err
	}
	a, err := parser.ParseFile(t.Fset, p, b, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", p, err)
	}
	f := &File{Path: p, Test: strings.HasSuffix(p, "_test.go"), Lines: t.Fset.File(a.Pos()).LineCount(), AST: a}
	for _, i := range a.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("parse %s: import %s: %w", p, i.Path.Value, err)
		}
		f.Imports = append(f.Imports, name)
	}
	return f, nil
}

// at is the place of n: "file:line".
func (t *Tree) at(n ast.Node) string {
	p := t.Fset.Position(n.Pos())
	return p.Filename + ":" + strconv.Itoa(p.Line)
}

// under says whether dir is room or below it.
func under(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }
