// Package atomicfile replaces a file so that a crash leaves the old or the new
// content, never a part.
//
// Level: L0.
// Owns: the order write, fsync, rename, fsync of the directory.
// May import: the standard library, internal/linux.
// Must not know: what the file holds.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"

	"berth/internal/linux"
)

// Write replaces path with data, mode perm. When it returns nil the new
// content survives a power cut.
func Write(path string, data []byte, perm os.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(perm))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the entries of dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteVolatile is Write without waiting for the disk: a crash of the process
// leaves the old or the new content, a power cut may leave an empty file.
func WriteVolatile(path string, data []byte, perm os.FileMode) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".volatile")
	if err := os.WriteFile(tmp, data, perm); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	// A rename over a file makes ext4 write the new one to disk at once
	// (auto_da_alloc, ext4(5)); an exchange does not.
	if linux.Exchange(tmp, path) == nil {
		return os.Remove(tmp)
	}
	return os.Rename(tmp, path) // the first write, or a file system that cannot exchange
}
