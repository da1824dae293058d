package cgroups

import (
	"os"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkContainer is what a container's start and end have of cgroups:
// make it with its limits, open the doors, remove it. On a busy machine the
// least time says most.
func BenchmarkContainer(b *testing.B) {
	if os.Getenv("BERTH_TEST_ROOT") == "" {
		b.Skip("needs root: set BERTH_TEST_ROOT=1")
	}
	l, err := Detect()
	if err != nil {
		b.Fatal(err)
	}
	res := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(128 << 20))},
		CPU:     &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(4096))},
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
	}
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	least := [3]time.Duration{time.Hour, time.Hour, time.Hour}
	for b.Loop() {
		start := time.Now()
		c, err := l.create(b.Context(), testRoot+"/bench", res)
		if err != nil {
			b.Fatal(err)
		}
		created := time.Now()
		doors, err := c.OpenJoins(c.Joins())
		if err != nil {
			b.Fatal(err)
		}
		opened := time.Now()
		for _, f := range doors {
			_ = f.Close() // nothing was written
		}
		closed := time.Now()
		if err := c.Delete(b.Context()); err != nil {
			b.Fatal(err)
		}
		for i, d := range []time.Duration{created.Sub(start), opened.Sub(created), time.Since(closed)} {
			least[i] = min(least[i], d)
		}
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(spent)/1000/float64(b.N), "cpu-us/op")
	for i, name := range []string{"create", "open", "delete"} {
		b.ReportMetric(float64(least[i].Nanoseconds())/1000, "least-us-"+name)
	}
}
