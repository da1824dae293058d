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

// Parse checks the content of a config.json. Paths in it stay as they are.
func Parse(config []byte) (*specs.Spec, error) {
	var s specs.Spec
	if err := json.Unmarshal(config, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// RootPath is where a spec's root is: relative to the bundle if it is not absolute.
func RootPath(s *specs.Spec, bundle string) string {
	if s.Root == nil || filepath.IsAbs(s.Root.Path) {
		if s.Root == nil {
			return ""
		}
		return s.Root.Path
	}
	return filepath.Join(bundle, s.Root.Path)
}
