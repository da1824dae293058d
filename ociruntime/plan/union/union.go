// Package union makes the steps that mount a container's root: the union of the
// layers of its image under its writable layer.
//
// Level: R.
// Owns: the ways that kernels have to mount an overlay.
// May import: ociruntime/plan/call, ociruntime/program, internal/linux.
// Must not know: the OCI spec, what is done with the root.
package union

import (
	"strconv"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

// Data is how the mount of the data root is made, through which all layers and
// the writable layer are seen.
type Data struct {
	// Attr and Text are struct mount_attr for it, and how that prints. IDMap says
	// that the container's id map is among it.
	Attr  program.Arg
	Text  string
	IDMap bool
}

func (d Data) open(p *call.Calls, o *linux.Overlay) program.Slot {
	data := p.Slot("data")
	p.Do("open %s", o.Root)
	p.ClonePath(call.Cwd(), o.Root, false, data)
	// Private: a copy of a shared mount (the host's usually are) hands what is
	// mounted on it to the host, and cannot become a container's root.
	if d.IDMap {
		p.Do("map ids of layers and writable layer")
		p.Remedy("the file system of %s takes no id map: have it on ext4, xfs or btrfs, or use --userns host", o.Root)
	}
	p.SetAttr(data.Value(), false, d.Attr, d.Text)
	return data
}

// Detached mounts the union to the slot root.
func Detached(p *call.Calls, o *linux.Overlay, d Data, root program.Slot) {
	data := d.open(p, o)
	if o.Upper == "" && len(o.Lower) == 1 {
		p.Do("root is layer %s", o.Lower[0])
		p.ClonePath(data.Value(), o.Lower[0], false, root)
		return
	}
	// fsconfig takes at most 255 bytes a string: paths are relative to the data root.
	p.Do("union of %d layers as root", len(o.Lower))
	p.Call("fchdir", linux.SysFchdir, data.Value())
	var opts []string
	for _, l := range o.Lower {
		opts = append(opts, "lowerdir+="+l)
	}
	if o.Upper != "" {
		opts = append(opts, "upperdir="+o.Upper, "workdir="+o.Work)
	}
	if o.UserXattrs {
		opts = append(opts, "userxattr")
	}
	p.NewMount("overlay", "overlay", opts, 0, root)
	p.Call("chdir", syscall.SYS_CHDIR, p.String("/"))
}

// Attached is Detached for kernels whose overlayfs takes only layers that
// are attached somewhere (before Linux 6.15): for this the keeper goes into a
// mount namespace of its own and comes back. Before 6.7 overlayfs takes all
// layers in one string of at most a page, so they are named by the numbers of
// open files, relative to /proc/self/fd: from free on none is in use.
func Attached(p *call.Calls, o *linux.Overlay, d Data, free int, root program.Slot) {
	data := d.open(p, o)
	cwd, empty, rootPath := call.Cwd(), p.String(""), p.String(o.Root)
	home, zero := p.Slot("host-mounts"), program.Int(0)
	p.Do("attach layers in a mount namespace of the keeper's own")
	p.Call("openat", syscall.SYS_OPENAT, cwd, p.String("/proc/self/ns/mnt"), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"), zero).To(home)
	p.Call("unshare", linux.SysUnshare, program.Flags(linux.CloneNewns, "CLONE_NEWNS"))
	p.Call("mount_setattr", linux.SysMountSetattr, cwd, p.String("/"), program.Flags(linux.AtRecursive, "AT_RECURSIVE"), p.MountAttr(0, 0, linux.MsPrivate), program.Flags(call.MountAttrSize, "private"))
	p.Call("move_mount", linux.SysMoveMount, data.Value(), empty, cwd, rootPath, program.Flags(linux.MoveMountFEmpty, "F_EMPTY_PATH"))
	if o.Upper == "" && len(o.Lower) == 1 {
		p.Do("root is layer %s", o.Lower[0])
		p.ClonePath(data.Value(), o.Lower[0], false, root)
	} else {
		ofFiles(p, o, data, free)
		p.ClonePath(cwd, o.Root, false, root)
	}
	p.Do("go back to the host's mounts")
	p.Call("setns", linux.SysSetns, home.Value(), program.Flags(linux.CloneNewns, "CLONE_NEWNS"))
}

// ofFiles mounts the union on the data root.
func ofFiles(p *call.Calls, o *linux.Overlay, data program.Slot, first int) {
	if len(o.Lower) > linux.MaxLower {
		p.Refuse("the image has %d layers: overlayfs takes at most %d", len(o.Lower), linux.MaxLower)
		return
	}
	p.Do("union of %d layers as root", len(o.Lower))
	next, dir := first, p.Slot("layer")
	open := func(path string) string {
		p.Call("openat", syscall.SYS_OPENAT, data.Value(), p.String(path), program.Flags(linux.OPath|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, "O_PATH|O_DIRECTORY|O_NOFOLLOW"), program.Int(0)).To(dir)
		p.Call("dup3", linux.SysDup3, dir.Value(), program.Int(next), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
		p.Call("close", syscall.SYS_CLOSE, dir.Value())
		next++
		return strconv.Itoa(next - 1)
	}
	var lower []string
	for _, l := range o.Lower {
		lower = append(lower, open(l))
	}
	opts := "lowerdir=" + strings.Join(lower, ":")
	if o.Upper != "" {
		opts += ",upperdir=" + open(o.Upper) + ",workdir=" + open(o.Work)
	}
	if o.UserXattrs {
		opts += ",userxattr"
	}
	p.Call("chdir", syscall.SYS_CHDIR, p.String("/proc/self/fd"))
	p.Call("mount", syscall.SYS_MOUNT, p.String("overlay"), p.String(o.Root), p.String("overlay"), program.Int(0), p.String(opts))
	p.Call("close_range", linux.SysCloseRange, program.Int(first), program.Int(next-1), program.Int(0))
}
