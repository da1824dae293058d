package archtest

import (
	"strings"
	"testing"
	"testing/fstest"
)

// source makes a file of a package with a whole card and then the given code.
func source(level, pkg, code string) string {
	return "// Package " + pkg + " is a test's.\n//\n// Level: " + level +
		".\n// Owns: nothing.\n// May import: nothing.\n// Must not know: anything.\npackage " + pkg + "\n" + code
}

func TestEachRuleCatches(t *testing.T) {
	tests := []struct {
		name, rule string
		files      map[string]string
		want       string // in the only violation; "" for none
	}{
		{"up", "layers", map[string]string{"layer/a.go": source("L1", "layer", `import _ "berth/engine"`)}, "L1 may not import L3"},
		{"down", "layers", map[string]string{"engine/a.go": source("L3", "engine", `import _ "berth/layer"`)}, ""},
		{"sideways", "layers", map[string]string{"layer/a.go": source("L1", "layer", `import _ "berth/content"`)}, "both are L1"},
		{"sideways in a test", "layers", map[string]string{"layer/a_test.go": source("L1", "layer", `import _ "berth/content"`)}, ""},
		{"up in a test", "layers", map[string]string{"layer/a_test.go": source("L1", "layer", `import _ "berth/engine"`)}, "L1 may not import L3"},
		{"a subroom imports its parent", "layers", map[string]string{"network/dns/a.go": source("L2", "dns", `import _ "berth/network"`)}, ""},
		{"internal rooms", "layers", map[string]string{"internal/ids/a.go": source("L0", "ids", `import _ "berth/internal/cleanup"`)}, "rooms of one level"},
		{"internal on linux", "layers", map[string]string{"internal/ids/a.go": source("L0", "ids", `import _ "berth/internal/linux"`)}, ""},
		{"testutil in code", "layers", map[string]string{"layer/a.go": source("L1", "layer", `import _ "berth/internal/testutil"`)}, "only tests"},
		{"CLI past the API", "layers", map[string]string{"cli/a.go": source("L4", "cli", `import _ "berth/engine"`)}, "over its API"},
		{"no room", "layers", map[string]string{"attic/a.go": source("L0", "attic", "")}, "belongs to no room"},
		{"kernel elsewhere", "libraries", map[string]string{"layer/a.go": source("L1", "layer", `import _ "golang.org/x/sys/unix"`)}, "only internal/linux may"},
		{"kernel in a test", "libraries", map[string]string{"layer/a_test.go": source("L1", "layer", `import _ "golang.org/x/sys/unix"`)}, "only internal/linux may"},
		{"kernel at home", "libraries", map[string]string{"internal/linux/a.go": source("L0", "linux", `import _ "golang.org/x/sys/unix"`)}, ""},
		{"unknown library", "libraries", map[string]string{"layer/a.go": source("L1", "layer", `import _ "example.org/x"`)}, "no room is named"},
		{"library of tests", "libraries", map[string]string{"layer/a.go": source("L1", "layer", `import _ "github.com/google/go-cmp/cmp"`)}, "tests only"},
		{"no card", "cards", map[string]string{"layer/a.go": "package layer\n"}, "has no package comment"},
		{"two cards", "cards", map[string]string{"layer/a.go": source("L1", "layer", ""), "layer/b.go": source("L1", "layer", "")}, "second package comment"},
		{"short card", "cards", map[string]string{"layer/a.go": strings.Replace(source("L1", "layer", ""), "// Owns: nothing.\n", "", 1)}, `lacks the line "Owns:"`},
		{"wrong level", "cards", map[string]string{"layer/a.go": source("L2", "layer", "")}, "the layer table L1"},
		{"wrong opening", "cards", map[string]string{"layer/a.go": strings.Replace(source("L1", "layer", ""), "Package layer", "This", 1)}, "does not start with"},
		{"long file", "sizes", map[string]string{"layer/a.go": source("L1", "layer", strings.Repeat("\n", 600))}, "at most 600"},
		{"long function", "sizes", map[string]string{"layer/a.go": source("L1", "layer", "func f() {"+strings.Repeat("\n", 101)+"}")}, "lines in f, at most 100"},
		{"full package", "sizes", files("layer/f%.go", source("L1", "layer", strings.Repeat("\n", 550)), 5), "lines without tests, at most 2500"},
		{"many files", "sizes", files("layer/f%.go", source("L1", "layer", ""), 21), "21 files"},
		{"many imports", "sizes", files("api/docker/f%.go", source("L4", "docker", `import _ "berth/network/n%"`), 16), "16 imports"},
		{"empty name", "names", map[string]string{"layer/utils/a.go": source("L1", "utils", "")}, `"utils" says nothing`},
		{"sleep", "calls", map[string]string{"layer/a.go": source("L1", "layer", "import \"time\"\nfunc f() { time.Sleep(1) }")}, "time.Sleep"},
		{"sleep by another name", "calls", map[string]string{"layer/a.go": source("L1", "layer", "import t \"time\"\nfunc f() { t.Sleep(1) }")}, "time.Sleep"},
		{"sleep in a test", "calls", map[string]string{"layer/a_test.go": source("L1", "layer", "import \"time\"\nfunc f() { time.Sleep(1) }")}, ""},
		{"old error test", "calls", map[string]string{"layer/a.go": source("L1", "layer", "import \"os\"\nvar x = os.IsNotExist(nil)")}, "errors.Is"},
		{"raw syscall", "calls", map[string]string{"layer/a.go": source("L1", "layer", "import \"syscall\"\nvar f = syscall.RawSyscall")}, "internal/linux"},
		{"init", "init", map[string]string{"layer/a.go": source("L1", "layer", "func init() {}")}, "init()"},
		{"a method called init", "init", map[string]string{"layer/a.go": source("L1", "layer", "type t int\nfunc (t) init() {}")}, ""},
		{"blank import", "blank imports", map[string]string{"layer/a.go": source("L1", "layer", `import _ "net/http/pprof"`)}, "side effects"},
		{"embed", "blank imports", map[string]string{"layer/a.go": source("L1", "layer", `import _ "embed"`)}, ""},
		{"open end", "open ends", map[string]string{"layer/a.go": source("L1", "layer", "// TO"+"DO: later")}, "do it"},
	}
	for _, test := range tests {
		t.Run(test.rule+"/"+test.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name, code := range test.files {
				fsys[name] = &fstest.MapFile{Data: []byte(code)}
			}
			tree, err := Load(fsys)
			if err != nil {
				t.Fatal(err)
			}
			var got []Violation
			for _, r := range Rules() {
				if r.Name == test.rule {
					got = r.Check(tree)
				}
			}
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("got %v, want none", got)
			case test.want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), test.want)):
				t.Errorf("got %v, want one with %q", got, test.want)
			}
		})
	}
}

// files makes n files; % in the name and the code stands for a letter each.
func files(name, code string, n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		letter := string(rune('a' + i))
		m[strings.ReplaceAll(name, "%", letter)] = strings.ReplaceAll(code, "%", letter)
	}
	return m
}

func TestLoadLeavesOut(t *testing.T) {
	tree, err := Load(fstest.MapFS{
		"layer/a.go":              {Data: []byte("package layer")},
		"layer/testdata/b.go":     {Data: []byte("package testdata")},
		"image/toolbox/go.mod":    {Data: []byte("module other")},
		"image/toolbox/cmd/a.go":  {Data: []byte("package main")},
		".cache/c.go":             {Data: []byte("package c")},
		"layer/not-go/readme.txt": {Data: []byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) != 1 || tree.Packages[0].Dir != "layer" {
		t.Errorf("got %d packages, want only layer", len(tree.Packages))
	}
}
