package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/devicerule"
	"berth/ociruntime/cgroups/limit"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// deviceFlag is what users call device rules.
const deviceFlag = "--device or --device-cgroup-rule"

// deviceRules is how the spec's rules reach the kernel; empty means no rules.
type deviceRules struct {
	version int
	v1      []devicerule.Write
	v2      []linux.BPFInstruction
}

// devices compiles the spec's rules for the hierarchies. It is pure.
func (c *Cgroup) devices(r *specs.LinuxResources) (deviceRules, error) {
	if r == nil || len(r.Devices) == 0 {
		return deviceRules{}, nil
	}
	rules, err := devicerule.Parse(r.Devices)
	if err != nil {
		return deviceRules{}, limit.Invalid(deviceFlag, "", err.Error())
	}
	if c.version("devices") == 1 {
		writes, err := devicerule.V1(rules)
		if err != nil {
			return deviceRules{}, limit.Unsupported(deviceFlag, err.Error(), "list the devices one by one")
		}
		return deviceRules{version: 1, v1: writes}, nil
	}
	if c.unified == "" {
		return deviceRules{}, limit.NoController(deviceFlag, "devices")
	}
	return deviceRules{version: 2, v2: devicerule.V2(rules)}, nil
}

func (d deviceRules) apply(c *Cgroup, tree *linux.ControlTree) error {
	switch d.version {
	case 1:
		dir, version := c.dir("devices")
		if version == 0 {
			return nil // an ordinary user's, who cannot make device nodes either
		}
		for _, w := range d.v1 {
			if err := tree.Write(dir+"/"+w.File, w.Lines...); err != nil {
				return limit.Setting{Flag: deviceFlag, File: w.File}.WriteError(err)
			}
		}
	case 2:
		if c.unified == "" {
			return nil
		}
		dir, err := os.Open(c.unified)
		if err != nil {
			return fmt.Errorf("apply %s: %w", deviceFlag, err)
		}
		defer dir.Close()
		if err := linux.AttachDeviceProgram(dir, d.v2); err != nil {
			class := error(errdefs.ErrFailedPrecondition)
			if errors.Is(err, fs.ErrPermission) {
				class = errdefs.ErrPermissionDenied
			}
			return &limit.Error{
				Flag: deviceFlag, Class: class, Err: err, Reason: "the kernel takes no eBPF device program",
				Remedy: "it needs CONFIG_CGROUP_BPF, and root's capabilities",
			}
		}
	}
	return nil
}
