package attribute

import (
	"encoding/binary"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

// DropBounding takes all capabilities but those to keep out of the bounding set,
// up to the last one that the kernel knows.
func DropBounding(c *call.Calls, keep uint64, last int) {
	c.Do("drop capabilities from the bounding set")
	for i := 0; i <= last; i++ {
		if keep&(1<<i) != 0 {
			continue
		}
		c.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrCapbsetDrop, "PR_CAPBSET_DROP"), program.Flags(uint64(i), linux.CapabilityName(i)))
	}
}

// SetCapabilities sets three of the five sets of capabilities(7), a bit each.
func SetCapabilities(c *call.Calls, effective, permitted, inheritable uint64) {
	c.Do("set capabilities")
	le := binary.LittleEndian
	header := le.AppendUint32(le.AppendUint32(nil, linux.LinuxCapVersion3), 0)
	var data []byte
	for shift := 0; shift <= 32; shift += 32 {
		for _, set := range []uint64{effective, permitted, inheritable} {
			data = le.AppendUint32(data, uint32(set>>shift))
		}
	}
	c.Call("capset", linux.SysCapset, c.Buffer("caphdr", header).At(0), c.Bytes(data, "sets"))
}

// RaiseAmbient sets the ambient set.
func RaiseAmbient(c *call.Calls, ambient uint64, last int) {
	if ambient == 0 {
		return
	}
	c.Do("set ambient capabilities")
	for i := range last + 1 {
		if ambient&(1<<i) != 0 {
			zero := program.Int(0)
			c.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrCapAmbient, "PR_CAP_AMBIENT"), program.Flags(linux.PrCapAmbientRaise, "RAISE"), program.Flags(uint64(i), linux.CapabilityName(i)), zero, zero)
		}
	}
}
