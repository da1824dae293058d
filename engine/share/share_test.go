package share

import (
	"errors"
	"strings"
	"testing"

	"berth/container"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	mnetwork "github.com/moby/moby/api/types/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestResolve(t *testing.T) {
	store, _, err := container.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.Reserve("other", true)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Commit(container.Record{Config: &mcontainer.Config{}, HostConfig: &mcontainer.HostConfig{}})
	if err != nil {
		t.Fatal(err)
	}
	id := "container:" + c.ID()
	networks := map[string]*mnetwork.EndpointSettings{"container:other": {}} // as docker's client may send it
	h := mcontainer.HostConfig{NetworkMode: "container:other", PidMode: mcontainer.PidMode("container:" + c.ID()[:12]), IpcMode: "shareable"}
	if err := Resolve(&mcontainer.Config{}, &h, networks, store.Get); err != nil {
		t.Fatal(err)
	}
	if string(h.NetworkMode) != id || string(h.PidMode) != id || h.IpcMode != "shareable" {
		t.Errorf("modes %s, %s, %s", h.NetworkMode, h.PidMode, h.IpcMode)
	}
	for _, c := range []struct {
		h     mcontainer.HostConfig
		class error
		want  string
	}{
		{mcontainer.HostConfig{NetworkMode: "container:nobody"}, errdefs.ErrNotFound, "nobody"},
		{mcontainer.HostConfig{PidMode: "container:"}, errdefs.ErrInvalidArgument, "container:NAME"},
		{mcontainer.HostConfig{NetworkMode: "container:other", PublishAllPorts: true}, errdefs.ErrInvalidArgument, "conflicting options: port publishing"},
		{mcontainer.HostConfig{NetworkMode: "container:other", DNSSearch: []string{"x"}}, errdefs.ErrInvalidArgument, "conflicting options: dns"},
	} {
		err := Resolve(&mcontainer.Config{}, &c.h, nil, store.Get)
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %v with %q", c.h, err, c.class, c.want)
		}
	}
	if !Any(&h) || Any(&mcontainer.HostConfig{NetworkMode: "host", IpcMode: "shareable"}) {
		t.Error("Any is wrong")
	}
	if got := Placeholders(&h); len(got) != 3 || got[specs.UserNamespace] == "" {
		t.Errorf("placeholders: %v; want network, pid and user namespace", got)
	}
}

// The chain of --network container: ends where a container was removed.
func TestNetworkOf(t *testing.T) {
	store, _, err := container.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	add := func(name, mode string) *container.Container {
		t.Helper()
		r, err := store.Reserve(name, true)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Commit(container.Record{Config: &mcontainer.Config{}, HostConfig: &mcontainer.HostConfig{NetworkMode: mcontainer.NetworkMode(mode)}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := add("first", "bridge")
	second := add("second", "container:"+first.ID())
	third := add("third", "container:"+second.ID())
	if got := NetworkOf(third, store.Get); got != first {
		t.Errorf("the network is %s's, want %s", got.ID(), first.ID())
	}
	if err := errors.Join(second.Transition(container.Removing, nil), store.Delete(second)); err != nil {
		t.Fatal(err)
	}
	if got := NetworkOf(third, store.Get); got != third {
		t.Errorf("the network is %s's, want its own", got.ID())
	}
}
