package runc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/api/runc/command"
	"berth/ociruntime/bundle"
)

// defaultRoot is where root's containers are.
const defaultRoot = "/run/berth-oci"

// globals are the flags before the command.
type globals struct {
	flags *command.Flags

	debug, systemd, version           bool
	log, format, root, rootless, criu string
	fromSession                       bool // root is below $XDG_RUNTIME_DIR
}

func newGlobals(c *command.CLI) *globals {
	g := &globals{flags: &command.Flags{}, format: "text", root: defaultRoot, rootless: "auto"}
	if dir := c.Env("XDG_RUNTIME_DIR"); dir != "" && sessionsRoot(c.Env("USER")) {
		g.root, g.fromSession = dir+"/berth-oci", true
	}
	f := g.flags
	f.Bool(&g.debug, "debug", "write messages that help to find a mistake")
	f.String(&g.log, "log", "FILE", "append messages to FILE; errors go to standard error too")
	f.String(&g.format, "log-format", "FORMAT", "how messages are written: text or json")
	f.String(&g.root, "root", "DIR", "directory of the containers' states, gone after a reboot")
	f.Bool(&g.systemd, "systemd-cgroup", `let systemd make the cgroups: cgroupsPath is "slice:prefix:name"`)
	f.String(&g.rootless, "rootless", "WHEN", "go on without a cgroup that may not be made: true, false or auto")
	f.String(&g.criu, "criu", "PATH", "the program that checkpoint and restore use, if it is not criu in $PATH")
	f.Bool(&g.version, "version,v", "print the version")
	return g
}

// sessionsRoot says whether the user's own runtime directory holds the states,
// by runc's rule: for users, and for a root who is a user in disguise.
func sessionsRoot(user string) bool {
	if os.Geteuid() != 0 {
		return true
	}
	if user == "root" {
		return false
	}
	uids, err := os.ReadFile("/proc/self/uid_map")
	const all = "0 0 4294967295"
	return err == nil && strings.Join(strings.Fields(string(uids)), " ") != all
}

// apply checks the flags and puts them into c.
func (g *globals) apply(c *command.CLI) error {
	c.Log.Debug = g.debug
	switch g.format {
	case "", "text":
	case "json":
		c.Log.JSON = true
	default:
		return fmt.Errorf("--log-format %q is unknown: give text or json", g.format)
	}
	if g.log != "" {
		if err := c.Log.Open(g.log); err != nil {
			return err
		}
	}
	root, err := filepath.Abs(g.root)
	switch {
	case err != nil:
		return err
	case root == "/" || g.root == "":
		return errors.New("--root must not be /: give a directory such as " + defaultRoot)
	}
	if g.fromSession && !g.flags.Given("root") {
		if err := keepRoot(root); err != nil {
			return err
		}
	}
	c.Global = command.Global{Root: root, RootIsDefault: !g.flags.Given("root"), SystemdCgroup: g.systemd, Criu: g.criu}
	if g.rootless != "" && !strings.EqualFold(g.rootless, "auto") {
		b, err := strconv.ParseBool(g.rootless)
		if err != nil {
			return fmt.Errorf("--rootless %q is unknown: give true, false or auto", g.rootless)
		}
		c.Global.Rootless = &b
	}
	return nil
}

// keepRoot makes the directory with the sticky bit, which tells those who clean
// $XDG_RUNTIME_DIR to leave it (XDG Base Directory Specification).
func keepRoot(root string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return fmt.Errorf("make the state directory, which $XDG_RUNTIME_DIR names: %w", err)
	}
	if err := os.Chmod(root, 0o700|os.ModeSticky); err != nil {
		return fmt.Errorf("keep the state directory, which $XDG_RUNTIME_DIR names: %w", err)
	}
	return nil
}

// misplaced says so if a flag among args belongs before the command.
func (g *globals) misplaced(args []string) string {
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		for _, f := range g.flags.All() {
			if strings.HasPrefix(arg, "-") && f.Name == name {
				return fmt.Sprintf("; --%s stands before the command", name)
			}
		}
	}
	return ""
}

func checkID(id string) error { return bundle.CheckID(id) }
