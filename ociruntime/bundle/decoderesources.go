package bundle

import (
	"berth/internal/jsonscan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func readResources(r *jsonscan.Reader, l *specs.LinuxResources) {
	for key := range r.Members() {
		switch key {
		case "devices":
			jsonscan.List(r, &l.Devices, readDeviceRule)
		case "memory":
			jsonscan.Ptr(r, &l.Memory, readMemory)
		case "cpu":
			jsonscan.Ptr(r, &l.CPU, readCPU)
		case "pids":
			jsonscan.Ptr(r, &l.Pids, readPids)
		case "blockIO":
			jsonscan.Ptr(r, &l.BlockIO, readBlockIO)
		case "hugepageLimits":
			jsonscan.List(r, &l.HugepageLimits, readHugepageLimit)
		case "network":
			jsonscan.Ptr(r, &l.Network, readNetwork)
		case "rdma":
			jsonscan.Map(r, &l.Rdma, readRdma)
		case "unified":
			jsonscan.Map(r, &l.Unified, jsonscan.String[string])
		default:
			skip(r, key)
		}
	}
}

func readDeviceRule(r *jsonscan.Reader, d *specs.LinuxDeviceCgroup) {
	for key := range r.Members() {
		switch key {
		case "allow":
			jsonscan.Bool(r, &d.Allow)
		case "type":
			jsonscan.String(r, &d.Type)
		case "major":
			jsonscan.Ptr(r, &d.Major, jsonscan.Int[int64])
		case "minor":
			jsonscan.Ptr(r, &d.Minor, jsonscan.Int[int64])
		case "access":
			jsonscan.String(r, &d.Access)
		default:
			skip(r, key)
		}
	}
}

func readMemory(r *jsonscan.Reader, m *specs.LinuxMemory) {
	for key := range r.Members() {
		switch key {
		case "limit":
			jsonscan.Ptr(r, &m.Limit, jsonscan.Int[int64])
		case "reservation":
			jsonscan.Ptr(r, &m.Reservation, jsonscan.Int[int64])
		case "swap":
			jsonscan.Ptr(r, &m.Swap, jsonscan.Int[int64])
		case "kernel":
			jsonscan.Ptr(r, &m.Kernel, jsonscan.Int[int64]) //nolint:staticcheck // engines still set it
		case "kernelTCP":
			jsonscan.Ptr(r, &m.KernelTCP, jsonscan.Int[int64])
		case "swappiness":
			jsonscan.Ptr(r, &m.Swappiness, jsonscan.Uint[uint64])
		case "disableOOMKiller":
			jsonscan.Ptr(r, &m.DisableOOMKiller, jsonscan.Bool)
		case "useHierarchy":
			jsonscan.Ptr(r, &m.UseHierarchy, jsonscan.Bool)
		case "checkBeforeUpdate":
			jsonscan.Ptr(r, &m.CheckBeforeUpdate, jsonscan.Bool)
		default:
			skip(r, key)
		}
	}
}

func readCPU(r *jsonscan.Reader, c *specs.LinuxCPU) {
	for key := range r.Members() {
		switch key {
		case "shares":
			jsonscan.Ptr(r, &c.Shares, jsonscan.Uint[uint64])
		case "quota":
			jsonscan.Ptr(r, &c.Quota, jsonscan.Int[int64])
		case "burst":
			jsonscan.Ptr(r, &c.Burst, jsonscan.Uint[uint64])
		case "period":
			jsonscan.Ptr(r, &c.Period, jsonscan.Uint[uint64])
		case "realtimeRuntime":
			jsonscan.Ptr(r, &c.RealtimeRuntime, jsonscan.Int[int64])
		case "realtimePeriod":
			jsonscan.Ptr(r, &c.RealtimePeriod, jsonscan.Uint[uint64])
		case "cpus":
			jsonscan.String(r, &c.Cpus)
		case "mems":
			jsonscan.String(r, &c.Mems)
		case "idle":
			jsonscan.Ptr(r, &c.Idle, jsonscan.Int[int64])
		default:
			skip(r, key)
		}
	}
}

