package seccomp

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// compilerVersion is part of every key: a filter of another compiler is not
// found. Raise it with every change of what Compile gives; TestCompilerVersion
// notices.
const compilerVersion = 2

// diskEntries bounds a directory. A filter takes 3 kB, a long one 32.
const diskEntries = 128

// DiskCache keeps compiled filters in files, for programs that run once for a
// container. Two keys lead to a filter: the bytes of a profile, which need not
// be decoded then, and its content.
//
//	DIR/<key in hex>   magic, flags, instructions, SHA-256 of key and these
//
// What is there is exactly what [Compile] gave: the key is a digest of the
// profile, the architecture and compilerVersion, and a file with a wrong bit
// counts as absent. The directory is used only if it belongs to this user and
// nobody else may enter it. A file is written beside its name and renamed. A
// cache that cannot be read or written is no error: the profile is compiled.
type DiskCache struct {
	// Dir need not exist, but what it is in must; empty means no cache.
	Dir string
}

// Find returns the filter of a profile that is still JSON, linux.seccomp as it
// stands in config.json, if Add was told of it.
func (c DiskCache) Find(raw []byte, goarch string) (Filter, bool) {
	if c.Dir == "" {
		return Filter{}, false
	}
	return c.read(rawKey(raw, goarch))
}

// Add tells the cache what [Compile] gave for a profile that was read from raw.
func (c DiskCache) Add(raw []byte, goarch string, f Filter) {
	if c.Dir != "" {
		_ = c.write(rawKey(raw, goarch), f) // only costs the next one time
	}
}

func rawKey(raw []byte, goarch string) [sha256.Size]byte {
	h := sha256.New()
	h.Write(keyPrefix("raw", goarch))
	h.Write(raw)
	return [sha256.Size]byte(h.Sum(nil))
}

// Compile returns what [Compile] does.
func (c DiskCache) Compile(p *specs.LinuxSeccomp, goarch string) (Filter, error) {
	h := sha256.New()
	h.Write(keyPrefix("profile", goarch))
	d := digest(p, goarch)
	h.Write(d[:])
	return c.compile([sha256.Size]byte(h.Sum(nil)), func() (Filter, error) { return Compile(p, goarch) })
}

// keyPrefix holds what a filter depends on besides the profile, each part of known length.
func keyPrefix(kind, goarch string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, compilerVersion)
	b = append(append(b, kind...), 0)
	return append(append(b, goarch...), 0)
}

func (c DiskCache) compile(key [sha256.Size]byte, compile func() (Filter, error)) (Filter, error) {
	if c.Dir == "" {
		return compile()
	}
	if f, ok := c.read(key); ok {
		return f, nil
	}
	f, err := compile()
	if err != nil {
		return Filter{}, err
	}
	_ = c.write(key, f) // only costs the next one time
	return f, nil
}

// Layout of a file.
const (
	diskMagic  = "berthbpf"
	diskHeader = len(diskMagic) + 4 // and the flags
	diskLeast  = diskHeader + sha256.Size
	diskMost   = diskLeast + 8*maxInsns
)

func encodeFilter(key [sha256.Size]byte, f Filter) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(diskMagic), uint32(f.Flags))
	b = append(b, f.Bytes()...)
	sum := checksum(key, b)
	return append(b, sum[:]...)
}

// decodeFilter returns false for anything but the result of encodeFilter for this key.
func decodeFilter(key [sha256.Size]byte, b []byte) (Filter, bool) {
	if len(b) < diskLeast || len(b) > diskMost || (len(b)-diskLeast)%8 != 0 {
		return Filter{}, false
	}
	b, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if want := checksum(key, b); !bytes.Equal(sum, want[:]) || string(b[:len(diskMagic)]) != diskMagic {
		return Filter{}, false
	}
	f := Filter{Flags: uint(binary.LittleEndian.Uint32(b[len(diskMagic):]))}
	f.Insns = make([]bpf.RawInstruction, 0, len(b)/8)
	for b = b[diskHeader:]; len(b) > 0; b = b[8:] {
		f.Insns = append(f.Insns, bpf.RawInstruction{
			Op: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return f, true
}

func checksum(key [sha256.Size]byte, b []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(key[:])
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}

// read speaks to the kernel itself: package os would set up its poller first,
// which takes longer than all of this.
func (c DiskCache) read(key [sha256.Size]byte) (Filter, bool) {
	dir, ok := c.open()
	if !ok {
		return Filter{}, false
	}
	defer syscall.Close(dir)
	fd, err := syscall.Openat(dir, hex.EncodeToString(key[:]), syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return Filter{}, false
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil || st.Size > int64(diskMost) {
		return Filter{}, false
	}
	b := make([]byte, st.Size)
	if n, err := syscall.Read(fd, b); err != nil || n != len(b) {
		return Filter{}, false
	}
	return decodeFilter(key, b)
}

// open returns the directory if its files can only be this user's own.
func (c DiskCache) open() (fd int, ok bool) {
	fd, err := syscall.Open(c.Dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, false
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		syscall.Close(fd)
		return -1, false
	}
	return fd, true
}

// write is seldom: it also makes room.
func (c DiskCache) write(key [sha256.Size]byte, f Filter) error {
	if err := os.Mkdir(c.Dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	fd, ok := c.open()
	if !ok {
		return fmt.Errorf("%s is not a directory of this user alone", c.Dir)
	}
	defer syscall.Close(fd)
	// Through the descriptor, so that it is the directory that was looked at.
	dir := fmt.Sprintf("/proc/self/fd/%d", fd)
	if err := makeRoom(dir); err != nil {
		return err
	}
	fresh := filepath.Join(dir, fmt.Sprintf("new-%d-%x", os.Getpid(), rand.Uint64()))
	if err := os.WriteFile(fresh, encodeFilter(key, f), 0o600); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	if err := os.Rename(fresh, filepath.Join(dir, hex.EncodeToString(key[:]))); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return nil
}

// makeRoom removes the oldest files, what a killed process left half-written too.
func makeRoom(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < diskEntries {
		return err
	}
	type file struct {
		name string
		time time.Time
	}
	var files []file
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else another process removed it
			files = append(files, file{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return a.time.Compare(b.time) })
	for len(files) >= diskEntries {
		if err := os.RemoveAll(filepath.Join(dir, files[0].name)); err != nil {
			return err
		}
		files = files[1:]
	}
	return nil
}
