package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// writeFloor writes the least that a kernel can do for the container of spec: a
// static program of system calls that makes its cgroup and joins it, clones into
// its namespaces, mounts what it mounts, executes its command, waits for the end
// and removes the cgroup. No limit, no device, no capability, no seccomp, no
// state, no check. It is for trusted bundles without user namespace only.
func writeFloor(file string, spec *specs.Spec, cgroup *cgroups.Cgroup) error {
	f := floor{Builder: program.NewBuilder(), spec: spec, cgroup: cgroup, cwd: program.Flags(1<<32+linux.AtFdcwd, "AT_FDCWD"), zero: program.Int(0)}
	if err := f.host(); err != nil {
		return err
	}
	f.init()
	prog, err := f.Assemble()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = prog.WriteTo(out)
	return errors.Join(err, out.Close())
}

type floor struct {
	*program.Builder
	spec      *specs.Spec
	cgroup    *cgroups.Cgroup
	cwd, zero program.Arg
	child     *program.Label
}

// host is the part of the parent.
func (f *floor) host() error {
	f.child = f.Label("child")
	dirs := f.cgroup.Dirs()
	for _, d := range dirs {
		f.mkdir(d.Path)
		if !strings.Contains(","+d.Name+",", ",cpuset,") {
			continue
		}
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} { // without them nothing may join
			b, err := os.ReadFile(filepath.Join(filepath.Dir(d.Path), name))
			if err != nil {
				return err
			}
			f.write(filepath.Join(d.Path, name), string(b))
		}
	}
	const flags = linux.CloneNewns | linux.CloneNewpid | linux.CloneNewnet | linux.CloneNewipc | linux.CloneNewuts
	args := f.Words("clone", flags, 0, 0, 0, uint64(syscall.SIGCHLD), 0, 0, 0, 0, 0, 0)
	f.Call("clone3", linux.SysClone3, args.At(0), program.Int(88)).To(f.Child())
	f.IfEqual(f.Child().Value(), f.zero, f.child)
	info := f.Words("siginfo", make([]uint64, 16)...)
	f.Call("waitid", linux.SysWaitid, program.Int(linux.PPid), f.Child().Value(), info.At(0), program.Int(linux.WExited), f.zero)
	for _, d := range dirs {
		f.Call("unlinkat", syscall.SYS_UNLINKAT, f.cwd, f.String(d.Path), program.Flags(0x200, "AT_REMOVEDIR"))
	}
	good := f.Label("good")
	f.IfEqual(info.Slot(24).Value(), f.zero, good) // si_status
	f.Call("exit_group", syscall.SYS_EXIT_GROUP, program.Int(1))
	f.Place(good)
	f.Call("exit_group", syscall.SYS_EXIT_GROUP, f.zero)
	return nil
}

// init is the part of the container's first process.
func (f *floor) init() {
	f.Place(f.child)
	for _, d := range f.cgroup.Dirs() {
		file := "tasks"
		if d.Name == "unified" || d.Name == "" {
			file = "cgroup.procs"
		}
		f.write(filepath.Join(d.Path, file), "0")
	}
	f.Call("unshare", linux.SysUnshare, program.Flags(linux.CloneNewcgroup, "CLONE_NEWCGROUP"))
	root := f.spec.Root.Path
	f.mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	f.mount(root, root, "", syscall.MS_BIND|syscall.MS_REC, "")
	for _, m := range f.spec.Mounts {
		f.specMount(filepath.Join(root, m.Destination), m)
	}
	f.Call("chdir", syscall.SYS_CHDIR, f.String(root))
	f.Call("pivot_root", linux.SysPivotRoot, f.String("."), f.String("."))
	f.Call("umount2", linux.SysUmount2, f.String("."), program.Int(linux.MntDetach))
	for _, name := range f.spec.Linux.MaskedPaths {
		switch st, err := os.Stat(name); {
		case err != nil: // not on this machine
		case st.IsDir():
			f.mount("tmpfs", name, "tmpfs", syscall.MS_RDONLY, "size=0k")
		default:
			f.mount("/proc/version", name, "", syscall.MS_BIND, "") // there is no /dev/null in it
		}
	}
	for _, name := range f.spec.Linux.ReadonlyPaths {
		if _, err := os.Stat(name); err == nil {
			f.mount(name, name, "", syscall.MS_BIND|syscall.MS_REC, "")
			f.mount("none", name, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY|syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "")
		}
	}
	p := f.spec.Process
	f.Call("execve", syscall.SYS_EXECVE, f.String(p.Args[0]), f.Strings(p.Args, "argv"), f.Strings(p.Env, "env"))
}

// specMount mounts m at dir; it makes the directories that lie in file systems
// it has mounted before.
func (f *floor) specMount(dir string, m specs.Mount) {
	if strings.HasPrefix(m.Destination, "/dev/") {
		f.mkdir(dir)
	}
	if m.Type == "cgroup" {
		f.mount("tmpfs", dir, "tmpfs", 0, "mode=755")
		for _, d := range f.cgroup.Dirs() {
			at := filepath.Join(dir, d.Name)
			if d.Name != "" {
				f.mkdir(at)
			}
			f.mount(d.Path, at, "", syscall.MS_BIND, "")
		}
		return
	}
	flags, data := uintptr(0), []string(nil)
	for _, o := range m.Options {
		known, ok := map[string]uintptr{
			"nosuid": syscall.MS_NOSUID, "noexec": syscall.MS_NOEXEC, "nodev": syscall.MS_NODEV, "ro": syscall.MS_RDONLY, "strictatime": syscall.MS_STRICTATIME,
		}[o]
		if !ok {
			data = append(data, o)
		}
		flags |= known
	}
	f.mount(m.Source, dir, m.Type, flags, strings.Join(data, ","))
}

func (f *floor) mkdir(dir string) {
	f.Call("mkdirat", linux.SysMkdirat, f.cwd, f.String(dir), program.Int(0o755))
}

func (f *floor) mount(source, target, fstype string, flags uintptr, data string) {
	f.Do("mount %s at %s", source, target)
	f.Call("mount", syscall.SYS_MOUNT, f.String(source), f.String(target), f.String(fstype), program.Int(int(flags)), f.String(data))
}

func (f *floor) write(file, text string) {
	fd := f.Slot("file")
	f.Do("write %s", file)
	f.Call("openat", syscall.SYS_OPENAT, f.cwd, f.String(file), program.Int(syscall.O_WRONLY|syscall.O_CLOEXEC), f.zero).To(fd)
	f.Call("write", syscall.SYS_WRITE, fd.Value(), f.Bytes([]byte(text), text), program.Int(len(text)))
	f.Call("close", syscall.SYS_CLOSE, fd.Value())
}
