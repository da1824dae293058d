package request

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"berth/cli/client"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
)

// bytesOf parses a size with a unit of 1024, as 512m. Empty is 0.
func bytesOf(flag, s string, least int64) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil || n < least {
		return 0, fmt.Errorf("invalid --%s %q: give a size, as 512m or 2g (units b, k, m, g, t)", flag, s)
	}
	return n, nil
}

func (l *limitFlags) setMemory(r *client.CreateRequest) (err error) {
	h := &r.HostConfig
	if h.Memory, err = bytesOf("memory", l.memory, 0); err != nil {
		return err
	}
	if h.MemoryReservation, err = bytesOf("memory-reservation", l.memoryReservation, 0); err != nil {
		return err
	}
	if l.memorySwap == "-1" {
		h.MemorySwap = -1
	} else if h.MemorySwap, err = bytesOf("memory-swap", l.memorySwap, 0); err != nil {
		return err
	}
	if l.swappiness < -1 || l.swappiness > 100 {
		return fmt.Errorf("invalid --memory-swappiness %d: give 0 to 100", l.swappiness)
	}
	if l.swappiness >= 0 {
		h.MemorySwappiness = &l.swappiness
	}
	if l.oomKillDisable {
		h.OomKillDisable = &l.oomKillDisable
	}
	if l.oomScoreAdj < -1000 || l.oomScoreAdj > 1000 {
		return fmt.Errorf("invalid --oom-score-adj %d: give -1000 to 1000", l.oomScoreAdj)
	}
	h.OomScoreAdj = l.oomScoreAdj
	return nil
}

func (f *Flags) setCPU(r *client.CreateRequest) error {
	l, h := &f.limits, &r.HostConfig
	h.CPUShares, h.CPUPeriod, h.CPUQuota = l.shares, l.period, l.quota
	h.CpusetCpus, h.CpusetMems = l.cpuset, l.mems
	if l.cpus != "" {
		n, err := nanoCPUs(l.cpus)
		if err != nil {
			return err
		}
		if l.quota != 0 || l.period != 0 {
			return fmt.Errorf("--cpus %s and --cpu-quota or --cpu-period say the same thing twice: leave one out", l.cpus)
		}
		h.NanoCPUs = n
	}
	if f.fs.Changed("pids-limit") {
		h.PidsLimit = &l.pids
	}
	for _, u := range l.ulimits {
		parsed, err := units.ParseUlimit(u)
		if err != nil {
			return fmt.Errorf("invalid --ulimit %q: %w; write NAME=SOFT[:HARD], as nofile=1024:2048", u, err)
		}
		h.Ulimits = append(h.Ulimits, parsed)
	}
	return nil
}

// nanoCPUs parses a number of CPUs without losing precision.
func nanoCPUs(s string) (int64, error) {
	bad := fmt.Errorf("invalid --cpus %q: give a positive number with at most nine decimals, as 1.5", s)
	if len(s) > 32 || strings.ContainsAny(s, "eEpPxX/_") {
		return 0, bad // big.Rat would take exponents, hexadecimal and fractions
	}
	n, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, bad
	}
	n.Mul(n, big.NewRat(1e9, 1))
	if !n.IsInt() || !n.Num().IsInt64() || n.Sign() <= 0 {
		return 0, bad
	}
	return n.Num().Int64(), nil
}

func (f *Flags) setBlkio(r *client.CreateRequest) error {
	l, h := &f.limits, &r.HostConfig
	h.BlkioWeight = l.blkioWeight
	for _, s := range l.weightDevices {
		path, value, err := device("blkio-weight-device", s)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || (n != 0 && (n < 10 || n > 1000)) {
			return fmt.Errorf("invalid --blkio-weight-device %q: the weight is 10 to 1000", s)
		}
		h.BlkioWeightDevice = append(h.BlkioWeightDevice, &blkiodev.WeightDevice{Path: path, Weight: uint16(n)})
	}
	for _, t := range []struct {
		flag   string
		values []string
		to     *[]*blkiodev.ThrottleDevice
		bytes  bool
	}{
		{"device-read-bps", l.readBps, &h.BlkioDeviceReadBps, true},
		{"device-write-bps", l.writeBps, &h.BlkioDeviceWriteBps, true},
		{"device-read-iops", l.readIOps, &h.BlkioDeviceReadIOps, false},
		{"device-write-iops", l.writeIOps, &h.BlkioDeviceWriteIOps, false},
	} {
		for _, s := range t.values {
			d, err := throttle(t.flag, s, t.bytes)
			if err != nil {
				return err
			}
			*t.to = append(*t.to, d)
		}
	}
	return nil
}

func throttle(flag, s string, bytes bool) (*blkiodev.ThrottleDevice, error) {
	path, value, err := device(flag, s)
	if err != nil {
		return nil, err
	}
	if bytes {
		n, err := units.RAMInBytes(value)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("invalid --%s %q: the rate is bytes a second, as 10mb", flag, s)
		}
		return &blkiodev.ThrottleDevice{Path: path, Rate: uint64(n)}, nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("invalid --%s %q: the rate is a whole number of operations a second", flag, s)
	}
	return &blkiodev.ThrottleDevice{Path: path, Rate: n}, nil
}

// device splits /dev/NAME:VALUE.
func device(flag, s string) (path, value string, err error) {
	path, value, ok := strings.Cut(s, ":")
	if !ok || value == "" || !strings.HasPrefix(path, "/dev/") {
		return "", "", fmt.Errorf("invalid --%s %q: write /dev/NAME:VALUE", flag, s)
	}
	return path, value, nil
}

func (f *Flags) setDevices(r *client.CreateRequest) error {
	for _, s := range f.isolation.devices {
		d, err := deviceMapping(s)
		if err != nil {
			return err
		}
		r.HostConfig.Devices = append(r.HostConfig.Devices, d)
	}
	for _, s := range f.isolation.deviceRules {
		if !validDeviceRule(s) {
			return fmt.Errorf("invalid --device-cgroup-rule %q: write TYPE MAJOR:MINOR ACCESS, as \"c 1:3 rwm\"", s)
		}
	}
	r.HostConfig.DeviceCgroupRules = f.isolation.deviceRules
	return nil
}

func deviceMapping(s string) (client.DeviceMapping, error) {
	parts := strings.Split(s, ":")
	d := client.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
	bad := fmt.Errorf("invalid --device %q: write HOST[:CONTAINER][:ACCESS], where ACCESS is made of r, w and m", s)
	switch {
	case parts[0] == "" || len(parts) > 3:
		return d, bad
	case len(parts) == 2 && validAccess(parts[1]):
		d.CgroupPermissions = parts[1]
	case len(parts) >= 2:
		d.PathInContainer = parts[1]
	}
	if len(parts) == 3 {
		d.CgroupPermissions = parts[2]
	}
	if !validAccess(d.CgroupPermissions) || !strings.HasPrefix(d.PathInContainer, "/") {
		return d, bad
	}
	return d, nil
}

func validAccess(s string) bool {
	for i, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.ContainsRune(s[:i], c) {
			return false
		}
	}
	return s != ""
}

func validDeviceRule(s string) bool {
	f := strings.Fields(s)
	if len(f) != 3 || len(f[0]) != 1 || !strings.Contains("abc", f[0]) || !validAccess(f[2]) {
		return false
	}
	major, minor, ok := strings.Cut(f[1], ":")
	return ok && validDeviceNumber(major) && validDeviceNumber(minor)
}

func validDeviceNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return s == "*" || err == nil
}
