package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"

	"berth/container"
	"berth/spec"

	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// anonymousVolume names the volume that a container has at target without the
// user naming one. The name follows from both, so it need not be stored.
func anonymousVolume(id, target string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + target))
	return hex.EncodeToString(sum[:])
}

// removeAnonymous deletes a container's anonymous volumes.
func (e *Engine) removeAnonymous(rec *container.Record) error {
	mounts, err := spec.Mounts(*rec.Config, rec.HostConfig)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.Type == mount.TypeVolume && m.Name == "" {
			if err := e.volumes.Remove(anonymousVolume(rec.ID, m.Target)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountPoints lists a container's mounts for inspect and ps.
func (e *Engine) mountPoints(rec *container.Record) []mcontainer.MountPoint {
	points := []mcontainer.MountPoint{}
	mounts, err := spec.Mounts(*rec.Config, rec.HostConfig)
	if err != nil { // checked when it was created
		return points
	}
	for _, m := range mounts {
		p := mcontainer.MountPoint{Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly, Propagation: m.Propagation}
		if m.Type == mount.TypeVolume {
			if p.Name = m.Name; p.Name == "" {
				p.Name = anonymousVolume(rec.ID, m.Target)
			}
			p.Driver, p.Source = "local", filepath.Join(e.Root, "volumes", p.Name, "data")
		}
		points = append(points, p)
	}
	return points
}
