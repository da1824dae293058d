// Package facts gathers what a plan depends on besides the spec: kinds of files
// on the host, the cgroup's doors, namespaces that exist already, what the root
// file system holds.
//
// Level: R.
// Owns: the look at the host before a plan is made.
// May import: ociruntime/plan, ociruntime/cgroups, internal/copytree, internal/linux.
// Must not know: how a program is started, the state on disk.
package facts

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"berth/ociruntime/cgroups"
	"berth/ociruntime/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Sources finds which sources of the spec's binds are no directories. One that
// is missing is an error.
func Sources(s *specs.Spec) (notDir map[string]bool, err error) {
	notDir = map[string]bool{}
	for _, m := range s.Mounts {
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			continue
		}
		switch st, err := os.Stat(m.Source); {
		case err != nil:
			return nil, fmt.Errorf("bind %s at %s: %w", m.Source, m.Destination, err)
		case !st.IsDir():
			notDir[m.Source] = true
		}
	}
	return notDir, nil
}

// DescribeJoins tells a plan the cgroup's directories and the doors that its
// process passes: cg.Joins(), or cg.ExecJoins of an exec.
func DescribeJoins(cg *cgroups.Cgroup, joins []cgroups.Join, in *plan.Input) {
	for _, j := range joins {
		in.Joins = append(in.Joins, j.Name)
		in.IntoCgroup = in.IntoCgroup || j.Clone
	}
	for _, d := range cg.Dirs() {
		dir := plan.CgroupDir{Name: d.Name, Path: d.Path}
		if d.Name == "" { // the unified tree
			dir.Root = strings.TrimSuffix(d.Path, cg.Path())
		}
		in.CgroupDirs = append(in.CgroupDirs, dir)
	}
}

// OpenNamespaces opens the spec's namespaces that exist already, in plan's order.
func OpenNamespaces(s *specs.Spec) ([]*os.File, error) {
	joined := plan.Joined(s)
	return openAll(len(joined), func(i int) (*os.File, error) {
		f, err := os.Open(joined[i].Path)
		if err != nil {
			return nil, fmt.Errorf("join the %s namespace: %w", joined[i].Type, err)
		}
		return f, nil
	})
}

// openAll opens n files, or none.
func openAll(n int, open func(i int) (*os.File, error)) ([]*os.File, error) {
	files := make([]*os.File, 0, n)
	for i := range n {
		f, err := open(i)
		if err != nil {
			for _, f := range files {
				_ = f.Close() // nothing was written
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
