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
	v1      devicerule.List
	v2      []linux.BPFInstruction
}

// devices compiles the spec's rules for the hierarchies. It is pure. Rules that
// version 1 cannot express go to version 2's program where both are mounted.
func (c *Cgroup) devices(r *specs.LinuxResources) (deviceRules, error) {
	if r == nil || len(r.Devices) == 0 {
		return deviceRules{}, nil
	}
	rules, err := devicerule.Parse(r.Devices)
	if err != nil {
		return deviceRules{}, limit.Invalid(deviceFlag, "", err.Error())
	}
	if c.version("devices") == 1 {
		list, err := devicerule.Emulate(rules)
		if err == nil {
			return deviceRules{version: 1, v1: list}, nil
		}
		if c.unified == "" {
			return deviceRules{}, limit.Unsupported(deviceFlag, err.Error(), "list the devices one by one")
		}
	}
	if c.unified == "" {
		return deviceRules{}, limit.NoController(deviceFlag, "devices")
	}
	return deviceRules{version: 2, v2: devicerule.V2(rules)}, nil
}

// apply gives a new cgroup its rules.
func (d deviceRules) apply(c *Cgroup, tree *linux.ControlTree) error {
	switch d.version {
	case 1:
		return c.writeDevices(tree, d.v1.Fresh())
	case 2:
		if c.unified == "" {
			return nil // an ordinary user's, who cannot make device nodes either
		}
		fresh := len(c.made) > 0 && c.made[len(c.made)-1] == c.unified
		return c.attachDevices(d.v2, !fresh)
	}
	return nil
}

func (c *Cgroup) writeDevices(tree *linux.ControlTree, writes []devicerule.Write) error {
	dir, version := c.dir("devices")
	if version == 0 {
		return nil // an ordinary user's, who cannot make device nodes either
	}
	for _, w := range writes {
		if err := tree.Write(dir+"/"+w.File, w.Lines...); err != nil {
			return limit.Setting{Flag: deviceFlag, File: w.File}.WriteError(err)
		}
	}
	return nil
}

// attachDevices loads the program, with replace in place of an earlier one of ours.
func (c *Cgroup) attachDevices(program []linux.BPFInstruction, replace bool) error {
	dir, err := os.Open(c.unified)
	if err != nil {
		return fmt.Errorf("apply %s: %w", deviceFlag, err)
	}
	defer dir.Close()
	err = linux.AttachDeviceProgram(dir, program, replace)
	if err == nil || errors.Is(err, fs.ErrPermission) && (os.Geteuid() != 0 || linux.InUserNamespace()) {
		return nil // who may not load a program may not make device nodes either, and opens those that his user may
	}
	class := error(errdefs.ErrFailedPrecondition)
	if errors.Is(err, fs.ErrPermission) {
		class = errdefs.ErrPermissionDenied
	}
	return &limit.Error{
		Flag: deviceFlag, Class: class, Err: err, Reason: "the kernel takes no eBPF device program",
		Remedy: "it needs CONFIG_CGROUP_BPF, and root's capabilities",
	}
}

// fromNothing puts before a container's rules that nothing is allowed, as runc does: they are a list of what is.
func fromNothing(list []specs.LinuxDeviceCgroup) []specs.LinuxDeviceCgroup {
	return append([]specs.LinuxDeviceCgroup{{Access: "rwm"}}, list...)
}

// updateDevices changes the rules of a cgroup in use. What is allowed before and
// after is allowed all the while: version 1's list is changed line by line,
// and version 2's program replaced in one step.
func (c *Cgroup) updateDevices(tree *linux.ControlTree, list []specs.LinuxDeviceCgroup) error {
	if len(list) == 0 {
		return nil
	}
	d, err := c.devices(&specs.LinuxResources{Devices: list})
	if err != nil {
		return err
	}
	dir, version := c.dir("devices")
	if version != 1 && c.unified == "" {
		return nil // an ordinary user's
	}
	if version != 1 {
		return c.attachDevices(d.v2, true)
	}
	text, err := tree.Read(dir + "/devices.list")
	if err != nil {
		return fmt.Errorf("update %s: %w", deviceFlag, err)
	}
	now, err := devicerule.Current(text)
	if err != nil {
		return fmt.Errorf("update %s: %w", deviceFlag, err)
	}
	if d.version == 2 { // version 1 cannot say it: the program does, and it allows all
		if err := c.attachDevices(d.v2, true); err != nil {
			return err
		}
		return c.writeDevices(tree, devicerule.Everything().From(now))
	}
	if err := c.writeDevices(tree, d.v1.From(now)); err != nil {
		return err
	}
	return c.dropProgram()
}

// dropProgram takes off a program that an earlier update needed, after version 1 has its rules.
func (c *Cgroup) dropProgram() error {
	if c.unified == "" {
		return nil
	}
	dir, err := os.Open(c.unified)
	if err != nil {
		return fmt.Errorf("update %s: %w", deviceFlag, err)
	}
	defer dir.Close()
	if err := linux.DetachDevicePrograms(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("update %s: %w", deviceFlag, err)
	}
	return nil
}
