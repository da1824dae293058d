package archtest

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "rewrite docs/SECURITY-TESTS.md")

const securityDoc = root + "/docs/SECURITY-TESTS.md"

func TestSecurityDocumentIsTrue(t *testing.T) {
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(securityDoc)
	if err != nil {
		t.Fatal(err)
	}
	filled, unknown := securityIndex(tree, string(doc))
	for _, name := range unknown {
		t.Errorf("%s carries a number that the document does not list", name)
	}
	if filled == string(doc) {
		return
	}
	if !*update {
		t.Fatal("docs/SECURITY-TESTS.md does not list the tests that exist: run make docs")
	}
	if err := os.WriteFile(securityDoc, []byte(filled), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSecurityIndex(t *testing.T) {
	tree, err := Load(fstest.MapFS{"layer/a_test.go": {Data: []byte(`package layer
func TestSecurity35TarEscapes() {}
func TestSecurity3And4Cwd() {}
func TestSecurity9To11Links() {}
func TestSecurity99Unknown() {}
func TestOther() {}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	filled, unknown := securityIndex(tree, "head\n| 4 | exec | |\n| 10 | race | old |\n| 35 | tar | |\n| 36 | gap | gone |\n")
	want := "head\n| 4 | exec | `layer` TestSecurity3And4Cwd |\n| 10 | race | `layer` TestSecurity9To11Links |\n" +
		"| 35 | tar | `layer` TestSecurity35TarEscapes |\n| 36 | gap | |\n"
	if filled != want {
		t.Errorf("got\n%s\nwant\n%s", filled, want)
	}
	slices.Sort(unknown)
	if len(unknown) != 4 || !strings.Contains(strings.Join(unknown, " "), "TestSecurity99Unknown") {
		t.Errorf("unknown = %v, want 3, 9, 11 and 99", unknown)
	}
}
