package archtest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// root is the repository's root seen from this package.
const root = "../.."

func TestRepository(t *testing.T) {
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) < 5 {
		t.Fatalf("only %d packages found: wrong root?", len(tree.Packages))
	}
	for _, r := range Rules() {
		t.Run(r.Name, func(t *testing.T) {
			for _, v := range r.Check(tree) {
				t.Error(v)
			}
		})
	}
}

// TestImportBudget keeps what is slow to start out of the programs that start
// often (DEPENDENCIES.md): directly or through others.
func TestImportBudget(t *testing.T) {
	heavy := []string{
		"google.golang.org/protobuf/", "google.golang.org/grpc", "go.opentelemetry.io/",
		"github.com/distribution/reference", "github.com/containerd/containerd/", "berth/engine",
	}
	for cmd, also := range map[string][]string{
		"cmd/berth":     {"github.com/opencontainers/go-digest"},
		"cmd/berth-oci": {"github.com/opencontainers/go-digest", "net/http"},
	} {
		t.Run(cmd, func(t *testing.T) {
			if _, err := os.Stat(root + "/" + cmd); err != nil {
				t.Skip("not built yet")
			}
			list := exec.Command("go", "list", "-deps", "./"+cmd)
			list.Dir = root
			out, err := list.Output()
			if err != nil {
				t.Fatalf("go list -deps ./%s: %v", cmd, err)
			}
			for dep := range bytes.Lines(out) {
				dep := strings.TrimSpace(string(dep))
				for _, h := range append(heavy, also...) {
					if strings.HasPrefix(dep, h) {
						t.Errorf("%s comes to import %s: it costs every start", cmd, dep)
					}
				}
			}
		})
	}
}
