package report

import (
	"testing"
	"time"

	"berth/container"

	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		state container.State
		want  string
	}{
		{container.State{Status: container.Created}, "Created"},
		{container.State{Status: container.Starting}, "Created"},
		{container.State{Status: container.Running, StartedAt: now.Add(-3 * time.Minute)}, "Up 3 minutes"},
		{container.State{Status: container.Paused, StartedAt: now.Add(-time.Hour)}, "Up About an hour (Paused)"},
		{container.State{Status: container.Exited, ExitCode: 137, FinishedAt: now.Add(-2 * time.Hour)}, "Exited (137) 2 hours ago"},
		{container.State{Status: container.Restarting, ExitCode: 1, FinishedAt: now.Add(-5 * time.Second)}, "Restarting (1) 5 seconds ago"},
		{container.State{Status: container.Removing}, "Removal In Progress"},
		{container.State{Status: container.Dead}, "Dead"},
	}
	for _, tt := range tests {
		if got := StatusText(&container.Record{State: tt.state}, now); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.state.Status, got, tt.want)
		}
	}
}

func TestStateOfRunningHidesTheLastRun(t *testing.T) {
	rec := container.Record{State: container.State{Status: container.Running, ExitCode: 9, OOMKilled: true, Pid: 7}}
	if s := State(&rec); s.ExitCode != 0 || s.OOMKilled || !s.Running || s.Pid != 7 {
		t.Errorf("running: %+v", s)
	}
	rec.State.Status = container.Exited
	if s := State(&rec); s.ExitCode != 9 || !s.OOMKilled || s.Running {
		t.Errorf("exited: %+v", s)
	}
}

func TestMountPoints(t *testing.T) {
	rec := container.Record{
		ID:         "id",
		Config:     &mcontainer.Config{Volumes: map[string]struct{}{"/anon": {}}},
		HostConfig: &mcontainer.HostConfig{Binds: []string{"/src:/dst:ro", "data:/data"}},
	}
	byTarget := map[string]mcontainer.MountPoint{}
	for _, p := range MountPoints("/root", &rec) {
		byTarget[p.Destination] = p
	}
	if p := byTarget["/dst"]; p.Type != mount.TypeBind || p.Source != "/src" || p.RW {
		t.Errorf("bind: %+v", p)
	}
	if p := byTarget["/data"]; p.Name != "data" || p.Source != "/root/volumes/data/data" || !p.RW {
		t.Errorf("named volume: %+v", p)
	}
	if p := byTarget["/anon"]; p.Name != AnonymousVolume("id", "/anon") || p.Name == AnonymousVolume("other", "/anon") {
		t.Errorf("anonymous volume: %+v", p)
	}
}
