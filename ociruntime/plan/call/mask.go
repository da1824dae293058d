package call

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// Masks are what hides files of the file system below Root.
type Masks struct {
	Root program.Arg
	// Null is a mount of the null device, for files. Attached says that it has a
	// place already: one that has none can only be moved (before Linux 6.15).
	Null     program.Arg
	Attached bool
	// Empty are the options of the tmpfs for directories.
	Empty []string
}

// Mask hides what lies at file, if anything does: a file behind the null device,
// a directory behind an empty one.
func (p *Calls) Mask(m Masks, file string) {
	p.Do("mask %s", file)
	t, cover := p.Slot("at-"+file), p.Slot("cover-"+file)
	isFile, done := p.Label("file "+file), p.Label("after "+file)
	dirHow := p.OpenHow(linux.OPath|syscall.O_DIRECTORY, linux.ResolveInRoot|linux.ResolveNoMagic, "O_PATH|O_DIRECTORY IN_ROOT")
	p.OpenIn(m.Root, file, dirHow, t).Tolerate(syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES)
	p.IfEqual(t.Value(), program.Errno(syscall.ENOENT), done)
	p.IfEqual(t.Value(), program.Errno(syscall.EACCES), done)
	p.IfEqual(t.Value(), program.Errno(syscall.ENOTDIR), isFile)
	const attrs = linux.MountAttrRdonly | linux.MountAttrNosuid | linux.MountAttrNodev | linux.MountAttrNoexec
	p.NewMount("tmpfs", "tmpfs", m.Empty, attrs, cover)
	p.Move(cover.Value(), t)
	p.Goto(done)
	p.Place(isFile)
	p.OpenIn(m.Root, file, p.How(false), t)
	p.coverFile(m, t, cover)
	p.Place(done)
}

func (p *Calls) coverFile(m Masks, t, cover program.Slot) {
	clone := p.ClonePath(m.Null, "", false, cover)
	if m.Attached {
		p.Move(cover.Value(), t)
		return
	}
	first, done := p.Label("first mask"), p.Label("masked")
	clone.Tolerate(syscall.EINVAL)
	p.IfEqual(cover.Value(), program.Errno(syscall.EINVAL), first)
	p.Move(cover.Value(), t)
	p.Goto(done)
	p.Place(first)
	p.Move(m.Null, t)
	p.Place(done)
}

// Protect makes what lies at file read-only, with all mounts below it, by
// binding it over itself.
func (p *Calls) Protect(root program.Arg, file string) {
	p.Do("make %s read-only", file)
	t, cover, done := p.Slot("at-"+file), p.Slot("cover-"+file), p.Label("after "+file)
	p.OpenIn(root, file, p.How(false), t).Tolerate(syscall.ENOENT)
	p.IfEqual(t.Value(), program.Errno(syscall.ENOENT), done)
	p.ClonePath(t.Value(), "", true, cover)
	p.SetAttr(cover.Value(), true, p.MountAttr(linux.MountAttrRdonly, 0, 0), "ro")
	p.Move(cover.Value(), t)
	p.Place(done)
}
