// Package bundle reads OCI bundles: config.json, and the process documents of exec.
//
// Level: R.
// Owns: what of these documents is accepted.
// May import: errdefs.
// Must not know: how a container is made.
package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Load reads and checks DIR/config.json. Root.Path comes back absolute.
func Load(dir string) (*specs.Spec, error) {
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	var s specs.Spec
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read config.json of %s: %w", dir, err)
	}
	if s.Root != nil && !filepath.IsAbs(s.Root.Path) {
		s.Root.Path = filepath.Join(dir, s.Root.Path)
	}
	return &s, nil
}
