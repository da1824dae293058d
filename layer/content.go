package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"berth/internal/linux"
)

// holeSize is the unit in which zeros become holes: a block of most file systems.
const holeSize = 4096

// isSparse tells whether the tar holds the file with its holes left out.
func isSparse(hdr *tar.Header) bool {
	return hdr.Typeflag == tar.TypeGNUSparse || hdr.PAXRecords["GNU.sparse.major"] != "" ||
		hdr.PAXRecords["GNU.sparse.map"] != ""
}

// copy writes the entry's content to f.
func (x *extractor) copy(f *os.File) error {
	for {
		n, err := x.tr.Read(x.buf)
		if n > 0 {
			if _, err := f.Write(x.buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return readError(err)
		}
	}
}

// copySparse writes the entry's content to f and leaves holes where it has
// blocks of zeros. Go's reader does not tell where the holes are, only makes
// zeros of them, which costs no reading of the stream: so the context is asked
// here.
func (x *extractor) copySparse(f *os.File, size int64) error {
	for at := int64(0); ; {
		if err := x.in.canceled(); err != nil {
			return err
		}
		n, err := io.ReadFull(x.tr, x.buf)
		if err := writeData(f, x.buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
		// The entry's own end, not one in the middle of it, which the reader
		// reports the same way.
		if (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && at == size {
			return f.Truncate(size)
		}
		if err != nil {
			return readError(err)
		}
	}
}

// writeData writes the blocks of p that are not all zeros to f, from offset at
// on, neighbours in one call.
func writeData(f *os.File, p []byte, at int64) error {
	for len(p) > 0 {
		skip := span(p, true)
		p, at = p[skip:], at+int64(skip)
		data := span(p, false)
		if data > 0 {
			if _, err := f.WriteAt(p[:data], at); err != nil {
				return err
			}
		}
		p, at = p[data:], at+int64(data)
	}
	return nil
}

// span returns the length of the run of blocks at the start of p that are all
// zeros, or all not.
func span(p []byte, zeros bool) int {
	n := 0
	for n < len(p) {
		block := p[n:min(n+holeSize, len(p))]
		if isZero(block) != zeros {
			break
		}
		n += len(block)
	}
	return n
}

// isZero compares p with itself one byte on: each byte is zero as the one before.
func isZero(p []byte) bool { return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

const paxXattr = "SCHILY.xattr."

// setXattrs sets the extended attributes that a layer may have.
func setXattrs(f *os.File, hdr *tar.Header) error {
	for key, value := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok || !xattrAllowed(name) {
			continue
		}
		err := linux.SetXattr(f, name, []byte(value))
		// A file system without user attributes or ACLs still makes a usable
		// layer; one without capabilities does not.
		if errors.Is(err, syscall.EOPNOTSUPP) && name != xattrCapability {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const xattrCapability = "security.capability"

// xattrAllowed tells whether an attribute of the image may reach the disk. All
// others, security labels of the host and overlayfs's own among them, are left out.
func xattrAllowed(name string) bool {
	switch name {
	case xattrCapability, "system.posix_acl_access", "system.posix_acl_default":
		return true
	}
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}
