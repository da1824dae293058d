package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/devicerule"

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

// devices compiles the spec's rules for the layout. It is pure.
func (l Layout) devices(r *specs.LinuxResources) (deviceRules, error) {
	if r == nil || len(r.Devices) == 0 {
		return deviceRules{}, nil
	}
	rules, err := devicerule.Parse(r.Devices)
	if err != nil {
		return deviceRules{}, invalid(deviceFlag, "", err.Error())
	}
	if _, v := l.find("devices"); v == 1 {
		writes, err := devicerule.V1(rules)
		if err != nil {
			return deviceRules{}, unsupported(deviceFlag, err.Error(), "list the devices one by one")
		}
		return deviceRules{version: 1, v1: writes}, nil
	}
	if l.Unified == "" {
		return deviceRules{}, noController(deviceFlag, "devices")
	}
	return deviceRules{version: 2, v2: devicerule.V2(rules)}, nil
}

func (d deviceRules) apply(c *Cgroup) error {
	switch d.version {
	case 1:
		dir, _ := c.dir("devices")
		for _, w := range d.v1 {
			if err := linux.WriteControl(dir+"/"+w.File, w.Lines...); err != nil {
				return setting{flag: deviceFlag, file: w.File}.writeError(err)
			}
		}
	case 2:
		dir, err := os.Open(c.layout.Unified + c.path)
		if err != nil {
			return fmt.Errorf("apply %s: %w", deviceFlag, err)
		}
		defer dir.Close()
		if err := linux.AttachDeviceProgram(dir, d.v2); err != nil {
			class := error(errdefs.ErrFailedPrecondition)
			if errors.Is(err, fs.ErrPermission) {
				class = errdefs.ErrPermissionDenied
			}
			return &LimitError{
				Flag: deviceFlag, Class: class, Err: err, Reason: "the kernel takes no eBPF device program",
				Remedy: "it needs CONFIG_CGROUP_BPF, and root's capabilities",
			}
		}
	}
	return nil
}
