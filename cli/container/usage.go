package container

import (
	"fmt"
	"strings"
	"time"

	"berth/cli/format"

	"github.com/docker/go-units"
)

// usage is the part of container.StatsResponse that is shown.
type usage struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Read         string   `json:"read"`
	PreRead      string   `json:"preread"`
	CPU          cpuUsage `json:"cpu_stats"`
	PreCPU       cpuUsage `json:"precpu_stats"`
	MemoryStats  memUsage `json:"memory_stats"`
	BlockIOStats struct {
		Bytes []struct {
			Op    string `json:"op"`
			Value uint64 `json:"value"`
		} `json:"io_service_bytes_recursive"`
	} `json:"blkio_stats"`
	PIDs struct {
		Current uint64 `json:"current"`
	} `json:"pids_stats"`
	Networks map[string]struct {
		Received uint64 `json:"rx_bytes"`
		Sent     uint64 `json:"tx_bytes"`
	} `json:"networks"`
}

type cpuUsage struct {
	Usage struct {
		Total uint64 `json:"total_usage"` // nanoseconds
	} `json:"cpu_usage"`
	System uint64 `json:"system_cpu_usage"` // nanoseconds of all processors
	Online uint64 `json:"online_cpus"`
}

type memUsage struct {
	Usage uint64            `json:"usage"`
	Limit uint64            `json:"limit"`
	Stats map[string]uint64 `json:"stats"`
}

// used leaves the page cache out that the kernel can drop at once, as docker does.
func (m *memUsage) used() uint64 {
	for _, name := range []string{"total_inactive_file", "inactive_file"} { // v1, v2
		if cache := m.Stats[name]; cache != 0 && cache < m.Usage {
			return m.Usage - cache
		}
	}
	return m.Usage
}

// cpuPercent is the processor time between the two readings; 100 is one whole
// processor.
func (u *usage) cpuPercent() float64 {
	used := float64(u.CPU.Usage.Total) - float64(u.PreCPU.Usage.Total)
	system := float64(u.CPU.System) - float64(u.PreCPU.System)
	if used <= 0 || u.PreCPU.Usage.Total == 0 {
		return 0
	}
	if system > 0 && u.CPU.Online > 0 {
		return used / system * float64(u.CPU.Online) * 100
	}
	read, err := time.Parse(time.RFC3339Nano, u.Read)
	before, errBefore := time.Parse(time.RFC3339Nano, u.PreRead)
	if err != nil || errBefore != nil || !read.After(before) {
		return 0
	}
	return used / float64(read.Sub(before)) * 100
}

func (u *usage) row(asked string, whole bool) format.Row {
	id := u.ID
	if !whole {
		id, asked = format.ShortID(id), shortHex(asked)
	}
	var read, written, received, sent uint64
	for _, b := range u.BlockIOStats.Bytes {
		switch strings.ToLower(b.Op) {
		case "read":
			read += b.Value
		case "write":
			written += b.Value
		}
	}
	for _, n := range u.Networks {
		received += n.Received
		sent += n.Sent
	}
	used, percent := u.MemoryStats.used(), 0.0
	if u.MemoryStats.Limit > 0 {
		percent = float64(used) / float64(u.MemoryStats.Limit) * 100
	}
	return format.Row{
		"Container": asked, "ID": id, "Name": strings.TrimPrefix(u.Name, "/"),
		"CPUPerc":  fmt.Sprintf("%.2f%%", u.cpuPercent()),
		"MemUsage": units.BytesSize(float64(used)) + " / " + units.BytesSize(float64(u.MemoryStats.Limit)),
		"MemPerc":  fmt.Sprintf("%.2f%%", percent),
		"NetIO":    format.Size(int64(received)) + " / " + format.Size(int64(sent)),
		"BlockIO":  format.Size(int64(read)) + " / " + format.Size(int64(written)),
		"PIDs":     fmt.Sprint(u.PIDs.Current),
	}
}

// shortHex shortens a whole id and leaves a name as it is.
func shortHex(s string) string {
	if len(s) == 64 {
		return format.ShortID(s)
	}
	return s
}
