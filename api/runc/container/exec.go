package container

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/api/runc/command"
	"berth/internal/linux"
	"berth/ociruntime/bundle"
	"berth/ociruntime/standalone"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// execFailed is runc's exit code when the process could not be started.
const execFailed = 255

// execFlags are the flags of exec that change the process.
type execFlags struct {
	document        string
	cwd, user       string
	env, gids, caps []string
	tty, noNewPrivs bool
	apparmor, label string
	setPrivs        func() bool // --no-new-privs was given
}

// Exec runs a further process in a container.
func Exec() command.Command {
	return command.Command{
		Name: "exec", Args: "ID COMMAND [ARG...] | --process FILE ID", Min: 1, Max: -1, Container: true, ArgsEndFlags: true,
		Summary: "Run a further process in a container",
		Help: `The process is the container's own with what the flags change: its user, capabilities
and limits are those of config.json, its environment too. Or FILE describes it whole,
as config.json does under "process".`,
		Examples: []string{
			"berth-oci exec web ps",
			"berth-oci exec -t -e TERM=xterm -u 1000:1000 --cwd /tmp web sh",
			"berth-oci exec --process process.json --detach --pid-file /run/p.pid web",
		},
		Failed:    execFailed,
		ExitCodes: processCodes + "  255    the process could not be started; the reason is on standard error and in --log\n",
		Setup: func(f *command.Flags) command.Func {
			var a standalone.ExecArgs
			var e execFlags
			e.define(f)
			processFlags(f, &a.ProcessArgs)
			f.Bool(&a.Detach, "detach,d", "do not wait for the process")
			f.Strings(&a.Cgroup, "cgroup", "PATH", "run it in this cgroup below the container's; with cgroup v1 as CONTROLLER[,CONTROLLER]:PATH; may be repeated")
			f.Bool(&a.IgnorePaused, "ignore-paused", "exec in a paused container too; it will wait")
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				if err := checkCgroups(a.Cgroup); err != nil {
					return 0, err
				}
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				if a.Process, err = e.process(c, rt, args); err != nil {
					return 0, err
				}
				code, err := rt.Exec(ctx, args[0], a)
				return code, toEngines(err)
			}
		},
	}
}

func (e *execFlags) define(f *command.Flags) {
	f.String(&e.document, "process,p", "FILE", "a document that describes the process; flags that change one have no effect then")
	f.String(&e.cwd, "cwd", "DIR", "working directory in the container")
	f.Strings(&e.env, "env,e", "NAME=VALUE", "set an environment variable; may be repeated")
	f.Bool(&e.tty, "tty,t", "give the process a terminal")
	f.String(&e.user, "user,u", "UID[:GID]", "user and group, as numbers")
	f.Strings(&e.gids, "additional-gids,g", "GID", "a further group, as number; may be repeated")
	f.Strings(&e.caps, "cap,c", "CAP", "add a capability, such as CAP_NET_ADMIN; may be repeated")
	f.Bool(&e.noNewPrivs, "no-new-privs", "the process gains no privileges by execve")
	f.String(&e.apparmor, "apparmor", "PROFILE", "AppArmor profile")
	f.String(&e.label, "process-label", "LABEL", "SELinux label")
	e.setPrivs = func() bool { return f.Given("no-new-privs") }
}

// process describes what to run.
func (e *execFlags) process(c *command.CLI, rt command.Runtime, args []string) (*specs.Process, error) {
	if e.document != "" {
		p, warnings, err := bundle.LoadProcess(e.document)
		warn(c, warnings)
		return p, err
	}
	if len(args) < 2 {
		return nil, errors.New("exec needs a command after the id, or --process FILE")
	}
	s, err := rt.Spec(args[0])
	if err != nil {
		return nil, toEngines(err)
	}
	p := s.Process
	if p == nil {
		return nil, fmt.Errorf("container %s has no process that exec could take over: give --process FILE", args[0])
	}
	if err := e.change(p, args[1:]); err != nil {
		return nil, err
	}
	warnings, err := bundle.CheckProcess(p)
	warn(c, warnings)
	return p, err
}

// change makes the container's process the one that the flags describe.
func (e *execFlags) change(p *specs.Process, args []string) (err error) {
	p.Args, p.Terminal = args, e.tty
	p.Env = append(p.Env, e.env...)
	if e.cwd != "" {
		p.Cwd = e.cwd
	}
	if e.apparmor != "" {
		p.ApparmorProfile = e.apparmor
	}
	if e.label != "" {
		p.SelinuxLabel = e.label
	}
	if e.setPrivs() {
		p.NoNewPrivileges = e.noNewPrivs
	}
	for _, name := range e.caps {
		if err := addCapability(p, name); err != nil {
			return err
		}
	}
	if e.user != "" {
		uid, gid, both := strings.Cut(e.user, ":")
		if p.User.UID, err = parseID("--user", uid); err != nil {
			return err
		}
		if both {
			if p.User.GID, err = parseID("--user", gid); err != nil {
				return err
			}
		}
	}
	for _, g := range e.gids {
		gid, err := parseID("--additional-gids", g)
		if err != nil {
			return err
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, gid)
	}
	return nil
}

// addCapability adds to the sets that runc adds to: ambient ones only where
// there are inheritable ones, without which the kernel refuses them.
func addCapability(p *specs.Process, name string) error {
	if !slices.Contains(linux.Capabilities(), name) {
		return fmt.Errorf("--cap %q is no capability: give one such as CAP_NET_ADMIN", name)
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	c := p.Capabilities
	c.Bounding = append(c.Bounding, name)
	c.Effective = append(c.Effective, name)
	c.Permitted = append(c.Permitted, name)
	if c.Inheritable != nil {
		c.Ambient = append(c.Ambient, name)
	}
	return nil
}

// parseID reads an id as it is written in full: no sign, no space, no octal.
// The last one is none: the kernel takes it for "leave it as it is".
func parseID(flag, s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != s || n == 1<<32-1 {
		return 0, fmt.Errorf("%s: %q is no id: give a number from 0 to 4294967294", flag, s)
	}
	return uint32(n), nil
}

// checkCgroups checks the form of --cgroup: one path, or paths for controllers.
func checkCgroups(paths []string) error {
	seen := map[string]bool{}
	for _, p := range paths {
		controllers, _, v1 := strings.Cut(p, ":")
		if !v1 {
			if len(paths) > 1 {
				return fmt.Errorf("--cgroup %s: only one path may stand without a controller", p)
			}
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			switch {
			case c == "":
				return fmt.Errorf("--cgroup %s: a controller's name is empty", p)
			case seen[c]:
				return fmt.Errorf("--cgroup %s: controller %s is there twice", p, c)
			}
			seen[c] = true
		}
	}
	return nil
}

func warn(c *command.CLI, warnings []string) {
	for _, w := range warnings {
		c.Log.Warn(w)
	}
}
