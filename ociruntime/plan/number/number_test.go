package number

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestRlimit(t *testing.T) {
	for name, want := range map[string]int{"RLIMIT_CPU": 0, "RLIMIT_NOFILE": RlimitNofile, "RLIMIT_MEMLOCK": 8, "RLIMIT_RTTIME": 15} {
		if n, ok := Rlimit(name); n != want || !ok {
			t.Errorf("%s is %d, %v", name, n, ok)
		}
	}
	if _, ok := Rlimit("RLIMIT_X"); ok {
		t.Error("RLIMIT_X is known")
	}
}

func TestSched(t *testing.T) {
	attr, err := Sched(&specs.Scheduler{
		Policy: specs.SchedDeadline, Nice: -5, Priority: 3, Runtime: 10, Deadline: 20, Period: 30,
		Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagUtilClampMax},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "38000000" + "06000000" + "4100000000000000" + "fbffffff" + "03000000" +
		"0a00000000000000" + "1400000000000000" + "1e00000000000000" + "0000000000000000"
	if got := hex.EncodeToString(attr); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for want, s := range map[string]specs.Scheduler{
		`unknown policy "SCHED_X"`: {Policy: "SCHED_X"},
		`unknown policy ""`:        {},
		`unknown flag "FAST"`:      {Policy: specs.SchedIdle, Flags: []specs.LinuxSchedulerFlag{"FAST"}},
	} {
		if _, err := Sched(&s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", s, err, want)
		}
	}
}

func TestIOPriority(t *testing.T) {
	for want, p := range map[uint64]specs.LinuxIOPriority{
		1 << 13:   {Class: specs.IOPRIO_CLASS_RT},
		2<<13 | 7: {Class: specs.IOPRIO_CLASS_BE, Priority: 7},
		3<<13 | 4: {Class: specs.IOPRIO_CLASS_IDLE, Priority: 4},
	} {
		if got, err := IOPriority(&p); got != want || err != nil {
			t.Errorf("%+v: %#x, %v", p, got, err)
		}
	}
	for _, p := range []specs.LinuxIOPriority{{}, {Class: "IOPRIO_CLASS_NONE"}, {Class: specs.IOPRIO_CLASS_RT, Priority: 8}, {Class: specs.IOPRIO_CLASS_RT, Priority: -1}} {
		if got, err := IOPriority(&p); err == nil {
			t.Errorf("%+v: %#x", p, got)
		}
	}
}

func TestPersonality(t *testing.T) {
	if n, err := Personality(&specs.LinuxPersonality{Domain: specs.PerLinux32}); n != 8 || err != nil {
		t.Errorf("LINUX32: %d, %v", n, err)
	}
	if n, err := Personality(&specs.LinuxPersonality{Domain: specs.PerLinux}); n != 0 || err != nil {
		t.Errorf("LINUX: %d, %v", n, err)
	}
	for _, p := range []specs.LinuxPersonality{{}, {Domain: "SVR4"}, {Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"X"}}} {
		if n, err := Personality(&p); err == nil {
			t.Errorf("%+v: %d", p, n)
		}
	}
}

func TestMemoryPolicy(t *testing.T) {
	mode, nodes, err := MemoryPolicy(&specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0,2-3", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}})
	if mode != 3|1<<15 || err != nil || !bytes.Equal(nodes, binary.LittleEndian.AppendUint64(nil, 0b1101)) {
		t.Errorf("%#x, %v, %v", mode, nodes, err)
	}
	for _, mode := range MemoryPolicies() {
		if n, _, err := MemoryPolicy(&specs.LinuxMemoryPolicy{Mode: mode, Flags: MemoryPolicyFlags()}); err != nil || n>>13 != 7 {
			t.Errorf("%s with all flags: %#x, %v", mode, n, err)
		}
	}
	for _, p := range []specs.LinuxMemoryPolicy{{}, {Mode: "MPOL_X"}, {Mode: specs.MpolBind, Nodes: "a"}, {Mode: specs.MpolBind, Flags: []specs.MemoryPolicyFlagType{"X"}}} {
		if mode, _, err := MemoryPolicy(&p); err == nil {
			t.Errorf("%+v: %#x", p, mode)
		}
	}
}

func TestSet(t *testing.T) {
	for list, want := range map[string][]uint64{
		"": nil, "0": {1}, "0-3,7": {0x8f}, " 1 , 2": {6}, "63-64": {1 << 63, 1}, "0,0": {1}, "8191": append(make([]uint64, 127), 1<<63),
	} {
		var mask []byte
		for _, w := range want {
			mask = binary.LittleEndian.AppendUint64(mask, w)
		}
		if got, err := Set(list); !bytes.Equal(got, mask) || err != nil {
			t.Errorf("%q: %x, %v; want %x", list, got, err, mask)
		}
	}
	for _, list := range []string{"a", "1-", "-1", "3-1", "1-2-3", "8192", "0-99999999999", "0x1", "+1"} {
		if got, err := Set(list); err == nil {
			t.Errorf("%q: %x", list, got)
		}
	}
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"0-3,7", "", "8191", "1-", ",,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if mask, err := Set(list); err == nil && (len(mask)%8 != 0 || len(mask) > maxSet/8) {
			t.Errorf("%q: %x", list, mask)
		}
	})
}
