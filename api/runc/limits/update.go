package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"berth/api/runc/command"
	"berth/ociruntime/bundle"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const resourcesHelp = `With --resources the changes are a JSON document, as config.json has them under
"linux.resources"; what it leaves out stays, and the other flags have no effect:

  {
    "memory": {"limit": 0, "reservation": 0, "swap": 0, "checkBeforeUpdate": true},
    "cpu": {"shares": 0, "quota": 0, "burst": 0, "period": 0,
            "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": "", "idle": 0},
    "pids": {"limit": 0},
    "blockIO": {"weight": 0}
  }

Sizes may have a unit: 512m, 2g. -1 takes a limit of memory away. Device rules of a
running container cannot be changed and are passed over.`

// updateFlags are the flags of update as they were given; empty is not given.
type updateFlags struct {
	resources                                             string
	blkioWeight, pids                                     int
	period, quota, burst, share, rtPeriod, rtRuntime      string
	cpus, mems, idle                                      string
	memory, reservation, swap, kernelMemory, kernelMemTCP string
	l3, memBw                                             string
	pidsGiven                                             func() bool
}

// Update changes the limits of a container.
func Update() command.Command {
	return command.Command{
		Name: "update", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary: "Change the limits of a container",
		Help:    resourcesHelp,
		Examples: []string{
			"berth-oci update --memory 512m --memory-swap 1g web",
			"berth-oci update --cpu-period 100000 --cpu-quota 50000 web",
			`echo '{"pids":{"limit":100}}' | berth-oci update --resources - web`,
		},
		Setup: func(f *command.Flags) command.Func {
			var u updateFlags
			u.define(f)
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				res, err := u.read(c)
				if err != nil {
					return 0, err
				}
				if u.l3 != "" || u.memBw != "" {
					if err := checkResctrl(u.l3, u.memBw); err != nil {
						return 0, err
					}
				}
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				return 0, rt.Update(ctx, args[0], res)
			}
		},
	}
}

func (u *updateFlags) define(f *command.Flags) {
	f.String(&u.resources, "resources,r", "FILE", "read the changes from FILE, or with - from standard input")
	f.Int(&u.blkioWeight, "blkio-weight", "N", "weight of block I/O, 10 to 1000")
	f.String(&u.period, "cpu-period", "US", "period of the CPU quota in microseconds, 0 for the default")
	f.String(&u.quota, "cpu-quota", "US", "CPU time in a period in microseconds")
	f.String(&u.burst, "cpu-burst", "US", "CPU time that may be saved up for a burst, in microseconds")
	f.String(&u.share, "cpu-share", "N", "CPU shares: weight beside other containers")
	f.String(&u.rtPeriod, "cpu-rt-period", "US", "period of the realtime quota in microseconds, 0 for the default")
	f.String(&u.rtRuntime, "cpu-rt-runtime", "US", "realtime CPU time in a period in microseconds")
	f.String(&u.cpus, "cpuset-cpus", "LIST", "CPUs to run on, such as 0-2,7")
	f.String(&u.mems, "cpuset-mems", "LIST", "memory nodes to use")
	f.String(&u.memory, "memory", "BYTES", "limit of memory")
	f.String(&u.idle, "cpu-idle", "N", "1: run only when nobody else wants the CPU; 0: as usual")
	f.String(&u.reservation, "memory-reservation", "BYTES", "memory that is taken last under pressure")
	f.String(&u.swap, "memory-swap", "BYTES", "limit of memory and swap together, -1 for none")
	f.Int(&u.pids, "pids-limit", "N", "most processes and threads, -1 for no limit")
	f.String(&u.l3, "l3-cache-schema", "SCHEMA", "Intel RDT: schema of the L3 cache")
	f.String(&u.memBw, "mem-bw-schema", "SCHEMA", "Intel RDT: schema of memory bandwidth")
	f.String(&u.kernelMemory, "kernel-memory", "BYTES", "").Hidden = true
	f.String(&u.kernelMemTCP, "kernel-memory-tcp", "BYTES", "").Hidden = true
	u.pidsGiven = func() bool { return f.Given("pids-limit") }
}

