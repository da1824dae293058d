package request

import (
	"fmt"
	"strings"

	"berth/cli/client"
	"berth/cli/command"
)

// Attach says which streams the command line joins to the container.
type Attach struct{ Stdin, Stdout, Stderr bool }

// Build makes the request from the flags and the arguments IMAGE [COMMAND...].
// The errors are the user's to correct and name the flag.
func (f *Flags) Build(args []string, detach bool) (*client.CreateRequest, Attach, error) {
	var r client.CreateRequest
	if err := f.check(args, detach); err != nil {
		return nil, Attach{}, err
	}
	attach, err := f.process.streams(detach)
	if err != nil {
		return nil, Attach{}, err
	}
	r.Image, r.Cmd = args[0], args[1:]
	r.Tty, r.OpenStdin = f.process.tty, f.process.interactive
	r.AttachStdin, r.AttachStdout, r.AttachStderr = attach.Stdin, attach.Stdout, attach.Stderr
	r.StdinOnce = r.OpenStdin && r.AttachStdin
	steps := []func(*client.CreateRequest) error{
		f.setProcess, f.setEnvironment, f.setIsolation, f.setSecurity,
		f.limits.setMemory, f.setCPU, f.setBlkio, f.setDevices, f.setStorage, f.setNetwork,
	}
	for _, step := range steps {
		if err := step(&r); err != nil {
			return nil, Attach{}, &command.Exit{Code: command.BadInput, Err: err}
		}
	}
	return &r, attach, nil
}

// check tests what one flag alone does not tell.
func (f *Flags) check(args []string, detach bool) error {
	p := &f.process
	switch {
	case args[0] == "":
		return command.BadUsage("the image's name is empty: give one, as debian:12")
	case f.Pull != "missing" && f.Pull != "always" && f.Pull != "never":
		return command.BadUsage("invalid --pull %q: give always, missing or never", f.Pull)
	case p.rm && p.restart != "no" && p.restart != "":
		return command.BadUsage("--rm and --restart %s contradict each other: leave one out", p.restart)
	case detach && len(p.attach) > 0:
		return command.BadUsage("--detach and --attach contradict each other: leave one out")
	}
	return nil
}

func (p *processFlags) streams(detach bool) (Attach, error) {
	a := Attach{Stdin: p.interactive, Stdout: true, Stderr: true}
	if detach {
		return Attach{}, nil
	}
	if len(p.attach) == 0 {
		return a, nil
	}
	a = Attach{Stdin: false}
	for _, s := range p.attach {
		switch strings.ToLower(s) {
		case "stdin":
			a.Stdin = true
		case "stdout":
			a.Stdout = true
		case "stderr":
			a.Stderr = true
		default:
			return a, command.BadUsage("invalid --attach %q: give stdin, stdout or stderr", s)
		}
	}
	return a, nil
}

func (f *Flags) setProcess(r *client.CreateRequest) error {
	p := &f.process
	r.User, r.WorkingDir, r.StopSignal = p.user, p.workdir, p.stopSignal
	r.Hostname, r.Domainname = p.hostname, p.domainname
	if p.workdir != "" && !strings.HasPrefix(p.workdir, "/") {
		return fmt.Errorf("invalid --workdir %q: it is a path in the container and must begin with /", p.workdir)
	}
	if f.fs.Changed("entrypoint") {
		r.Entrypoint = []string{p.entrypoint} // an empty one clears the image's
	}
	if f.fs.Changed("stop-timeout") {
		r.StopTimeout = &p.stopTimeout
	}
	if f.fs.Changed("init") {
		r.HostConfig.Init = &p.init
	}
	r.HostConfig.AutoRemove = p.rm
	r.HostConfig.GroupAdd = p.groups
	r.HostConfig.ContainerIDFile = f.CIDFile
	policy, err := restartPolicy(p.restart)
	r.HostConfig.RestartPolicy = policy
	return err
}

func (f *Flags) setEnvironment(r *client.CreateRequest) (err error) {
	p := &f.process
	if r.Env, err = Environment(p.envFiles, p.env); err != nil {
		return err
	}
	if r.Labels, err = labels(p.labelFiles, p.labels); err != nil {
		return err
	}
	if r.HostConfig.Annotations, err = pairs("annotation", p.annotations); err != nil {
		return err
	}
	r.HostConfig.Sysctls, err = pairs("sysctl", f.isolation.sysctls)
	return err
}

func (f *Flags) setIsolation(r *client.CreateRequest) error {
	i, h := &f.isolation, &r.HostConfig
	h.CapAdd, h.CapDrop, h.Privileged = i.capAdd, i.capDrop, i.privileged
	h.UsernsMode, h.PidMode, h.IpcMode, h.UTSMode = i.userns, i.pid, i.ipc, i.uts
	h.CgroupnsMode, h.CgroupParent = i.cgroupns, i.cgroupParent
	modes := []struct {
		flag, value string
		allowed     []string
		container   bool
	}{
		{"userns", i.userns, []string{"host", "private"}, false},
		{"pid", i.pid, []string{"host", "private"}, true},
		{"ipc", i.ipc, []string{"private", "none", "shareable", "host"}, true},
		{"uts", i.uts, []string{"host", "private"}, false},
		{"cgroupns", i.cgroupns, []string{"private", "host"}, false},
	}
	for _, m := range modes {
		if err := checkMode(m.flag, m.value, m.allowed, m.container); err != nil {
			return err
		}
	}
	return nil
}

func checkMode(flag, value string, allowed []string, container bool) error {
	if value == "" {
		return nil
	}
	for _, a := range allowed {
		if a == value {
			return nil
		}
	}
	words := strings.Join(allowed, ", ")
	if container {
		if name, ok := strings.CutPrefix(value, "container:"); ok && name != "" {
			return nil
		}
	}
	return fmt.Errorf("invalid --%s %q: give one of %s", flag, value, words)
}

// setSecurity reads seccomp profiles: the file is the caller's, not the daemon's.
func (f *Flags) setSecurity(r *client.CreateRequest) error {
	for _, o := range f.isolation.securityOpts {
		if o == "systempaths=unconfined" {
			r.HostConfig.MaskedPaths, r.HostConfig.ReadonlyPaths = &[]string{}, &[]string{}
			continue
		}
		o, err := securityOption(o)
		if err != nil {
			return err
		}
		r.HostConfig.SecurityOpt = append(r.HostConfig.SecurityOpt, o)
	}
	return nil
}

func (f *Flags) setStorage(r *client.CreateRequest) (err error) {
	s, h := &f.storage, &r.HostConfig
	h.ReadonlyRootfs = s.readOnly
	if h.ShmSize, err = bytesOf("shm-size", s.shmSize, 1); err != nil {
		return err
	}
	for _, v := range s.volumes {
		if err := addVolume(r, v); err != nil {
			return err
		}
	}
	for _, m := range s.mounts {
		parsed, err := parseMount(m)
		if err != nil {
			return err
		}
		h.Mounts = append(h.Mounts, parsed)
	}
	for _, t := range s.tmpfs {
		path, options, _ := strings.Cut(t, ":")
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("invalid --tmpfs %q: the path in the container must begin with /", t)
		}
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[path] = options
	}
	return nil
}
