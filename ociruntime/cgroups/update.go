package cgroups

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits of a running cgroup; what res leaves out stays as
// it is. If one cannot be applied the others get back the values they had, and
// the error is a *LimitError. Device rules cannot be changed this way.
func (c *Cgroup) Update(ctx context.Context, res *specs.LinuxResources) error {
	if res == nil {
		return nil
	}
	if len(res.Devices) > 0 {
		return unsupported(deviceFlag, "device rules of a running container cannot be changed", "make a new container")
	}
	if _, err := c.layout.open(c.path); err != nil {
		return fmt.Errorf("update limits: %w", err)
	}
	full, err := c.complete(res)
	if err != nil {
		return err
	}
	settings, err := c.layout.settings(full)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("update limits of cgroup %s: %w", c.path, err)
	}
	if err := c.checkUsage(full); err != nil {
		return err
	}
	if err := c.enable(settings); err != nil {
		return err
	}
	before := make([]setting, 0, len(settings))
	for _, s := range settings {
		before = append(before, c.before(s)...)
	}
	if err := c.apply(settings, nil); err != nil {
		return errors.Join(err, c.apply(before, nil))
	}
	return nil
}

// complete fills in what a version 2 file needs besides the changed value.
func (c *Cgroup) complete(res *specs.LinuxResources) (*specs.LinuxResources, error) {
	full := *res
	if dir, v := c.dir("cpu"); v == 2 && res.CPU != nil && isSet(res.CPU.Period) && !isSet(res.CPU.Quota) {
		cpu := *res.CPU
		data, err := linux.ReadControl(dir + "/cpu.max")
		if err != nil {
			return nil, fmt.Errorf("read the CPU quota: %w", err)
		}
		quota, _, _ := strings.Cut(data, " ")
		if n, err := strconv.ParseInt(quota, 10, 64); err == nil { // else it is "max"
			cpu.Quota = &n
		}
		full.CPU = &cpu
	}
	if dir, v := c.dir("memory"); v == 2 && res.Memory != nil && isSet(res.Memory.Swap) && !isSet(res.Memory.Limit) {
		memory := *res.Memory
		n, err := single(dir + "/memory.max")
		if err != nil {
			return nil, fmt.Errorf("read the memory limit: %w", err)
		}
		limit := int64(-1)
		if n != Unlimited {
			limit = int64(n)
		}
		memory.Limit = &limit
		full.Memory = &memory
	}
	return &full, nil
}

// checkUsage refuses a memory limit below what is in use if the spec asks for
// that: version 2 would accept it and kill.
func (c *Cgroup) checkUsage(res *specs.LinuxResources) error {
	m := res.Memory
	if m == nil || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate || !isSet(m.Limit) || *m.Limit == -1 {
		return nil
	}
	var s Stats
	if err := c.memoryStats(&s); err != nil {
		return fmt.Errorf("read the memory in use: %w", err)
	}
	if s.Memory.Usage > uint64(*m.Limit) {
		return &LimitError{
			Flag: "--memory", Value: number(*m.Limit), Class: errdefs.ErrFailedPrecondition,
			Reason: number(s.Memory.Usage) + " bytes are in use", Remedy: "give a larger limit",
		}
	}
	return nil
}

// before returns the settings that restore what s changes. A file that cannot
// be read has nothing to restore: writing it will fail too.
func (c *Cgroup) before(s setting) []setting {
	dir, _ := c.dir(s.controller)
	data, err := linux.ReadControl(dir + "/" + s.file)
	if err != nil {
		if s.or != nil {
			return c.before(*s.or)
		}
		return nil
	}
	key, _, keyed := strings.Cut(s.value, " ")
	old := s
	old.or, old.optional = nil, false
	switch {
	case s.file == "memory.oom_control":
		old.value = "0"
		if strings.Contains(data, "oom_kill_disable 1") {
			old.value = "1"
		}
	case s.file == "cpu.max" || !keyed:
		old.value = strings.TrimSpace(data)
	default: // a table of lines, of which s changes the one with its key
		old.value = key + " " + absent(s)
		for line := range strings.Lines(data) {
			if strings.HasPrefix(line, key+" ") {
				old.value = strings.TrimSuffix(line, "\n")
			}
		}
	}
	return []setting{old}
}

// absent is the value that takes s's line out of its table.
func absent(s setting) string {
	switch {
	case s.file == "io.max":
		return "rbps=max wbps=max riops=max wiops=max"
	case s.controller == "io":
		return "default"
	case s.controller == "rdma":
		return "hca_handle=max hca_object=max"
	}
	return "0"
}
