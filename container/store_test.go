package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func open(t *testing.T, dir string) (*Store, []Leftover) {
	t.Helper()
	s, left, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, left
}

func commit(t *testing.T, s *Store, name string, wantRange bool) *Container {
	t.Helper()
	r, err := s.Reserve(name, wantRange)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Commit(Record{Config: &container.Config{}, HostConfig: &container.HostConfig{}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReopenFindsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "containers")
	s, _ := open(t, dir)
	a, b := commit(t, s, "one", true), commit(t, s, "two", true)
	if a.Record().Slot == b.Record().Slot {
		t.Fatalf("both containers have id range %d", a.Record().Slot)
	}
	for _, to := range []Status{Starting, Running, Exited} {
		if err := a.Transition(to, func(st *State) { st.ExitCode = 7 }); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, newID()), 0o700); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, newID())
	if err := errors.Join(os.Mkdir(half, 0o700), os.WriteFile(filepath.Join(half, recordName), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}

	s, left := open(t, dir)
	got, err := s.Get("one")
	if err != nil {
		t.Fatal(err)
	}
	if r := got.Record(); r.State.Status != Exited || r.State.ExitCode != 7 || r.Slot != a.Record().Slot {
		t.Errorf("after reopen: %+v", r)
	}
	deletable := 0
	for _, l := range left {
		if l.Err == nil {
			deletable++
		} else if l.Path != half || !errors.Is(l.Err, errdefs.ErrDataLoss) {
			t.Errorf("unexpected leftover %+v", l)
		}
	}
	if len(left) != 2 || deletable != 1 {
		t.Errorf("leftovers: %+v, want one deletable and one with an error", left)
	}
	c := commit(t, s, "three", true)
	if n := c.Record().Slot; n == a.Record().Slot || n == b.Record().Slot {
		t.Errorf("id range %d leased twice", n)
	}
}

func TestGet(t *testing.T) {
	s, _ := open(t, t.TempDir())
	a := commit(t, s, "web", false)
	// A name that looks like the beginning of a's id wins over the prefix.
	b := commit(t, s, a.ID()[:8], false)
	tests := []struct {
		name, ref string
		want      *Container
		class     error
	}{
		{"full id", a.ID(), a, nil},
		{"name", "web", a, nil},
		{"docker's name", "/web", a, nil},
		{"prefix", a.ID()[:13], a, nil},
		{"name before prefix", a.ID()[:8], b, nil},
		{"unknown", "nope", nil, errdefs.ErrNotFound},
		{"empty", "", nil, errdefs.ErrInvalidArgument},
		{"4 KB", strings.Repeat("a", 4096), nil, errdefs.ErrInvalidArgument},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Get(tt.ref)
			if got != tt.want || !errors.Is(err, tt.class) {
				t.Errorf("Get(%.20q) = %v, %v; want %v, %v", tt.ref, got, err, tt.want, tt.class)
			}
		})
	}
	for len(s.byID) < 18 { // then two ids share a first digit
		commit(t, s, "", false)
	}
	ambiguous := 0
	for _, digit := range "0123456789abcdef" {
		if _, err := s.Get(string(digit)); errors.Is(err, errdefs.ErrInvalidArgument) {
			ambiguous++
		}
	}
	if ambiguous == 0 {
		t.Error("no prefix of 18 containers was ambiguous")
	}
}

func TestSecurity23ContainerID(t *testing.T) {
	s, _ := open(t, t.TempDir())
	for _, id := range []string{
		"", ".", "..", "../x", "a/b", strings.Repeat("a", 4096), strings.Repeat("A", 64),
		strings.Repeat("a", 63), strings.Repeat("a", 63) + "\n", "\x00",
	} {
		if CheckID(id) == nil {
			t.Errorf("CheckID(%.20q) accepted it", id)
		}
		if len(id) != 63 && id != strings.Repeat("A", 64) && id != "" {
			if _, err := s.Reserve(id, false); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("Reserve(%.20q): %v, want invalid argument", id, err)
			}
		}
	}
}

