package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"berth/internal/atomicfile"
	"berth/network/request"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// recordVersion is the version of a network's file that this code writes. It
// reads no newer one.
const recordVersion = 1

// maxRecord bounds what is read of a record; a request body is bounded lower.
const maxRecord = 16 << 20

// record is what a network's file holds.
type record struct {
	Version int
	Network network.Network
}

func (n *Networks) file(name string) string { return filepath.Join(n.Root, name+".json") }

func (n *Networks) save(rec network.Network) error {
	data, err := json.MarshalIndent(record{recordVersion, rec}, "", "\t")
	if err != nil {
		return fmt.Errorf("encode network %s: %w", rec.Name, err)
	}
	if err := atomicfile.Write(n.file(rec.Name), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("store network %s: %w", rec.Name, err)
	}
	return nil
}

func (n *Networks) unlink(name string) error {
	if err := os.Remove(n.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network %s: %w", name, err)
	}
	return atomicfile.SyncDir(n.Root)
}

// load reads a network's file; nil for a file that a crash has left unfinished.
func (n *Networks) load(base string) (*state, error) {
	name, ok := strings.CutSuffix(base, ".json")
	if !ok {
		return nil, nil //nolint:nilnil // under a temporary name: nobody was told of it
	}
	f, err := os.Open(filepath.Join(n.Root, base))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return nil, err
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return nil, errors.Join(err, errdefs.ErrDataLoss)
	}
	switch {
	case rec.Version != recordVersion:
		return nil, fmt.Errorf("its version is %d; this berthd reads version %d: %w", rec.Version, recordVersion, errdefs.ErrFailedPrecondition)
	case rec.Network.Name != name || request.CheckName(name) != nil || len(rec.Network.ID) != 64 || len(rec.Network.IPAM.Config) == 0:
		return nil, fmt.Errorf("it names network %q: %w", rec.Network.Name, errdefs.ErrDataLoss)
	}
	return newState(rec.Network)
}
