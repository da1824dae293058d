package conformance

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Runtime is one that the suite is run with.
type Runtime struct {
	Name string // "runc 1.1.5"
	Path string
	// OCIVersion, if set, is written over the version that the suite's
	// configurations name, for a runtime that knows only older ones.
	OCIVersion string
}

const runcModule = "github.com/opencontainers/runc"

// Peers are the runtimes to compare with: those that are installed, and the
// newest runc.
func Peers(ctx context.Context, cache string) ([]Runtime, error) {
	var all []Runtime
	for _, name := range []string{"crun", "runc"} {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w: apt-get install %s", name, err, name)
		}
		version, err := runtimeVersion(ctx, path)
		if err != nil {
			return nil, err
		}
		all = append(all, Runtime{Name: name + " " + version, Path: path})
		if name == "crun" {
			// Debian 12's takes no configuration of a version above 1.0. What it
			// can do is to be seen all the same.
			all = append(all, Runtime{Name: name + " as 1.0", Path: path, OCIVersion: "1.0.2"})
		}
	}
	newest, err := newestRunc(ctx, cache)
	if err != nil {
		return nil, fmt.Errorf("build the newest runc: %w", err)
	}
	return append(all, newest), nil
}

var versionNumber = regexp.MustCompile(`version (\d[^\s+]*)`)

func runtimeVersion(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	match := versionNumber.FindSubmatch(out)
	if match == nil {
		return "", fmt.Errorf("ask %s for its version: cannot read %q", path, out)
	}
	return string(match[1]), nil
}

// newestRunc builds the newest release, with seccomp, as its makefile does.
func newestRunc(ctx context.Context, cache string) (Runtime, error) {
	if err := exec.CommandContext(ctx, "pkg-config", "--exists", "libseccomp").Run(); err != nil {
		return Runtime{}, errors.New("it needs pkg-config and libseccomp: apt-get install pkg-config libseccomp-dev gcc")
	}
	mod, err := newModule(ctx, runcModule+"@latest", "CGO_ENABLED=1")
	if err != nil {
		return Runtime{}, err
	}
	defer mod.remove()
	version, err := mod.run(ctx, "list", "-m", "-f", "{{.Version}}", runcModule)
	if err != nil {
		return Runtime{}, err
	}
	dir, err := cached(cache, "runc-"+version, func(dir string) error {
		_, err := mod.run(ctx, "build", "-trimpath", "-tags", "seccomp", "-ldflags", "-s -w", "-o", filepath.Join(dir, "runc"), runcModule)
		return err
	})
	return Runtime{Name: "runc " + strings.TrimPrefix(version, "v"), Path: filepath.Join(dir, "runc")}, err
}
