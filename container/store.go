package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/internal/atomicfile"

	"github.com/containerd/errdefs"
)

// Store holds all containers of a data root. It is safe for concurrent use.
type Store struct {
	root string // containers/

	mu     sync.Mutex
	byID   map[string]*Container // guarded by mu
	byName map[string]string     // guarded by mu; name to id, with names being reserved
	leased map[int]bool          // guarded by mu; id-range slots in use
	lent   map[int]int           // guarded by mu; how many containers run in the slot of another
}

// Leftover is something under containers/ that is no container.
type Leftover struct {
	Path string
	// Err is nil for an unfinished create, which may be deleted; else why the
	// record cannot be read, and then nothing may be deleted.
	Err error
}

// Open reads the records under dir (made if missing, mode 0700).
func Open(dir string) (*Store, []Leftover, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	s := &Store{root: dir, byID: map[string]*Container{}, byName: map[string]string{}, leased: map[int]bool{}, lent: map[int]int{}}
	var left []Leftover
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if CheckID(e.Name()) != nil || !e.IsDir() {
			left = append(left, Leftover{Path: path, Err: fmt.Errorf("%s is no container's directory: %w", path, errdefs.ErrDataLoss)})
			continue
		}
		rec, err := load(path)
		if err == nil {
			err = s.indexLoaded(newContainer(path, rec))
		}
		switch {
		case errors.Is(err, errLeftover):
			left = append(left, Leftover{Path: path})
		case err != nil:
			left = append(left, Leftover{Path: path, Err: err})
		}
	}
	return s, left, nil
}

func (s *Store) indexLoaded(c *Container) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, taken := s.byName[c.rec.Name]; taken {
		return fmt.Errorf("containers %s and %s have the same name %q: %w", other, c.id, c.rec.Name, errdefs.ErrDataLoss)
	}
	if c.rec.Slot != NoSlot && s.leased[c.rec.Slot] {
		return fmt.Errorf("container %s shares id range %d with another: %w", c.id, c.rec.Slot, errdefs.ErrDataLoss)
	}
	s.byID[c.id] = c
	s.byName[c.rec.Name] = c.id
	if c.rec.Slot != NoSlot {
		s.leased[c.rec.Slot] = true
	}
	return nil
}

// Reservation is a container in the making: its id, name and id range are
// taken and its directory exists, its record does not.
type Reservation struct {
	ID, Name, Dir string
	Slot          int
	store         *Store
}

// Reserve takes an id, the name (a random one if empty), an id range if wanted,
// and makes the directory. A taken name is of class AlreadyExists. The caller
// ends it with Commit or Abort.
func (s *Store) Reserve(name string, wantRange bool) (*Reservation, error) {
	name = strings.TrimPrefix(name, "/")
	if name != "" {
		if err := CheckName(name); err != nil {
			return nil, err
		}
	}
	r, err := s.reserve(name, wantRange)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(r.Dir, 0o700); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

func (s *Store) reserve(name string, wantRange bool) (*Reservation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for try := 0; name == ""; try++ {
		if n := randomName(try); s.byName[n] == "" {
			name = n
		}
	}
	if err := s.nameFreeLocked(name); err != nil {
		return nil, err
	}
	r := &Reservation{ID: newID(), Name: name, Slot: NoSlot, store: s}
	if wantRange {
		var err error
		if r.Slot, err = s.leaseLocked(); err != nil {
			return nil, err
		}
	}
	r.Dir = filepath.Join(s.root, r.ID)
	s.byName[name] = r.ID
	return r, nil
}

func (s *Store) nameFreeLocked(name string) error {
	if id := s.byName[name]; id != "" {
		return fmt.Errorf("the container name %q is already in use by container %s: remove or rename that one: %w",
			name, id[:12], errdefs.ErrAlreadyExists)
	}
	return nil
}

func (r *Reservation) release() {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	delete(r.store.byName, r.Name)
	delete(r.store.leased, r.Slot)
}

// Abort gives everything back and deletes the directory. It does nothing good
// after Commit.
func (r *Reservation) Abort() error {
	err := os.RemoveAll(r.Dir)
	r.release()
	return err
}

// Commit writes the record, which makes the container exist. It fills in
// Version, ID, Name, Slot, Created and the status.
func (r *Reservation) Commit(rec Record) (*Container, error) {
	rec.Version, rec.ID, rec.Name, rec.Slot = recordVersion, r.ID, r.Name, r.Slot
	rec.Created = time.Now().UTC()
	rec.State.Status = Created
	if err := save(r.Dir, &rec); err != nil {
		return nil, err
	}
	if !rec.AutoRemove() {
		if err := atomicfile.SyncDir(r.store.root); err != nil {
			return nil, err
		}
	}
	c := newContainer(r.Dir, rec)
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	r.store.byID[c.id] = c
	return c, nil
}

// Delete removes the directory of a container whose status is Removing, frees
// its name and ids, and moves it to Removed; if the directory cannot be
// removed, to Dead. Call it under the verb lock.
func (s *Store) Delete(c *Container) error {
	if st := c.Status(); st != Removing {
		return st.check(Removed)
	}
	if err := deleteDir(c.dir); err != nil {
		dead := c.Fact(Dead, func(st *State) { st.Error = err.Error() })
		return errors.Join(fmt.Errorf("remove container %s: %w", c.id[:12], err), dead)
	}
	rec := c.Record()
	s.mu.Lock()
	delete(s.byID, c.id)
	delete(s.byName, rec.Name)
	delete(s.leased, rec.Slot)
	s.mu.Unlock()
	return c.Transition(Removed, nil)
}

// deleteDir deletes the record last, so that a crash leaves either a record
// that says "removing" or a directory without one.
func deleteDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != recordName {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// Rename gives the container another name.
func (s *Store) Rename(c *Container, name string) error {
	name = strings.TrimPrefix(name, "/")
	if err := CheckName(name); err != nil {
		return err
	}
	s.mu.Lock()
	if err := s.nameFreeLocked(name); err != nil {
		s.mu.Unlock()
		return err
	}
	s.byName[name] = c.id
	s.mu.Unlock()
	old := name // what to free: the new name, unless the change is stored
	err := c.Update(func(r *Record) error {
		old, r.Name = r.Name, name
		return nil
	})
	if err != nil {
		old = name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, old)
	return err
}

// Get finds a container by full id, name (with or without a leading slash) or
// a prefix of the id that fits only one. Classes: NotFound, InvalidArgument.
func (s *Store) Get(ref string) (*Container, error) {
	name := strings.TrimPrefix(ref, "/")
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("%.80q is neither a container's id nor a name: %w", ref, errdefs.ErrInvalidArgument)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byID[name]; c != nil {
		return c, nil
	}
	if c := s.byID[s.byName[name]]; c != nil {
		return c, nil
	}
	var found *Container
	for id, c := range s.byID {
		if !isHex(name) || !strings.HasPrefix(id, name) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("several containers' ids begin with %q: give more of it: %w", name, errdefs.ErrInvalidArgument)
		}
		found = c
	}
	if found == nil {
		// Docker's words: clients look for them.
		return nil, fmt.Errorf("No such container: %s: %w", ref, errdefs.ErrNotFound) //nolint:staticcheck // ST1005
	}
	return found, nil
}

// List returns all containers, newest first.
func (s *Store) List() []*Container {
	s.mu.Lock()
	list := make([]*Container, 0, len(s.byID))
	for _, c := range s.byID {
		list = append(list, c)
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b *Container) int {
		if n := b.Record().Created.Compare(a.Record().Created); n != 0 {
			return n
		}
		return strings.Compare(a.id, b.id)
	})
	return list
}
