package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth/internal/atomicfile"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// specFile is the spec of a running container in its run directory.
const specFile = "spec.json"

// Save writes a container's spec to its run directory: a later daemon needs it
// to adopt the container and for its execs. A crash leaves all of it or nothing.
func Save(runDir string, s *specs.Spec) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.WriteVolatile(filepath.Join(runDir, specFile), data, 0o600)
}

// Load reads what Save wrote. ErrDataLoss if it is not whole.
func Load(runDir string) (*specs.Spec, error) {
	data, err := os.ReadFile(filepath.Join(runDir, specFile))
	if err != nil {
		return nil, err
	}
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", specFile, err)
	}
	if s.Process == nil || s.Linux == nil {
		return nil, fmt.Errorf("read %s: it is not whole: %w", specFile, errdefs.ErrDataLoss)
	}
	return &s, nil
}

// execDir is the beginning of the name of an exec's directory in its
// container's run directory; its id follows.
const execDir = "exec-"

// MakeExecDir makes the directory of an exec, with what a later daemon needs to
// end its keeper.
func MakeExecDir(runDir, id string, p *specs.Process) (string, error) {
	dir := filepath.Join(runDir, execDir+id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("make run directory: %w", err)
	}
	return dir, Save(dir, &specs.Spec{Process: p, Linux: &specs.Linux{}})
}

// ExecDirs are the directories of a container's execs in its run directory.
func ExecDirs(runDir string) []string {
	dirs, err := filepath.Glob(filepath.Join(runDir, execDir+"*"))
	if err != nil {
		return nil // the pattern is constant
	}
	return dirs
}

// ExecID is the id that an exec's directory is named by.
func ExecID(dir string) string { return strings.TrimPrefix(filepath.Base(dir), execDir) }
