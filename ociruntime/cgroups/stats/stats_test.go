package stats

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzParse(f *testing.F) {
	f.Add("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n")
	f.Add("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n")
	f.Add("low 0\nmax max\noom_kill 1\nx -1\n")
	f.Fuzz(func(t *testing.T, data string) {
		m, err := parseFlat(data)
		if err == nil && len(m) > strings.Count(data, "\n")+1 {
			t.Error("more keys than lines")
		}
		_, _, _ = parseIOStat(data)
		_, _ = parseBlkio(data)
		_, _ = parseRDMA(data)
		_, _ = parsePressure(data)
		parseUsageAll(data)
		if list, err := parseList(data); err == nil && len(list) > 2<<16 {
			t.Errorf("%d numbers", len(list))
		}
	})
}

// fake writes files as the kernel has them.
func fake(t *testing.T, version int, files map[string]string) Group {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(dir+"/"+name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Group{Dir: func(string) (string, int) { return dir, version }}
}

func TestCollectAllV1(t *testing.T) {
	const percpu = "cpu user system\n0 5 6\n1 7 8\n"
	f, err := CollectAll(fake(t, 1, map[string]string{
		"cpu.stat": "nr_periods 1\nnr_throttled 2\nthrottled_time 3\nnr_bursts 4\nburst_time 5\n", "cpuacct.usage": "26\n", "cpuacct.usage_all": percpu,
		"memory.stat": "total_cache 9\n", "memory.kmem.usage_in_bytes": "77\n", "memory.memsw.limit_in_bytes": "9223372036854771712\n", "memory.memsw.usage_in_bytes": "88\n",
		"cpuset.cpus": "0-1,3\n", "cpuset.mems": "0\n", "cpuset.sched_relax_domain_level": "-1\n", "cpuset.sched_load_balance": "1\n",
		"hugetlb.2MB.limit_in_bytes": "1\n", "hugetlb.2MB.usage_in_bytes": "2\n", "hugetlb.2MB.rsvd.limit_in_bytes": "1\n", "hugetlb.2MB.rsvd.usage_in_bytes": "3\n",
		"hugetlb.1GB.limit_in_bytes": "1\n", "hugetlb.1GB.usage_in_bytes": "4\n", "hugetlb.1GB.failcnt": "5\n",
		"rdma.current": "mlx5_0 hca_handle=2 hca_object=20\n", "rdma.max": "mlx5_0 hca_handle=max hca_object=30\n",
		"blkio.bfq.sectors_recursive": "8:0 12\n", "blkio.bfq.io_queued_recursive": "8:0 Read 1\n8:0 Total 1\nTotal 1\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := Full{
		PerCPUUser: []uint64{5, 7}, PerCPUSystem: []uint64{6, 8}, Bursts: 4, BurstTime: 5,
		MemorySwap: MemoryEntry{Usage: 88, Limit: Unlimited}, Kernel: MemoryEntry{Usage: 77},
		CPUSet:  CPUSet{CPUs: []uint16{0, 1, 3}, Mems: []uint16{0}, LoadBalance: 1, RelaxDomainLevel: -1},
		Hugetlb: map[string]HugetlbEntry{"2MB": {Usage: 3}, "1GB": {Usage: 4, Failures: 5}},
		RDMA:    []RDMAEntry{{"mlx5_0", 2, 20}}, RDMALimits: []RDMAEntry{{"mlx5_0", math.MaxUint32, 30}},
		IOQueued: []IOEntry{{8, 0, "Read", 1}, {8, 0, "Total", 1}}, IOSectors: []IOEntry{{8, 0, "", 12}},
	}
	f.Stats = Stats{}
	if d := cmp.Diff(want, f); d != "" {
		t.Error(d)
	}
}

func TestCollectAllV2(t *testing.T) {
	const some = "some avg10=1.50 avg60=0.20 avg300=0.03 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
	f, err := CollectAll(fake(t, 2, map[string]string{
		"cpu.stat": "usage_usec 5\nnr_bursts 2\nburst_usec 3\n", "cpu.pressure": some, "memory.pressure": some, "io.stat": "",
		"memory.current": "100\n", "memory.max": "500\n", "memory.swap.current": "7\n", "memory.swap.max": "50\n", "memory.stat": "file 3\n",
		"cpuset.cpus.effective": "1\n", "cpuset.mems.effective": "0\n",
		"hugetlb.2MB.max": "max\n", "hugetlb.2MB.current": "6\n", "hugetlb.2MB.events": "max 2\n",
		"misc.current": "sev 3\n", "misc.events": "sev.max 1\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	p := &Pressure{Some: PressureLine{1.5, 0.2, 0.03, 77}, Full: PressureLine{Total: 5}}
	want := Full{
		Bursts: 2, BurstTime: 3000, CPUPressure: p, MemoryPressure: p, MemorySwap: MemoryEntry{Usage: 107, Limit: 550},
		CPUSet: CPUSet{CPUs: []uint16{1}, Mems: []uint16{0}}, Hugetlb: map[string]HugetlbEntry{"2MB": {Usage: 6, Failures: 2}},
		Misc: map[string]MiscEntry{"sev": {3, 1}},
	}
	f.Stats = Stats{}
	if d := cmp.Diff(want, f); d != "" {
		t.Error(d)
	}
}
