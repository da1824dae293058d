package cgroups

import (
	"context"
	"errors"
	"fmt"
	"os"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/systemd"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// unit is a cgroup that systemd makes.
type unit struct {
	systemd.Unit
	properties []systemd.Property
	resources  *specs.LinuxResources
	holder     *systemd.Holder
	started    bool
}

// placeUnit is place for a cgroup that systemd makes.
func (l Layout) placeUnit(ctx context.Context, a Args) (*Cgroup, error) {
	user := os.Geteuid() != 0 || linux.InUserNamespace()
	if user && len(l.V1) > 0 {
		return nil, fmt.Errorf("make a cgroup with the user's systemd: that works with cgroup v2 alone; leave out --systemd-cgroup: %w", errdefs.ErrFailedPrecondition)
	}
	u, err := systemd.Parse(a.Path, a.ID, user)
	if err != nil {
		return nil, err
	}
	manager := ""
	if user {
		conn, err := systemd.Dial(ctx, user)
		if err != nil {
			return nil, err
		}
		manager, err = conn.ControlGroup(ctx)
		if err := errors.Join(err, conn.Close()); err != nil {
			return nil, err
		}
	}
	p, err := u.Path(manager)
	if err != nil {
		return nil, err
	}
	if err := checkPath(p); err != nil {
		return nil, err
	}
	annotated, err := systemd.FromAnnotations(a.Annotations)
	if err != nil {
		return nil, err
	}
	c := l.At(p)
	c.unit = &unit{Unit: u, properties: annotated}
	return c, nil
}

// startUnit has systemd make the cgroup's directories, or those of them that it knows of.
func (c *Cgroup) startUnit(ctx context.Context) (err error) {
	u := c.unit
	conn, err := systemd.Dial(ctx, u.User)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	properties, err := c.unitProperties(ctx, conn, u.resources, true)
	if err != nil {
		return err
	}
	properties = append(append(systemd.Accounting(c.version), properties...), u.properties...)
	if u.holder, err = systemd.Hold(); err != nil {
		return err
	}
	if err := conn.Start(ctx, u.Unit, u.holder.Pid(), properties); err != nil {
		return errors.Join(err, u.holder.Release())
	}
	u.started = true
	return nil
}

// unitProperties says limits in systemd's words.
func (c *Cgroup) unitProperties(ctx context.Context, conn *systemd.Conn, res *specs.LinuxResources, fresh bool) ([]systemd.Property, error) {
	var features systemd.Features
	if systemd.NeedsFeatures(res) {
		version, err := conn.Version(ctx)
		if err != nil {
			return nil, err
		}
		features = systemd.FeaturesOf(version)
	}
	properties, err := systemd.Properties(c.version, features, res, fresh)
	if err != nil || res == nil || len(res.Devices) == 0 {
		return properties, err
	}
	devices, err := c.devices(res)
	if err != nil || devices.version != 1 {
		// Version 2's program is ours alone: systemd leaves the programs of others where they are.
		return properties, err
	}
	groups, err := linux.ReadControl("/proc/devices")
	if err != nil {
		return nil, fmt.Errorf("read the kernel's groups of devices: %w", err)
	}
	return append(properties, systemd.DeviceProperties(devices.v1, groups)...), nil
}

// Entered tells that the container's first process is in the cgroup, and in all
// hierarchies. Systemd's scope needed another one until then. For other cgroups
// it does nothing.
func (c *Cgroup) Entered() error {
	if c.unit == nil {
		return nil
	}
	return c.unit.holder.Release()
}

// stopUnit has systemd end and forget the unit.
func (c *Cgroup) stopUnit(ctx context.Context) error {
	err := c.unit.holder.Release()
	conn, derr := systemd.Dial(ctx, c.unit.User)
	if derr != nil {
		return errors.Join(err, derr)
	}
	return errors.Join(err, conn.Stop(ctx, c.unit.Name), conn.Close())
}

// updateUnit tells systemd what has changed.
func (c *Cgroup) updateUnit(ctx context.Context, res *specs.LinuxResources) (err error) {
	conn, err := systemd.Dial(ctx, c.unit.User)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	properties, err := c.unitProperties(ctx, conn, res, false)
	if err != nil {
		return err
	}
	if c.version("devices") == 1 && len(res.Devices) > 0 {
		// Systemd denies all devices before it allows some: nobody should run into that.
		if frozen, ferr := c.Paused(); ferr == nil && !frozen && c.Pause(ctx) == nil {
			defer func() { err = errors.Join(err, c.Resume(context.WithoutCancel(ctx))) }()
		}
	}
	return conn.Set(ctx, c.unit.Name, properties)
}

// UnitRecord is the part of a Record about a cgroup that systemd made.
type UnitRecord struct {
	Slice string `json:"slice"`
	Name  string `json:"name"`
	User  bool   `json:"user,omitempty"`
}
