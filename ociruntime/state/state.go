// Package state keeps what is known of containers that no daemon owns: a
// directory each, below one root.
//
//	ROOT/ID/              mode 0700; commands on the container hold a flock(2) on it
//	    container.json    Record: written before anything of the container is made
//	    config.json       the bundle's, as it was then
//	    init              which process is the container's, written by the builder
//	    start             FIFO: a byte lets a created container's init go on
//	    started           FIFO: what became of it; named started.new until it is created
//	ROOT/~new-ID/         one that is being written; it gets its name by a rename
//	ROOT/~seccomp/        compiled filters, which anybody may delete
//
// What can be asked of the kernel is not stored: whether the init lives, and
// whether it already runs the command or still the program that made it.
//
// Level: R.
// Owns: ROOT.
// May import: ociruntime/bundle, ociruntime/plan, ociruntime/program, ociruntime/cgroups, internal/linux, internal/fault, errdefs.
// Must not know: how a container is made.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"berth/internal/fault"
	"berth/ociruntime/bundle"

	"github.com/containerd/errdefs"
)

const (
	recordFile  = "container.json"
	configFile  = "config.json"
	startFile   = "start"
	startedFile = "started"
	unfinished  = ".new" // suffix of startedFile until the container is created
	other       = "~"    // begins what is no container: no id has it
	newPrefix   = other + "new-"
	maxFile     = 64 << 20
)

const version = 1

// Store is a state directory.
type Store struct{ Root string }

// Filters is the directory of compiled filters.
func (s Store) Filters() string { return filepath.Join(s.Root, other+"seccomp") }

// Dir is a container's directory.
type Dir struct {
	path string
	file *os.File
}

// Path is where it is.
func (d *Dir) Path() string { return d.path }

// File is the open directory.
func (d *Dir) File() *os.File { return d.file }

// Path is where the state of a container is, or would be.
func (s Store) Path(id string) string { return filepath.Join(s.Root, id) }

// Close lets go of it, and of the lock.
func (d *Dir) Close() error { return d.file.Close() }

// Create makes the directory of a container, locked. With wait it has the FIFOs
// of a container that waits for its start. An id that is taken is errdefs.ErrAlreadyExists.
func (s Store) Create(r Record, config []byte, wait bool) (_ *Dir, err error) {
	if err := bundle.CheckID(r.ID); err != nil {
		return nil, err
	}
	final, fresh := filepath.Join(s.Root, r.ID), filepath.Join(s.Root, newPrefix+r.ID)
	if err := s.Free(r.ID); err != nil {
		return nil, err
	}
	d, err := s.claim(fresh)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, taken(r.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("make the state of container %s: %w", r.ID, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(fresh), d.Close())
		}
	}()
	r.Version = version
	if err := os.WriteFile(fresh+"/"+recordFile, r.encode(), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(fresh+"/"+configFile, config, 0o600); err != nil {
		return nil, err
	}
	if wait {
		for _, name := range []string{startFile, startedFile + unfinished} {
			if err := syscall.Mkfifo(fresh+"/"+name, 0o600); err != nil {
				return nil, &fs.PathError{Op: "mkfifo", Path: fresh + "/" + name, Err: err}
			}
		}
	}
	// A rename replaces an empty directory, and there is none but by rename.
	switch err := os.Rename(fresh, final); {
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EEXIST):
		return nil, taken(r.ID)
	case err != nil:
		return nil, err
	}
	d.path = final
	return d, nil
}

// Free says whether an id may be given to a new container: it is
// errdefs.ErrAlreadyExists if one has it. That may change until Create.
func (s Store) Free(id string) error {
	if err := bundle.CheckID(id); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(s.Root, id)); err == nil {
		return taken(id)
	}
	return nil
}

func taken(id string) error {
	return fault.Errorf(errdefs.ErrAlreadyExists, "container with id %q exists already: delete it or choose another id", id)
}

// claim makes a directory for a container to be and locks it. What a killed
// command left there is removed first; EWOULDBLOCK if one is at work.
func (s Store) claim(path string) (*Dir, error) {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(s.Root, 0o700); err == nil {
			err = os.Mkdir(path, 0o700)
		}
	}
	left := errors.Is(err, fs.ErrExist)
	if err != nil && !left {
		return nil, err
	}
	d, err := openDir(path)
	if err != nil {
		return nil, err
	}
	if err := flock(d.file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if left {
		entries, err := d.file.ReadDir(-1)
		for _, e := range entries {
			err = errors.Join(err, os.Remove(path+"/"+e.Name()))
		}
		if err == nil {
			err = d.isThere()
		}
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// Open finds the directory of a container: errdefs.ErrNotFound if there is none.
func (s Store) Open(id string) (*Dir, error) {
	if err := bundle.CheckID(id); err != nil {
		return nil, err
	}
	d, err := openDir(filepath.Join(s.Root, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(id)
	}
	if err != nil {
		return nil, fmt.Errorf("open the state of container %s: %w", id, err)
	}
	return d, nil
}

// Sweep removes what a killed command has left of a container that never got its name.
func (s Store) Sweep(id string) error {
	if err := bundle.CheckID(id); err != nil {
		return err
	}
	d, err := openDir(filepath.Join(s.Root, newPrefix+id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = flock(d.file, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return d.Close() // somebody is at work
	}
	if err == nil {
		err = d.Remove()
	}
	return errors.Join(err, d.Close())
}

// Lock is Open, alone: it waits until no other command is at work on the container.
func (s Store) Lock(id string) (*Dir, error) {
	d, err := s.Open(id)
	if err != nil {
		return nil, err
	}
	err = flock(d.file, syscall.LOCK_EX)
	if err == nil {
		err = d.isThere()
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// List returns the ids of all containers, sorted.
func (s Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), other) {
			ids = append(ids, e.Name())
		}
	}
	sort.Strings(ids)
	return ids, nil
}

// Record reads container.json.
func (d *Dir) Record() (r Record, err error) {
	b, err := d.read(recordFile)
	if err != nil {
		return r, err
	}
	if r, err = decodeRecord(b); err != nil {
		return r, fmt.Errorf("read %s/%s: %w", d.path, recordFile, err)
	}
	if r.Version > version {
		return r, fmt.Errorf("read %s/%s: it is of a newer version of berth-oci", d.path, recordFile)
	}
	return r, nil
}

// Config reads config.json.
func (d *Dir) Config() ([]byte, error) { return d.read(configFile) }

func (d *Dir) read(name string) ([]byte, error) {
	st, err := os.Stat(d.path + "/" + name)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("read %s/%s: it has more than %d bytes", d.path, name, maxFile)
	}
	return os.ReadFile(d.path + "/" + name)
}

// Remove removes the directory with all that is in it, its record last.
func (d *Dir) Remove() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != recordFile {
			errs = append(errs, os.RemoveAll(d.path+"/"+e.Name()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Remove(d.path + "/" + recordFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(d.path)
}

// isThere says whether the open directory still has its name.
func (d *Dir) isThere() error {
	named, err := os.Lstat(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	open, operr := d.file.Stat()
	if operr != nil {
		return operr
	}
	if err != nil || !os.SameFile(named, open) {
		return missing(filepath.Base(d.path))
	}
	return nil
}

func missing(id string) error {
	return fault.Errorf(errdefs.ErrNotFound, "container %q does not exist", id)
}

func openDir(path string) (*Dir, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, file: f}, nil
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("flock", err)
		}
	}
}
