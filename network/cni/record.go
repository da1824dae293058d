package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth/internal/atomicfile"
	"berth/internal/fault"
	"berth/network/portmap"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
)

// maxRecord bounds what is read of a record: the list's files and 65,535 ports.
const maxRecord = 64 << 20

// attachment is the record of what plugins make for a container.
type attachment struct {
	Container, Network string
	List               list
	Arguments          map[string]any
	Ports              []portmap.Want
	// Result is nil while it is not known whether the plugins are done.
	Result *Result

	ns *os.File // nil: it is gone
}

// runtime are the parameters of the plugins.
func (a *attachment) runtime() *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: a.Container, IfName: ifName, CapabilityArgs: a.Arguments}
	if a.ns != nil {
		rt.NetNS = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), a.ns.Fd())
	}
	return rt
}

const suffix = ".json"

func (n *Networks) file(id string) string { return filepath.Join(n.c.Dir, id+suffix) }

func (n *Networks) save(a *attachment) error {
	data, err := json.Marshal(a)
	if err == nil {
		err = os.MkdirAll(n.c.Dir, 0o700)
	}
	if err == nil {
		err = atomicfile.Write(n.file(a.Container), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("record CNI network %s: %w", a.Network, err)
	}
	return nil
}

// load reads a record; nil if there is none.
func (n *Networks) load(id string) (*attachment, error) {
	data, err := readFile(n.file(id), maxRecord)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // none, which is no error
	}
	if err != nil {
		return nil, err
	}
	var a attachment
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fault.Errorf(errdefs.ErrDataLoss, "read %s: %w", n.file(id), err)
	}
	if a.Container != id || !validName(a.Network) || a.List.Name != a.Network {
		return nil, fault.Errorf(errdefs.ErrDataLoss, "read %s: it is of container %.64q and network %.60q", n.file(id), a.Container, a.Network)
	}
	return &a, nil
}

func (n *Networks) forget(id string) error {
	err := os.Remove(n.file(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// records are the containers of which there is a record.
func (n *Networks) records() (ids []string, err error) {
	entries, err := os.ReadDir(n.c.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && e.Type().IsRegular() && !strings.HasPrefix(id, ".") {
			ids = append(ids, id)
		}
	}
	return ids, err
}
