package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/limit"
	"berth/ociruntime/cgroups/stats"
	"berth/ociruntime/cgroups/systemd"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits of a running cgroup; what res leaves out stays as
// it is. If one cannot be applied the others get back the values they had, and
// the error is a *LimitError. Device rules, if any are given, replace all that
// there were; they come last.
func (c *Cgroup) Update(ctx context.Context, res *specs.LinuxResources) error {
	if res == nil {
		return nil
	}
	if err := c.needed("update limits"); err != nil {
		return err
	}
	if !c.exists() {
		return fmt.Errorf("update limits of cgroup %s: %w", c.path, goneError{})
	}
	full, err := c.complete(res)
	if err != nil {
		return err
	}
	if len(res.Devices) > 0 {
		full.Devices = fromNothing(res.Devices)
	}
	if c.unit != nil {
		systemd.RoundQuota(full)
	}
	settings, err := limit.Compile(c.version, full)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("update limits of cgroup %s: %w", c.path, err)
	}
	if err := c.checkUsage(full); err != nil {
		return err
	}
	tree := c.tree()
	defer tree.Close()
	if err := c.enable(tree, settings); err != nil {
		return err
	}
	before := make([]limit.Setting, 0, len(settings))
	for _, s := range settings {
		before = append(before, c.before(s)...)
	}
	if err := c.apply(tree, settings); err != nil {
		return errors.Join(err, c.apply(tree, before))
	}
	if err := c.updateDevices(tree, full.Devices); err != nil {
		return errors.Join(err, c.apply(tree, before))
	}
	if c.unit != nil {
		if err := c.updateUnit(ctx, full); err != nil {
			return errors.Join(err, c.apply(tree, before))
		}
	}
	return nil
}

// complete fills in what a version 2 file needs besides the changed value.
func (c *Cgroup) complete(res *specs.LinuxResources) (*specs.LinuxResources, error) {
	full := *res
	if dir, v := c.dir("cpu"); v == 2 && res.CPU != nil && limit.IsSet(res.CPU.Period) && !limit.IsSet(res.CPU.Quota) {
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
	if dir, v := c.dir("memory"); v == 2 && res.Memory != nil && limit.IsSet(res.Memory.Limit) != limit.IsSet(res.Memory.Swap) {
		memory := *res.Memory
		if err := completeMemory(&memory, dir); err != nil {
			return nil, err
		}
		full.Memory = &memory
	}
	return &full, nil
}

// completeMemory adds what is not to change of the memory limit and of the one
// of memory and swap together: of the two version 2 keeps the first and the difference.
func completeMemory(m *specs.LinuxMemory, dir string) error {
	now, err := stats.Number(dir + "/memory.max")
	if err != nil {
		return fmt.Errorf("read the memory limit: %w", err)
	}
	if limit.IsSet(m.Swap) {
		m.Limit = signed(now)
		return nil
	}
	swap, err := stats.Number(dir + "/memory.swap.max")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // swap is not counted
	}
	if err != nil {
		return fmt.Errorf("read the swap limit: %w", err)
	}
	if swap != Unlimited && now != Unlimited && *m.Limit != -1 {
		m.Swap = signed(now + swap)
	}
	return nil
}

func signed(n uint64) *int64 {
	most := int64(-1)
	if n != Unlimited {
		most = int64(n)
	}
	return &most
}

// checkUsage refuses a memory limit below what is in use if the spec asks for
// that: version 2 would accept it and kill.
func (c *Cgroup) checkUsage(res *specs.LinuxResources) error {
	m := res.Memory
	if m == nil || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate {
		return nil
	}
	used, err := stats.MemoryUsage(c.group())
	if err != nil {
		return fmt.Errorf("read the memory in use: %w", err)
	}
	for _, l := range []struct {
		flag string
		n    *int64
	}{{"--memory", m.Limit}, {"--memory-swap", m.Swap}} {
		if limit.IsSet(l.n) && *l.n != -1 && used >= uint64(*l.n) {
			return &limit.Error{
				Flag: l.flag, Value: strconv.FormatInt(*l.n, 10), Class: errdefs.ErrFailedPrecondition,
				Reason: strconv.FormatUint(used, 10) + " bytes are in use", Remedy: "give a larger limit",
			}
		}
	}
	return nil
}

// before returns the settings that restore what s changes. A file that cannot
// be read has nothing to restore: writing it will fail too.
func (c *Cgroup) before(s limit.Setting) []limit.Setting {
	dir, _ := c.dir(s.Controller)
	data, err := linux.ReadControl(dir + "/" + s.File)
	if err != nil {
		if s.Or != nil {
			return c.before(*s.Or)
		}
		return nil
	}
	key, _, keyed := strings.Cut(s.Value, " ")
	old := s
	old.Or, old.Optional = nil, false
	switch {
	case s.File == "memory.oom_control":
		old.Value = "0"
		if strings.Contains(data, "oom_kill_disable 1") {
			old.Value = "1"
		}
	case s.File == "cpu.max" || !keyed:
		old.Value = strings.TrimSpace(data)
	default: // a table of lines, of which s changes the one with its key
		old.Value = key + " " + absent(s)
		for line := range strings.Lines(data) {
			if strings.HasPrefix(line, key+" ") {
				old.Value = strings.TrimSuffix(line, "\n")
			}
		}
	}
	return []limit.Setting{old}
}

// absent is the value that takes s's line out of its table.
func absent(s limit.Setting) string {
	switch {
	case s.File == "io.max":
		return "rbps=max wbps=max riops=max wiops=max"
	case s.Controller == "io":
		return "default"
	case s.Controller == "rdma":
		return "hca_handle=max hca_object=max"
	}
	return "0"
}
