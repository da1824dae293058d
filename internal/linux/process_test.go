package linux

import (
	"syscall"
	"testing"
)

func TestParseSignal(t *testing.T) {
	tests := []struct {
		in   string
		want syscall.Signal
		ok   bool
	}{
		{"SIGTERM", syscall.SIGTERM, true},
		{"kill", syscall.SIGKILL, true},
		{"9", 9, true},
		{"SIGRTMIN+3", 37, true},
		{"RTMAX", 64, true},
		{"RTMAX-1", 63, true},
		{"RTMIN", 34, true},
		{"0", 0, false},
		{"65", 0, false},
		{"-1", 0, false},
		{"", 0, false},
		{"SIGNOPE", 0, false},
		{"RTMIN+40", 0, false},
		{"RTMAX+1", 0, false},
		{"RTMINx", 0, false},
	}
	for _, tt := range tests {
		if got, ok := ParseSignal(tt.in); ok != tt.ok || ok && got != tt.want {
			t.Errorf("ParseSignal(%q) = %d, %v; want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestCapability(t *testing.T) {
	for name, want := range map[string]int{"CAP_CHOWN": 0, "CAP_SYS_ADMIN": CapSysAdmin, "CAP_MKNOD": CapMknod, "CAP_SETFCAP": 31, "CAP_CHECKPOINT_RESTORE": 40} {
		if n, ok := Capability(name); n != want || !ok || CapabilityName(n) != name {
			t.Errorf("%s is %d, %v; %d is %s", name, n, ok, n, CapabilityName(n))
		}
	}
	if n, ok := Capability("chown"); ok {
		t.Errorf("chown is %d", n)
	}
	if CapabilityName(63) != "63" || len(Capabilities()) != 41 {
		t.Error("capabilities that have no name yet")
	}
	if last, err := LastCap(); err != nil || last < 40 {
		t.Errorf("the kernel has capabilities up to %d, %v", last, err)
	}
}
