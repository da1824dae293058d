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
