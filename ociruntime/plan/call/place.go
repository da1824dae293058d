package call

import (
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// PlaceIn opens dest below the directory root and makes it, a directory or an empty file, if
// there is none. found, if set, adds what is to be done with what was there.
func (p *Calls) PlaceIn(root program.Arg, dest string, how program.Arg, dir bool, found func(at program.Slot)) program.Slot {
	t := p.Slot("at-" + dest)
	have, missing := p.Label("have "+dest), p.Label("make "+dest)
	p.OpenIn(root, dest, how, t).Tolerate(syscall.ENOENT)
	p.IfEqual(t.Value(), program.Errno(syscall.ENOENT), missing)
	if found != nil {
		found(t)
	}
	p.Goto(have)
	p.Place(missing)
	parent := p.Slot("parent-of-" + dest)
	names := strings.Split(strings.TrimPrefix(dest, "/"), "/")
	for i, name := range names {
		p.OpenIn(root, "/"+strings.Join(names[:i], "/"), p.How(false), parent)
		if i < len(names)-1 || dir {
			p.Call("mkdirat", linux.SysMkdirat, parent.Value(), p.String(name), program.Flags(0o755, "0755")).Tolerate(syscall.EEXIST)
		} else {
			p.Call("mknodat", linux.SysMknodat, parent.Value(), p.String(name), program.Flags(linux.SIfreg|0o644, "S_IFREG|0644"), program.Int(0)).Tolerate(syscall.EEXIST)
		}
	}
	p.OpenIn(root, dest, how, t)
	p.Place(have)
	return t
}
