package container

import (
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

func TestRestartPause(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name       string
		policy     container.RestartPolicy
		state      State
		code       int
		ran, last  time.Duration
		want       time.Duration
		withDaemon bool
	}{
		{"no policy", container.RestartPolicy{}, State{}, 1, s, 0, 0, false},
		{"no", container.RestartPolicy{Name: "no"}, State{}, 1, s, 0, 0, false},
		{"always, first", container.RestartPolicy{Name: "always"}, State{}, 0, s, 0, s / 10, true},
		{"always doubles", container.RestartPolicy{Name: "always"}, State{}, 0, s, s / 10, s / 5, true},
		{"always up to a minute", container.RestartPolicy{Name: "always"}, State{}, 0, s, 50 * s, 60 * s, true},
		{"always after a steady run", container.RestartPolicy{Name: "always"}, State{}, 0, 11 * s, 50 * s, s / 10, true},
		{"always, stopped", container.RestartPolicy{Name: "always"}, State{Stopped: true}, 0, s, 0, 0, true},
		{"unless-stopped", container.RestartPolicy{Name: "unless-stopped"}, State{}, 0, s, 0, s / 10, true},
		{"unless-stopped, stopped", container.RestartPolicy{Name: "unless-stopped"}, State{Stopped: true}, 0, s, 0, 0, false},
		{"on-failure, success", container.RestartPolicy{Name: "on-failure"}, State{}, 0, s, 0, 0, false},
		{"on-failure", container.RestartPolicy{Name: "on-failure"}, State{}, 3, s, 0, s / 10, true},
		{"on-failure, last try", container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}, State{RestartCount: 1}, 3, s, s, 2 * s, true},
		{"on-failure, tries used up", container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}, State{RestartCount: 2}, 3, s, s, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.state.Status, tt.state.ExitCode = Exited, tt.code
			r := Record{State: tt.state, HostConfig: &container.HostConfig{RestartPolicy: tt.policy}}
			if got := r.RestartPause(tt.code, tt.ran, tt.last); got != tt.want {
				t.Errorf("pause %v, want %v", got, tt.want)
			}
			if got := r.RestartsWithDaemon(); got != tt.withDaemon {
				t.Errorf("restarts with the daemon: %v", got)
			}
		})
	}
}
