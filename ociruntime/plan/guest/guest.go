// Package guest makes the steps for a container that lives in a mount namespace
// of others: that of who makes it, or one by path.
//
// No mount is made in that namespace, whose other members would see it, and
// pivot_root(2) there would take away their root. The init mounts all in a
// namespace of its own, which passes away, and takes a copy of the finished tree
// with it, which is attached nowhere; its root is in that. The kernel keeps the tree as long
// as a process has its root there. The price: the tree is in no mount table, and
// neither the container nor the host can mount anything in it.
//
//	namespace of its own     mounts below the root, console, masks
//	open_tree(OPEN_TREE_CLONE|AT_RECURSIVE)
//	setns                    the namespace to live in
//	fchdir, chroot           into the copy
//
// Level: R.
// Owns: the way there, and how an exec finds it.
// May import: ociruntime/plan/call, ociruntime/program, internal/linux.
// Must not know: the OCI spec, what is mounted.
package guest

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

// Home opens the mount namespace of the process that runs this.
func Home(c *call.Calls) program.Arg {
	c.Do("open the mount namespace to live in")
	home := c.Slot("home-mounts")
	c.Call("openat", syscall.SYS_OPENAT, call.Cwd(), c.String("/proc/self/ns/mnt"), program.Flags(syscall.O_RDONLY|syscall.O_CLOEXEC, "O_RDONLY"), program.Int(0)).To(home)
	return home.Value()
}

// MoveIn takes the process from a mount namespace of its own to home. Its root
// becomes a copy of the tree of mounts at root.
func MoveIn(c *call.Calls, root, home program.Arg) (tree program.Slot) {
	tree = c.Slot("tree")
	c.Do("copy the tree of mounts")
	c.ClonePath(root, "", true, tree)
	c.Do("enter the mount namespace to live in")
	c.Remedy("it must be a namespace of type mount")
	c.Call("setns", linux.SysSetns, home, program.Flags(linux.CloneNewns, "CLONE_NEWNS"))
	Join(c, tree.Value())
	return tree
}

// Join makes the tree of a guest this process's root.
func Join(c *call.Calls, tree program.Arg) {
	c.Do("enter the root")
	c.Call("fchdir", linux.SysFchdir, tree)
	c.Call("chroot", syscall.SYS_CHROOT, c.String("."))
}

// OpenConsole opens the terminal again by its place in the tree: what was opened
// before belongs to mounts that have passed away, and has no name (ttyname(3)).
func OpenConsole(c *call.Calls, tree program.Slot) {
	c.Do("open /dev/console in the root")
	console := c.Slot("console-again")
	c.OpenIn(tree.Value(), "/dev/console", c.OpenHow(syscall.O_RDWR|syscall.O_NOCTTY, linux.ResolveInRoot|linux.ResolveNoSymlinks|linux.ResolveNoMagic, "O_RDWR|O_NOCTTY IN_ROOT NO_SYMLINKS"), console)
	for fd := range 3 {
		c.Call("dup3", linux.SysDup3, console.Value(), program.Int(fd), program.Int(0))
	}
}