// read returns the changes that the flags or their document ask for.
func (u *updateFlags) read(c *command.CLI) (*specs.LinuxResources, error) {
	if u.resources == "" {
		return u.fromFlags(c)
	}
	from := c.In
	if u.resources != "-" {
		f, err := os.Open(u.resources)
		if err != nil {
			return nil, fmt.Errorf("read the resources: %w", err)
		}
		defer f.Close()
		from = f
	}
	res, err := bundle.ReadResources(from)
	if err != nil {
		return nil, err
	}
	if len(res.Devices) > 0 {
		c.Log.Debugf("%d device rules are passed over: they cannot be changed", len(res.Devices))
		res.Devices = nil
	}
	return res, nil
}

func (u *updateFlags) fromFlags(c *command.CLI) (*specs.LinuxResources, error) {
	memory, cpu := &specs.LinuxMemory{}, &specs.LinuxCPU{Cpus: u.cpus, Mems: u.mems}
	res := &specs.LinuxResources{Memory: memory, CPU: cpu}
	for _, n := range []struct {
		flag, value string
		signed      **int64
		unsigned    **uint64
	}{
		{"cpu-period", u.period, nil, &cpu.Period},
		{"cpu-burst", u.burst, nil, &cpu.Burst},
		{"cpu-rt-period", u.rtPeriod, nil, &cpu.RealtimePeriod},
		{"cpu-share", u.share, nil, &cpu.Shares},
		{"cpu-quota", u.quota, &cpu.Quota, nil},
		{"cpu-rt-runtime", u.rtRuntime, &cpu.RealtimeRuntime, nil},
		{"cpu-idle", u.idle, &cpu.Idle, nil},
	} {
		if n.value == "" {
			continue
		}
		var err error
		if n.signed != nil {
			*n.signed = new(int64)
			**n.signed, err = strconv.ParseInt(n.value, 10, 64)
		} else {
			*n.unsigned = new(uint64)
			**n.unsigned, err = strconv.ParseUint(n.value, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("--%s: %q is no whole number that it takes", n.flag, n.value)
		}
	}
	for _, s := range []struct {
		flag, value string
		into        **int64
	}{
		{"memory", u.memory, &memory.Limit},
		{"memory-swap", u.swap, &memory.Swap},
		{"memory-reservation", u.reservation, &memory.Reservation},
	} {
		if s.value == "" {
			continue
		}
		n, err := parseSize(s.value)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", s.flag, err)
		}
		*s.into = &n
	}
	if u.kernelMemory != "" || u.kernelMemTCP != "" {
		c.Log.Warn("limits of kernel memory have no effect: the kernel has them no more")
	}
	if u.blkioWeight != 0 {
		const lowest, highest = 10, 1000
		if u.blkioWeight < lowest || u.blkioWeight > highest {
			return nil, fmt.Errorf("--blkio-weight: %d is not between %d and %d", u.blkioWeight, lowest, highest)
		}
		weight := uint16(u.blkioWeight)
		res.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	}
	if u.pidsGiven() {
		limit := int64(u.pids)
		res.Pids = &specs.LinuxPids{Limit: &limit}
	}
	return res, nil
}

// parseSize reads a number of bytes, which may have a unit, or -1.
func parseSize(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no size such as 512m or 2g", s)
	}
	return n, nil
}

// checkResctrl says why a schema of Intel's Resource Director Technology cannot
// be changed: the host has none, or the container was not given a class.
func checkResctrl(l3, memBw string) error {
	const mount = "/sys/fs/resctrl"
	for _, f := range []struct{ schema, info, name string }{
		{l3, "/info/L3", "Intel RDT/CAT: the L3 cache"}, {memBw, "/info/MB", "Intel RDT/MBA: memory bandwidth"},
	} {
		if f.schema == "" {
			continue
		}
		if _, err := os.Stat(mount + f.info); err != nil {
			return fmt.Errorf("%s cannot be shared out: this host has no %s (mount -t resctrl resctrl %s, if its CPU can)", f.name, mount+f.info, mount)
		}
	}
	return errors.New("the Intel RDT schemas of a running container cannot be changed: make a new container with linux.intelRdt")
}
