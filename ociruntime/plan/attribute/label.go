package attribute

import (
	"syscall"

	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Labels are the open files through which a process tells the security modules
// what it is to be after execve.
type Labels struct {
	writes []labelWrite
}

type labelWrite struct {
	what, remedy, text string
	file               program.Slot
}

// OpenLabels opens them in the host's own proc file system, which nothing of a
// container can have covered (CVE-2019-16884, CVE-2025-52881), by the process
// that they are about: nobody else may write to them.
func OpenLabels(c *call.Calls, p *specs.Process) Labels {
	var l Labels
	if p.ApparmorProfile != "" {
		l.open(c, labelWrite{
			what: "set AppArmor profile " + p.ApparmorProfile, text: "exec " + p.ApparmorProfile,
			remedy: "the profile must be loaded, and the kernel have AppArmor: see aa-status(8), or leave process.apparmorProfile out",
		}, "/proc/self/attr/apparmor/exec")
	}
	if p.SelinuxLabel != "" {
		const remedy = "the policy must have the label, and the kernel SELinux: see sestatus(8), or leave process.selinuxLabel out"
		l.open(c, labelWrite{what: "set SELinux label " + p.SelinuxLabel, text: p.SelinuxLabel, remedy: remedy}, "/proc/self/attr/exec")
	}
	return l
}

func (l *Labels) open(c *call.Calls, w labelWrite, path string) {
	w.file = c.Slot("label")
	c.Do("%s", w.what)
	c.Remedy("%s", w.remedy)
	c.Call("openat", syscall.SYS_OPENAT, call.Cwd(), c.String(path), program.Flags(syscall.O_WRONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, "O_WRONLY|O_NOFOLLOW"), program.Int(0)).To(w.file)
	l.writes = append(l.writes, w)
}

// Write sets the labels. It comes before no_new_privs, which forbids most changes.
func (l Labels) Write(c *call.Calls) {
	for _, w := range l.writes {
		c.Do("%s", w.what)
		c.Remedy("%s", w.remedy)
		c.Call("write", syscall.SYS_WRITE, w.file.Value(), c.Bytes([]byte(w.text), w.text), program.Int(len(w.text)))
		c.Call("close", syscall.SYS_CLOSE, w.file.Value())
	}
}
