// Package record keeps networks on disk, a file each.
//
// Level: L2, a subroom of network.
// Owns: networks/NAME.json below the data root.
// May import: network/request, internal/atomicfile, containerd/errdefs, moby/moby/api.
// Must not know: what a network is on the host, who is in it.
package record

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

// version is the version of a network's file that this code writes. It
// reads no newer one.
const version = 1

// maxRecord bounds what is read of a record; a request body is bounded lower.
const maxRecord = 16 << 20

// record is what a network's file holds.
type record struct {
	Version int
	Network network.Network
}

// Store keeps records in a directory.
type Store struct{ Root string }

func (s Store) file(name string) string { return filepath.Join(s.Root, name+".json") }

// Save keeps a network, durably.
func (s Store) Save(rec network.Network) error {
	data, err := json.MarshalIndent(record{version, rec}, "", "\t")
	if err != nil {
		return fmt.Errorf("encode network %s: %w", rec.Name, err)
	}
	if err := atomicfile.Write(s.file(rec.Name), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("store network %s: %w", rec.Name, err)
	}
	return nil
}

// Remove forgets one; none is no error.
func (s Store) Remove(name string) error {
	if err := os.Remove(s.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network %s: %w", name, err)
	}
	return atomicfile.SyncDir(s.Root)
}

// Load reads a file of the directory by its name. There is no network in one that a
// crash has left unfinished. Class DataLoss for one that is damaged.
func (s Store) Load(base string) (n network.Network, there bool, err error) {
	name, ok := strings.CutSuffix(base, ".json")
	if !ok {
		return n, false, nil // under a temporary name: nobody was told of it
	}
	f, err := os.Open(filepath.Join(s.Root, base))
	if err != nil {
		return n, false, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return n, false, err
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return n, false, errors.Join(err, errdefs.ErrDataLoss)
	}
	switch {
	case rec.Version != version:
		return n, false, fmt.Errorf("its version is %d; this berthd reads version %d: %w", rec.Version, version, errdefs.ErrFailedPrecondition)
	case rec.Network.Name != name || request.CheckName(name) != nil || len(rec.Network.ID) != 64 || len(rec.Network.IPAM.Config) == 0:
		return n, false, fmt.Errorf("it names network %q: %w", rec.Network.Name, errdefs.ErrDataLoss)
	}
	return rec.Network, true, nil
}
