package layer

import (
	"path"
	"strings"
)

const (
	maxName = 255  // NAME_MAX
	maxPath = 4095 // PATH_MAX without its NUL
	// maxDepth bounds the directories above an entry. Real images stay below
	// 100; tools that walk a tree hold an open file per level.
	maxDepth = 512
	// maxLinks is the kernel's own bound of symbolic links in one path.
	maxLinks = 40
)

// cleanName returns the path of a tar entry relative to the layer's root,
// without "." components and repeated slashes; "." is the root.
func cleanName(name string, absolute bool) (string, error) {
	if name == "" {
		return "", refuse("name is empty")
	}
	if name[0] == '/' {
		rel := strings.TrimLeft(name, "/")
		if rel == "" {
			return ".", nil // some builders write the root so
		}
		if !absolute {
			return "", refuse("name is absolute")
		}
		name = rel
	}
	depth := 0
	for rest := name; rest != ""; {
		var component string
		component, rest, _ = strings.Cut(rest, "/")
		if component == ".." {
			return "", refuse(`name has a ".." component`)
		}
		if len(component) > maxName {
			return "", refuse("name has a component longer than %d bytes", maxName)
		}
		depth++
	}
	if len(name) > maxPath || depth > maxDepth {
		return "", refuse("name is too long: at most %d bytes and %d components", maxPath, maxDepth)
	}
	return path.Clean(name), nil
}

// split cuts a clean path into its directory and last component.
func split(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return ".", name
	}
	return name[:i], name[i+1:]
}

// join puts a component below a clean path.
func join(dir, base string) string {
	if dir == "." {
		return base
	}
	return dir + "/" + base
}

// within tells whether a clean path is dir or lies below it.
func within(name, dir string) bool {
	return len(name) >= len(dir) && name[:len(dir)] == dir && (len(name) == len(dir) || name[len(dir)] == '/')
}