func readPids(r *jsonscan.Reader, p *specs.LinuxPids) {
	for key := range r.Members() {
		switch key {
		case "limit":
			jsonscan.Ptr(r, &p.Limit, jsonscan.Int[int64])
		default:
			skip(r, key)
		}
	}
}

func readBlockIO(r *jsonscan.Reader, b *specs.LinuxBlockIO) {
	for key := range r.Members() {
		switch key {
		case "weight":
			jsonscan.Ptr(r, &b.Weight, jsonscan.Uint[uint16])
		case "leafWeight":
			jsonscan.Ptr(r, &b.LeafWeight, jsonscan.Uint[uint16])
		case "weightDevice":
			jsonscan.List(r, &b.WeightDevice, readWeightDevice)
		case "throttleReadBpsDevice":
			jsonscan.List(r, &b.ThrottleReadBpsDevice, readThrottleDevice)
		case "throttleWriteBpsDevice":
			jsonscan.List(r, &b.ThrottleWriteBpsDevice, readThrottleDevice)
		case "throttleReadIOPSDevice":
			jsonscan.List(r, &b.ThrottleReadIOPSDevice, readThrottleDevice)
		case "throttleWriteIOPSDevice":
			jsonscan.List(r, &b.ThrottleWriteIOPSDevice, readThrottleDevice)
		default:
			skip(r, key)
		}
	}
}

func readWeightDevice(r *jsonscan.Reader, d *specs.LinuxWeightDevice) {
	for key := range r.Members() {
		switch key {
		case "major":
			jsonscan.Int(r, &d.Major)
		case "minor":
			jsonscan.Int(r, &d.Minor)
		case "weight":
			jsonscan.Ptr(r, &d.Weight, jsonscan.Uint[uint16])
		case "leafWeight":
			jsonscan.Ptr(r, &d.LeafWeight, jsonscan.Uint[uint16])
		default:
			skip(r, key)
		}
	}
}

func readThrottleDevice(r *jsonscan.Reader, d *specs.LinuxThrottleDevice) {
	for key := range r.Members() {
		switch key {
		case "major":
			jsonscan.Int(r, &d.Major)
		case "minor":
			jsonscan.Int(r, &d.Minor)
		case "rate":
			jsonscan.Uint(r, &d.Rate)
		default:
			skip(r, key)
		}
	}
}

func readHugepageLimit(r *jsonscan.Reader, h *specs.LinuxHugepageLimit) {
	for key := range r.Members() {
		switch key {
		case "pageSize":
			jsonscan.String(r, &h.Pagesize)
		case "limit":
			jsonscan.Uint(r, &h.Limit)
		default:
			skip(r, key)
		}
	}
}

func readNetwork(r *jsonscan.Reader, n *specs.LinuxNetwork) {
	for key := range r.Members() {
		switch key {
		case "classID":
			jsonscan.Ptr(r, &n.ClassID, jsonscan.Uint[uint32])
		case "priorities":
			jsonscan.List(r, &n.Priorities, readPriority)
		default:
			skip(r, key)
		}
	}
}

func readPriority(r *jsonscan.Reader, p *specs.LinuxInterfacePriority) {
	for key := range r.Members() {
		switch key {
		case "name":
			jsonscan.String(r, &p.Name)
		case "priority":
			jsonscan.Uint(r, &p.Priority)
		default:
			skip(r, key)
		}
	}
}

func readRdma(r *jsonscan.Reader, l *specs.LinuxRdma) {
	for key := range r.Members() {
		switch key {
		case "hcaHandles":
			jsonscan.Ptr(r, &l.HcaHandles, jsonscan.Uint[uint32])
		case "hcaObjects":
			jsonscan.Ptr(r, &l.HcaObjects, jsonscan.Uint[uint32])
		default:
			skip(r, key)
		}
	}
}
