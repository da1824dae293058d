package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

var mountFlags = map[string]uintptr{
	"ro": syscall.MS_RDONLY, "nosuid": syscall.MS_NOSUID, "nodev": syscall.MS_NODEV, "noexec": syscall.MS_NOEXEC,
	"sync": syscall.MS_SYNCHRONOUS, "remount": syscall.MS_REMOUNT, "noatime": syscall.MS_NOATIME,
	"nodiratime": syscall.MS_NODIRATIME, "relatime": syscall.MS_RELATIME, "bind": syscall.MS_BIND,
	"rbind": syscall.MS_BIND | syscall.MS_REC, "private": syscall.MS_PRIVATE, "rprivate": syscall.MS_PRIVATE | syscall.MS_REC,
	"slave": syscall.MS_SLAVE, "rslave": syscall.MS_SLAVE | syscall.MS_REC, "shared": syscall.MS_SHARED,
	"rshared": syscall.MS_SHARED | syscall.MS_REC, "move": syscall.MS_MOVE, "rw": 0, "defaults": 0,
}

// mount lists the mounts, or makes one: mount [-t TYPE] [-o OPTIONS] [--bind] SOURCE TARGET.
func mount(e *env) error {
	var kind string
	var options, paths []string
	for i := 0; i < len(e.args); i++ {
		a := e.args[i]
		switch {
		case (a == "-t" || a == "-o") && i+1 == len(e.args):
			return usageError(a + " needs a value")
		case a == "-t":
			i++
			kind = e.args[i]
		case a == "-o":
			i++
			options = append(options, strings.Split(e.args[i], ",")...)
		case a == "-r":
			options = append(options, "ro")
		case strings.HasPrefix(a, "--") && mountFlags[a[2:]] != 0:
			options = append(options, a[2:])
		case strings.HasPrefix(a, "-"):
			return usageError("unknown option " + a)
		default:
			paths = append(paths, a)
		}
	}
	if len(paths) == 0 {
		return listMounts(e, kind)
	}
	flags := uintptr(0)
	var data []string
	for _, o := range options {
		f, ok := mountFlags[o]
		if !ok {
			data = append(data, o)
		}
		flags |= f
	}
	source, target := "none", paths[len(paths)-1]
	switch len(paths) {
	case 1:
	case 2:
		source = paths[0]
	default:
		return usageError("give a source and a target")
	}
	if err := syscall.Mount(source, target, kind, flags, strings.Join(data, ",")); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	// The kernel ignores the other flags of a new bind mount: set them on it now.
	if flags&syscall.MS_BIND != 0 && flags&^(syscall.MS_BIND|syscall.MS_REC) != 0 {
		if err := syscall.Mount("none", target, "", flags|syscall.MS_REMOUNT, ""); err != nil {
			return fmt.Errorf("set the options of %s: %w", target, err)
		}
	}
	return nil
}

func listMounts(e *env, kind string) error {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 4 || kind != "" && f[2] != kind {
			continue
		}
		fmt.Fprintf(e.out, "%s on %s type %s (%s)\n", unescape.Replace(f[0]), unescape.Replace(f[1]), f[2], f[3])
	}
	return nil
}
