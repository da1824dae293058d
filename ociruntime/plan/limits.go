package plan

import (
	"slices"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/attribute"
	"berth/ociruntime/plan/number"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// limitProcess sets what only the host may raise: rlimits and the OOM score.
func (p *planner) limitProcess() {
	p.Group("cgroup")
	if p.userns {
		attribute.Schedule(p.Calls, p.Child().Value(), p.in.Spec.Process) // with the host's privileges
	}
	seen := map[string]bool{}
	for _, r := range p.in.Spec.Process.Rlimits {
		n, ok := number.Rlimit(r.Type)
		if !ok {
			p.Refuse("rlimit %s is unknown", r.Type)
			continue
		}
		if seen[r.Type] {
			p.Refuse("rlimit %s is given twice", r.Type)
		}
		seen[r.Type] = true
		soft, hard := r.Soft, r.Hard
		if r.Type == "RLIMIT_NOFILE" {
			soft, hard = max(soft, initFiles), max(hard, initFiles)
		}
		p.Do("limit %s to %d, hard %d", r.Type, soft, hard)
		p.Remedy("whoever starts the container may not have more: lower the limit (--ulimit), or give CAP_SYS_RESOURCE")
		p.Call("prlimit64", linux.SysPrlimit64, p.Child().Value(), program.Flags(uint64(n), r.Type), p.Words("rlimit", soft, hard).At(0), program.Int(0))
	}
	if !p.in.Rootless {
		attribute.Score(p.Calls, p.in.Spec.Process.OOMScoreAdj, func() program.Slot { return p.openProcOfInit("oom_score_adj", syscall.O_WRONLY) })
	}
}

// scoreSelf sets the OOM score before there is a child, which inherits it: a
// rootless builder may write its own file, not that of who has changed ids.
func (p *planner) scoreSelf() {
	if !p.in.Rootless {
		return
	}
	attribute.Score(p.Calls, p.in.Spec.Process.OOMScoreAdj, func() program.Slot {
		fd := p.Slot("oom_score_adj")
		p.Call("openat", syscall.SYS_OPENAT, program.Flags(fdcwd, "AT_FDCWD"), p.String("/proc/self/oom_score_adj"), program.Flags(syscall.O_WRONLY|syscall.O_CLOEXEC, "O_WRONLY"), program.Int(0)).To(fd)
		return fd
	})
}

// initFiles is how many files the init may need open while it builds the
// container: a lower limit must wait.
const initFiles = 4096

// limitFiles gives the limit of open files its own value if that is too low for
// the building. Lowering needs no privilege.
func (p *planner) limitFiles() {
	const name = "RLIMIT_NOFILE"
	limit := p.files.At(0)
	i := slices.IndexFunc(p.in.Spec.Process.Rlimits, func(r specs.POSIXRlimit) bool { return r.Type == name })
	switch {
	case i >= 0:
		r := p.in.Spec.Process.Rlimits[i]
		if min(r.Soft, r.Hard) >= initFiles {
			return
		}
		limit = p.Words("rlimit", r.Soft, r.Hard).At(0)
	case !p.manyFiles():
		return
	}
	p.Do("limit %s again", name)
	p.Call("prlimit64", linux.SysPrlimit64, program.Int(0), program.Flags(number.RlimitNofile, name), limit, program.Int(0))
}

// manyFiles says whether the making may pass the usual limit of open files.
func (p *planner) manyFiles() bool {
	n := len(p.mounts)
	for _, d := range p.devices {
		if d.bind || d.name == "" {
			n++
		}
	}
	return n > manyMounts
}

// raiseFiles raises the limit of open files as far as it goes; limitFiles gives
// it back.
func (p *planner) raiseFiles() {
	p.Do("raise the limit of open files")
	number := program.Flags(number.RlimitNofile, "RLIMIT_NOFILE")
	p.files = p.Words("files", 0, 0, 0)
	for _, at := range []int{8, 0} { // {soft, hard, hard}: the old limit and behind it the new
		p.Call("prlimit64", linux.SysPrlimit64, program.Int(0), number, program.Int(0), p.files.At(at))
	}
	p.Call("prlimit64", linux.SysPrlimit64, program.Int(0), number, p.files.At(8), program.Int(0))
}
