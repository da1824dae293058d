package linux

// Overlay is a union of directories, as overlayfs mounts it: lower directories
// that are never written and one upper directory that takes all changes.
type Overlay struct {
	// Root is an absolute host directory under which all the others lie. It is
	// seen through one (idmapped) mount, so the cost does not grow with the
	// number of layers.
	Root string
	// Lower holds paths relative to Root, topmost first. At least one.
	Lower []string
	// Upper and Work are paths relative to Root, on one file system. Both
	// empty: the union is read-only.
	Upper, Work string
}
