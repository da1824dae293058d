package seccomp

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

func arg(index uint, op specs.LinuxSeccompOperator, value, two uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Op: op, Value: value, ValueTwo: two}
}

func call(act specs.LinuxSeccompAction, name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: act, Args: args}
}

var x86Archs = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}

// testProfiles have one property each. They have no rules with different
// actions that overlap, which libseccomp leaves to its own order.
var testProfiles = map[string]*specs.LinuxSeccomp{
	"deny list": {
		DefaultAction: specs.ActAllow, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{call(specs.ActErrno, "mount"), call(specs.ActKillProcess, "reboot"), call(specs.ActErrno, "no_such_call")},
	},
	"native only": {
		DefaultAction: specs.ActErrno,
		Syscalls:      []specs.LinuxSyscall{call(specs.ActAllow, "read"), call(specs.ActAllow, "write"), call(specs.ActAllow, "seccomp")},
	},
	"actions": {
		DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr(uint(38)), Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "read"), call(specs.ActLog, "write"), call(specs.ActTrap, "open"),
			{Names: []string{"close"}, Action: specs.ActTrace, ErrnoRet: ptr(uint(7))},
			{Names: []string{"stat"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(13))},
			call(specs.ActKill, "fork"), call(specs.ActKillThread, "vfork"), call(specs.ActKillProcess, "clone"),
		},
	},
	"operators": {
		DefaultAction: specs.ActErrno, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "read", arg(0, specs.OpEqualTo, 7, 0)),
			call(specs.ActAllow, "write", arg(0, specs.OpNotEqual, 7, 0)),
			call(specs.ActAllow, "open", arg(0, specs.OpLessThan, 7, 0)),
			call(specs.ActAllow, "close", arg(0, specs.OpLessEqual, 7, 0)),
			call(specs.ActAllow, "stat", arg(0, specs.OpGreaterThan, 7, 0)),
			call(specs.ActAllow, "fstat", arg(0, specs.OpGreaterEqual, 7, 0)),
			call(specs.ActAllow, "lstat", arg(0, specs.OpMaskedEqual, 0xff0, 0x120)),
			call(specs.ActAllow, "poll", arg(0, specs.OpMaskedEqual, 0xff0, 0)),
			call(specs.ActAllow, "lseek", arg(0, specs.OpMaskedEqual, 0xff, 0xf01)),
			call(specs.ActAllow, "mmap", arg(0, specs.OpMaskedEqual, 0, 0)),
		},
	},
	"64-bit values": {
		DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "read", arg(1, specs.OpEqualTo, 7<<32|9, 0)),
			call(specs.ActAllow, "write", arg(1, specs.OpNotEqual, 7<<32|9, 0)),
			call(specs.ActAllow, "open", arg(1, specs.OpLessThan, 7<<32|9, 0)),
			call(specs.ActAllow, "close", arg(1, specs.OpLessEqual, 7<<32|9, 0)),
			call(specs.ActAllow, "stat", arg(1, specs.OpGreaterThan, 7<<32|9, 0)),
			call(specs.ActAllow, "fstat", arg(1, specs.OpGreaterEqual, 7<<32|9, 0)),
			call(specs.ActAllow, "lstat", arg(1, specs.OpMaskedEqual, 0xf<<32|0xf, 7<<32|9)),
			call(specs.ActAllow, "poll", arg(1, specs.OpMaskedEqual, 1<<63|1, 0)),
		},
	},
	"conditions together": {
		DefaultAction: specs.ActErrno, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "read", arg(0, specs.OpEqualTo, 1, 0), arg(1, specs.OpGreaterThan, 5, 0), arg(2, specs.OpMaskedEqual, 3, 2)),
			call(specs.ActAllow, "read", arg(0, specs.OpEqualTo, 2, 0), arg(2, specs.OpNotEqual, 0, 0)),
		},
	},
	"repeated argument": {
		DefaultAction: specs.ActErrno, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "read", arg(0, specs.OpEqualTo, 1, 0), arg(0, specs.OpEqualTo, 2, 0), arg(1, specs.OpEqualTo, 9, 0)),
		},
	},
	"all values in two rules": {
		DefaultAction: specs.ActErrno, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "read", arg(0, specs.OpLessThan, 100, 0)), call(specs.ActAllow, "read", arg(0, specs.OpGreaterEqual, 100, 0)),
		},
	},
	"unconditional wins": {
		DefaultAction: specs.ActErrno, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActTrap, "read", arg(0, specs.OpEqualTo, 1, 0)), call(specs.ActAllow, "read"), call(specs.ActLog, "read"),
			call(specs.ActAllow, "write"), call(specs.ActTrap, "write", arg(0, specs.OpEqualTo, 1, 0)),
		},
	},
	"equal to the default": {
		DefaultAction: specs.ActErrno, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActErrno, "read"), call(specs.ActAllow, "read", arg(0, specs.OpEqualTo, 1, 0)),
		},
	},
	"by way of socketcall and ipc": {
		DefaultAction: specs.ActAllow, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{
			call(specs.ActErrno, "socket"), call(specs.ActErrno, "sendto"), call(specs.ActErrno, "shmget"), call(specs.ActErrno, "semtimedop"),
			call(specs.ActErrno, "bind", arg(0, specs.OpEqualTo, 1, 0)),
		},
	},
	"negative on 386": {
		DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "personality", arg(0, specs.OpEqualTo, ^uint64(0), 0))},
	},
	"default kills": {
		DefaultAction: specs.ActKill, Architectures: x86Archs,
		Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "read"), call(specs.ActAllow, "exit_group")},
	},
	"empty":        {DefaultAction: specs.ActAllow, Architectures: x86Archs},
	"empty, kills": {DefaultAction: specs.ActKill, Architectures: x86Archs},
}
