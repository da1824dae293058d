// Package pull compares how berth, containerd and skopeo pull an image of six
// layers and 500 MB from a registry on loopback. It is a Go benchmark, as root:
//
//	go test ./bench/pull -bench . -benchtime 3x -run '^$'
//
// Each pull starts with an empty store on the disk of $TMPDIR; one in memory
// (/dev/shm) leaves out what the file system makes of files that come and go.
// cpu-s counts the puller and its children, not the registry.
//
// Level: L5.
// Owns: the image, made of files of this machine.
// May import: anything; it is tests only.
// Must not know: nothing.
package pull
