package facts

import specs "github.com/opencontainers/runtime-spec/specs-go"

// ExecProcess is the process of an exec with what its document does not say
// taken from the container's first process, as runc does: above all what confines it.
func ExecProcess(own, first *specs.Process) *specs.Process {
	p := *own
	if first == nil {
		return &p
	}
	if p.Capabilities == nil {
		p.Capabilities = first.Capabilities
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = first.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = first.SelinuxLabel
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = first.Rlimits
	}
	if p.Scheduler == nil {
		p.Scheduler = first.Scheduler
	}
	if p.IOPriority == nil {
		p.IOPriority = first.IOPriority
	}
	if p.ExecCPUAffinity == nil {
		p.ExecCPUAffinity = first.ExecCPUAffinity
	}
	if p.User.Umask == nil {
		p.User.Umask = first.User.Umask
	}
	return &p
}
