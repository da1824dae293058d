package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"berth/internal/fault"
	"berth/internal/jsonscan"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxDocument bounds a document in bytes; engines write some ten kB.
const maxDocument = 10 << 20

// Bundle is a config.json that was read and found right.
type Bundle struct {
	// Dir is the bundle's directory, absolute.
	Dir string
	// Spec is what config.json says; Root.Path, the mounts' destinations and the
	// sources of binds are absolute, unknown capabilities are left out.
	Spec *specs.Spec
	// Config is config.json as it is, for [Parse] to read again later.
	Config []byte
	// Warnings are what was passed over, a line each.
	Warnings []string
}

// Load reads and checks DIR/config.json. An error of what it says is
// errdefs.ErrInvalidArgument.
func Load(dir string) (*Bundle, error) { return LoadKnowing(dir, nil) }

// LoadKnowing is Load, but does not read a linux.seccomp for which known returns
// true: then Spec says nothing of it.
func LoadKnowing(dir string, known func(profile []byte) bool) (*Bundle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the bundle: %w", err)
	}
	f, err := os.Open(dir + "/config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "bundle %s has no config.json: give the directory that has one with --bundle, or make one with berth-oci spec", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	defer f.Close()
	config, err := readBounded(f)
	if err != nil {
		return nil, fmt.Errorf("read config.json of %s: %w", dir, err)
	}
	b, err := ParseKnowing(config, dir, known)
	if err != nil {
		return nil, err
	}
	root, err := os.Stat(b.Spec.Root.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "config.json of %s: root.path: there is no %s: unpack the root file system there", dir, b.Spec.Root.Path)
	case err != nil:
		return nil, fmt.Errorf("config.json of %s: root.path: %w", dir, err)
	case !root.IsDir():
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "config.json of %s: root.path: %s is no directory", dir, b.Spec.Root.Path)
	}
	if err := checkNetwork(b.Spec); err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "config.json of %s: %w", dir, err)
	}
	return b, nil
}

// Parse is Load for a config.json that is at hand and belongs to the absolute
// directory dir. It looks at no file.
func Parse(config []byte, dir string) (*Bundle, error) { return ParseKnowing(config, dir, nil) }

// ParseKnowing is to Parse what LoadKnowing is to Load.
func ParseKnowing(config []byte, dir string, known func(profile []byte) bool) (*Bundle, error) {
	var s specs.Spec
	r := jsonscan.New(withoutProfile(config, known))
	if readSpec(r, &s); r.End() != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "config.json of %s: %w", dir, r.End())
	}
	c := checker{}
	if err := c.spec(&s); err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "config.json of %s: %w", dir, err)
	}
	if !filepath.IsAbs(s.Root.Path) {
		s.Root.Path = filepath.Join(dir, s.Root.Path)
	}
	for i := range s.Mounts {
		if m := &s.Mounts[i]; isBind(m) && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(dir, m.Source)
		}
	}
	return &Bundle{Dir: dir, Spec: &s, Config: config, Warnings: c.warnings}, nil
}

// LoadProcess reads and checks a process document. Unknown capabilities are
// left out, with a warning each.
func LoadProcess(path string) (p *specs.Process, warnings []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the process document: %w", err)
	}
	defer f.Close()
	data, err := readBounded(f)
	if err != nil {
		return nil, nil, fmt.Errorf("read the process document %s: %w", path, err)
	}
	if p, warnings, err = parseProcess(data); err != nil {
		return nil, nil, fault.Errorf(errdefs.ErrInvalidArgument, "process document %s: %w", path, err)
	}
	return p, warnings, nil
}

func parseProcess(data []byte) (p *specs.Process, warnings []string, err error) {
	p = &specs.Process{}
	r := jsonscan.New(data)
	if readProcess(r, p); r.End() != nil {
		return nil, nil, r.End()
	}
	warnings, err = CheckProcess(p)
	return p, warnings, err
}

// CheckProcess checks a process as the one of a config.json and leaves out its
// unknown capabilities, with a warning each.
func CheckProcess(p *specs.Process) (warnings []string, err error) {
	c := checker{}
	if err := c.process(p); err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "%w", err)
	}
	return c.warnings, nil
}

// ReadResources reads a document of limits, for a change of a container's.
func ReadResources(from io.Reader) (*specs.LinuxResources, error) {
	data, err := readBounded(from)
	if err != nil {
		return nil, fmt.Errorf("read the resources: %w", err)
	}
	var l specs.LinuxResources
	r := jsonscan.New(data)
	if readResources(r, &l); r.End() != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "read the resources: %w", r.End())
	}
	return &l, nil
}

// readBounded reads all, in one piece if its size is known.
func readBounded(from io.Reader) ([]byte, error) {
	size := 512
	if f, ok := from.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = int(min(info.Size(), maxDocument)) + 1 // one more, to see the end
		}
	}
	data := make([]byte, 0, size)
	for {
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > maxDocument:
			return nil, fault.Errorf(errdefs.ErrInvalidArgument, "it is larger than %d MiB", maxDocument>>20)
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}
