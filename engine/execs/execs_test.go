package execs

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"berth/container"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
)

func newContainer(t *testing.T) *container.Container {
	t.Helper()
	s, _, err := container.Open(filepath.Join(t.TempDir(), "containers"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Reserve("", false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Commit(container.Record{Config: &mcontainer.Config{}, HostConfig: &mcontainer.HostConfig{}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLife(t *testing.T) {
	table, c := NewTable(), newContainer(t)
	x, err := table.Add(c, mcontainer.ExecCreateRequest{Cmd: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := table.Get(x.ID); got != x || err != nil {
		t.Errorf("Get: %v, %v", got, err)
	}
	if _, err := table.Get("nope"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	if x.Begun() || !x.Begin() || x.Begin() || !x.Begun() {
		t.Error("the start can be taken other than once")
	}
	x.Finish(3)
	if i := x.Inspect(); i.Running || i.ExitCode == nil || *i.ExitCode != 3 || i.ProcessConfig.Entrypoint != "a" {
		t.Errorf("inspect: %+v", i)
	}
}

func TestDropIdleTellsClients(t *testing.T) {
	table, c := NewTable(), newContainer(t)
	idle, err := table.Add(c, mcontainer.ExecCreateRequest{Cmd: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	idle.Hub.Attach(true, true, false)
	begun, err := table.Add(c, mcontainer.ExecCreateRequest{Cmd: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	begun.Begin()
	table.DropIdle(c.ID())
	if _, err := table.Get(idle.ID); !errors.Is(err, errdefs.ErrNotFound) || idle.Hub.Clients() != 0 {
		t.Errorf("idle: %v, %d clients", err, idle.Hub.Clients())
	}
	if _, err := table.Get(begun.ID); err != nil {
		t.Error(err)
	}
}

// Execs that end make room: a script may run any number of them one after the
// other. Those that do not end are bounded.
func TestTableIsBounded(t *testing.T) {
	table, c := NewTable(), newContainer(t)
	add := func() (*Exec, error) { return table.Add(c, mcontainer.ExecCreateRequest{Cmd: []string{"a"}}) }
	for range 2 * maxExecs {
		x, err := add()
		if err != nil {
			t.Fatal(err)
		}
		x.Finish(0)
	}
	waiting, err := add()
	if err != nil || len(table.all) != maxExecs {
		t.Fatalf("%d execs are kept, %v", len(table.all), err)
	}
	for err == nil {
		_, err = add()
	}
	if !errors.Is(err, errdefs.ErrResourceExhausted) || len(table.all) != maxExecs {
		t.Errorf("%d execs that have not ended: %v", len(table.all), err)
	}
	if _, err := table.Get(waiting.ID); err != nil {
		t.Error(err)
	}
	for _, x := range table.all {
		x.Finish(0)
		x.ended = time.Now().Add(-2 * keepExec)
	}
	if _, err := add(); err != nil || len(table.all) != 1 {
		t.Errorf("%d execs kept after the old ones are forgotten, %v", len(table.all), err)
	}
}
