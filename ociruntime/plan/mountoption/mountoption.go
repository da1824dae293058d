// Package mountoption sorts the option strings of a mount of the OCI runtime
// spec: by which system call each is applied. Nothing is known about the file
// system, so what is no option of every mount is an option of the file system.
//
// Level: R.
// Owns: the names of mount options and what they mean.
// May import: internal/linux.
// Must not know: containers, paths, the order of mounts.
package mountoption

import (
	"slices"
	"strings"

	"berth/internal/linux"
)

// Change is what happens to the attributes of a mount: struct mount_attr's
// attr_set and attr_clr (mount_setattr(2)).
type Change struct{ Set, Clear uint64 }

// IsZero says whether nothing is to be changed.
func (c Change) IsZero() bool { return c == Change{} }

// then is c followed by d: the later option wins.
func (c Change) then(d Change) Change {
	return Change{Set: c.Set&^d.Clear | d.Set, Clear: c.Clear&^d.Set | d.Clear}
}

// Propagation is a type of propagation to give to a mount (mount_namespaces(7)).
type Propagation struct {
	Type      uint64 // MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE
	Recursive bool
}

// Options are the options of one mount, sorted.
type Options struct {
	// Bind is a mount of what lies at the source; Recursive, of the mounts below it too.
	Bind, Recursive bool
	// Remount changes the mount that lies at the destination.
	Remount bool
	// Attr is for the mount itself, RecAttr for it and all mounts below it.
	Attr, RecAttr Change
	// Propagations are given one after the other: "rslave" and "rshared" is both.
	Propagations []Propagation
	// Super are options that every file system takes, of the file system itself.
	Super []string
	// Data are options of this file system: "size=64k".
	Data []string
	// IDMap shows files with mapped ids, RecIDMap those of the mounts below too.
	IDMap, RecIDMap bool
	// CopyUp fills a new tmpfs with what lay at the destination.
	CopyUp bool
}

// Parse sorts the options.
func Parse(options []string) Options {
	var o Options
	for _, name := range options {
		if !o.apply(name) {
			o.Data = append(o.Data, split(name)...)
		}
	}
	return o
}

// split parts an option at its commas, as mount(2) does: "size=1m,mode=755". A
// value in double quotes keeps them, and loses the quotes.
func split(option string) []string {
	var parts []string
	quoted, part := false, strings.Builder{}
	end := func() {
		if part.Len() > 0 {
			parts = append(parts, part.String())
			part.Reset()
		}
	}
	for _, r := range option {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			end()
		default:
			part.WriteRune(r)
		}
	}
	end()
	return parts
}

// Has says whether the file system is given a value for key.
func (o Options) Has(key string) bool {
	return slices.ContainsFunc(o.Data, func(d string) bool { return strings.HasPrefix(d, key+"=") })
}

// apply says whether name is an option of every mount.
func (o *Options) apply(name string) bool {
	if c, ok := attribute(name); ok {
		o.Attr = o.Attr.then(c)
		return true
	}
	if typ := propagation(name); typ != 0 {
		o.Propagations = append(o.Propagations, Propagation{Type: typ})
		return true
	}
	switch name {
	case "bind":
		o.Bind = true
	case "rbind":
		o.Bind, o.Recursive = true, true
	case "remount":
		o.Remount = true
	case "idmap":
		o.IDMap = true
	case "ridmap":
		o.IDMap, o.RecIDMap = true, true
	case "tmpcopyup":
		o.CopyUp = true
	case "sync", "dirsync", "lazytime", "mand":
		o.setSuper(name, "no"+name)
	case "async":
		o.setSuper(name, "sync")
	case "nolazytime", "nomand":
		o.setSuper(name, name[2:])
	case "defaults", "silent", "loud", "iversion", "noiversion":
		// The kernel's new mount calls know none of these: inode versions are kept
		// wherever a file system can, and what a mount says goes to its caller.
	default:
		return o.applyRecursive(name)
	}
	return true
}

// applyRecursive is apply for names that begin with an r for recursive.
func (o *Options) applyRecursive(name string) bool {
	rest, ok := strings.CutPrefix(name, "r")
	if !ok {
		return false
	}
	if c, ok := attribute(rest); ok {
		o.RecAttr = o.RecAttr.then(c)
		return true
	}
	typ := propagation(rest)
	if typ != 0 {
		o.Propagations = append(o.Propagations, Propagation{Type: typ, Recursive: true})
	}
	return typ != 0
}

// setSuper sets an option of the file system and forgets its opposite. Off is
// what a new file system is; only a remount must say so.
func (o *Options) setSuper(name, opposite string) {
	if name == "sync" {
		opposite = "async"
	}
	o.Super = slices.DeleteFunc(o.Super, func(s string) bool { return s == name || s == opposite })
	o.Super = append(o.Super, name)
}

// attribute is what an option does to a mount, in mount_setattr(2)'s words.
// relatime is the default of the kernel: no bit.
func attribute(name string) (Change, bool) {
	const atime = linux.MountAttrAtimeMask
	bit := uint64(0)
	switch name {
	case "ro", "rw":
		bit = linux.MountAttrRdonly
	case "nosuid", "suid":
		bit = linux.MountAttrNosuid
	case "nodev", "dev":
		bit = linux.MountAttrNodev
	case "noexec", "exec":
		bit = linux.MountAttrNoexec
	case "nodiratime", "diratime":
		bit = linux.MountAttrNodiratim
	case "nosymfollow", "symfollow":
		bit = linux.MountAttrNosymf
	case "noatime":
		return Change{Set: linux.MountAttrNoatime, Clear: atime}, true
	case "strictatime":
		return Change{Set: linux.MountAttrStrict, Clear: atime}, true
	case "relatime", "atime", "nostrictatime":
		return Change{Clear: atime}, true
	case "norelatime":
		// Without another the kernel takes relatime: there is nothing to go back to.
		return Change{}, true
	default:
		return Change{}, false
	}
	if name == "ro" || name[0] == 'n' {
		return Change{Set: bit}, true
	}
	return Change{Clear: bit}, true
}

// propagation is a type of propagation; 0 if name is none.
func propagation(name string) uint64 {
	switch name {
	case "private":
		return linux.MsPrivate
	case "slave":
		return linux.MsSlave
	case "shared":
		return linux.MsShared
	case "unbindable":
		return linux.MsUnbindable
	}
	return 0
}

// Known lists the names that mean something for every mount.
func Known() []string {
	names := []string{
		"bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup", "sync", "async", "dirsync", "lazytime", "nolazytime",
		"mand", "nomand", "defaults", "silent", "loud", "iversion", "noiversion",
	}
	for _, n := range []string{
		"ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nodiratime", "diratime", "nosymfollow", "symfollow",
		"noatime", "atime", "strictatime", "nostrictatime", "relatime", "norelatime", "private", "slave", "shared", "unbindable",
	} {
		names = append(names, n, "r"+n)
	}
	slices.Sort(names)
	return names
}
