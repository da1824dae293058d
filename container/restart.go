package container

import "time"

// The pause before a restart doubles from restartPause to maxRestartPause and
// begins anew after a run of steadyRun (Docker's values).
const (
	restartPause    = 100 * time.Millisecond
	maxRestartPause = time.Minute
	steadyRun       = 10 * time.Second
)

// RestartPause is how long to wait before the restart of a container that has
// ended with an exit code after it ran for a while, or 0 if its policy wants
// none. last is the pause before its last restart, 0 if there was none.
func (r *Record) RestartPause(code int, ran, last time.Duration) time.Duration {
	policy := r.HostConfig.RestartPolicy
	retries := policy.MaximumRetryCount
	switch {
	case r.State.Stopped, policy.IsNone(),
		policy.IsOnFailure() && (code == 0 || retries > 0 && r.State.RestartCount >= retries):
		return 0
	case last == 0, ran >= steadyRun:
		return restartPause
	}
	return min(2*last, maxRestartPause)
}

// RestartsWithDaemon says whether the container is to run again when the daemon
// starts and finds it ended.
func (r *Record) RestartsWithDaemon() bool {
	policy := r.HostConfig.RestartPolicy
	return r.State.Status == Exited && (policy.IsAlways() ||
		!r.State.Stopped && (policy.IsUnlessStopped() || policy.IsOnFailure() && r.State.ExitCode != 0))
}
