package main

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseCalls(t *testing.T) {
	const summary = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000300           3       100           read
 40.00    0.000200           2       100         7 openat
------ ----------- ----------- --------- --------- ----------------
100.00    0.000500           2       200         7 total
`
	if n, err := parseCalls(summary); n != 200 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := parseCalls("strace: Process 1 attached\n"); err == nil {
		t.Errorf("no total: got %d", n)
	}
}

func TestSmallest(t *testing.T) {
	for _, least := range []int{64, 65, 128, 129, 1000, 4032, 4096} {
		asked := 0
		got := smallest(64, 4096, 64, func(n int) bool { asked++; return n >= least })
		if want := (least + 63) / 64 * 64; got != want || asked > 7 {
			t.Errorf("from %d on: got %d, want %d, after %d questions", least, got, want, asked)
		}
	}
	if got := smallest(64, 4096, 64, func(int) bool { return false }); got != 4096 {
		t.Errorf("never: got %d", got)
	}
}

// TestSpec looks for what the comparison is about.
func TestSpec(t *testing.T) {
	for _, userns := range []bool{false, true} {
		s, err := newSpec("/rootfs", variant{userns: userns, args: []string{"/bin/true"}, memory: memoryLimit, cgroup: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[specs.LinuxNamespaceType]bool{}
		for _, n := range s.Linux.Namespaces {
			kinds[n.Type] = true
		}
		if kinds[specs.UserNamespace] != userns || len(s.Linux.UIDMappings) > 0 != userns || !kinds[specs.CgroupNamespace] {
			t.Errorf("userns %v: namespaces %v, %d id maps", userns, kinds, len(s.Linux.UIDMappings))
		}
		r := s.Linux.Resources
		if s.Linux.Seccomp == nil || len(s.Linux.Seccomp.Syscalls) < 5 || *r.Memory.Limit != memoryLimit || r.Pids == nil || r.CPU == nil || len(r.Devices) == 0 {
			t.Errorf("userns %v: seccomp, a limit or the device rules are missing", userns)
		}
	}
}