func TestNameTakenAndRename(t *testing.T) {
	s, _ := open(t, t.TempDir())
	a := commit(t, s, "aa", false)
	if _, err := s.Reserve("aa", true); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Fatalf("second aa: %v", err)
	}
	if len(s.leased) != 0 {
		t.Errorf("a refused reservation leased %v", s.leased)
	}
	if err := s.Rename(a, "bb"); err != nil {
		t.Fatal(err)
	}
	commit(t, s, "aa", false)
	if err := s.Rename(a, "aa"); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("rename to a taken name: %v", err)
	}
	if got, err := s.Get("bb"); got != a {
		t.Errorf("bb after a refused rename: %v", err)
	}
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	c := commit(t, s, "gone", true)
	if err := s.Delete(c); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("delete without intent: %v", err)
	}
	if err := c.Transition(Removing, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := c.WaitFor(ctx, func(r *Record) bool { return r.State.Status == Removed }); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 || len(s.byName) != 0 || len(s.leased) != 0 || len(s.byID) != 0 {
		t.Errorf("left behind: %v %v %v %v", entries, s.byName, s.leased, s.byID)
	}
}

func TestTransitions(t *testing.T) {
	all := []Status{Created, Starting, Running, Paused, Restarting, Exited, Removing, Dead, Removed}
	if len(all) != len(next) {
		t.Fatalf("the table has %d statuses, this test %d", len(next), len(all))
	}
	// Told from the life of a container, not from the table.
	allowed := "created>starting created>removing starting>running starting>created starting>exited " +
		"running>paused running>exited running>restarting paused>running paused>exited paused>restarting " +
		"restarting>starting restarting>exited restarting>removing exited>starting exited>removing " +
		"removing>dead removing>removed dead>removing"
	for _, from := range all {
		for _, to := range all {
			want := strings.Contains(" "+allowed+" ", " "+string(from)+">"+string(to)+" ")
			if err := from.check(to); (err == nil) != want {
				t.Errorf("%s to %s: %v, want allowed=%v", from, to, err, want)
			}
		}
	}
}

func TestAutoRemoveRecordIsReadBack(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	r, err := s.Reserve("", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(Record{Config: &container.Config{}, HostConfig: &container.HostConfig{AutoRemove: true}}); err != nil {
		t.Fatal(err)
	}
	s, left := open(t, dir)
	if _, err := s.Get(r.Name); err != nil || len(left) != 0 {
		t.Errorf("reopen: %v, leftovers %v", err, left)
	}
}

func TestIDRanges(t *testing.T) {
	if got := HostID(0); got != 524288 {
		t.Errorf("HostID(0) = %d", got)
	}
	if last := HostID(slots-1) + RangeSize - 1; last != 1879048191 {
		t.Errorf("last id of the last range is %d", last)
	}
	s, _ := open(t, t.TempDir())
	for range slots {
		if _, err := s.leaseLocked(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.leaseLocked(); !errors.Is(err, errdefs.ErrResourceExhausted) {
		t.Errorf("lease %d: %v", slots, err)
	}
}

// A slot that another container runs in is not given away when its own is removed.
func TestBorrow(t *testing.T) {
	for _, id := range []uint32{0, 524287, 524289, HostID(slots-1) + RangeSize} {
		if got := SlotOf(id); got != NoSlot {
			t.Errorf("SlotOf(%d) = %d", id, got)
		}
	}
	s, _ := open(t, t.TempDir())
	r, err := s.Reserve("first", true)
	if err != nil {
		t.Fatal(err)
	}
	if got := SlotOf(HostID(r.Slot)); got != r.Slot {
		t.Errorf("SlotOf gives %d for slot %d", got, r.Slot)
	}
	s.Borrow(r.Slot)
	s.Borrow(r.Slot)
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	s.Return(r.Slot)
	other, err := s.Reserve("second", true)
	if err != nil || other.Slot == r.Slot {
		t.Fatalf("a slot that is lent was given away: %d, %v", other.Slot, err)
	}
	s.Return(r.Slot)
	if third, err := s.Reserve("third", true); err != nil || third.Slot != r.Slot {
		t.Errorf("a slot that came back was not given away: %d, %v", third.Slot, err)
	}
}
