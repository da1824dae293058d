package dropin

import (
	"context"
	"os"
	"testing"
	"time"
)

// dockerEngine starts a dockerd with the runtime under test; before runs ahead of
// it, in the same namespaces.
func dockerEngine(t *testing.T, wrap []string, flags ...string) *engine {
	t.Helper()
	runtime := runtimePath(t)
	e := newEngine(t, "docker", "dockerd", "containerd", "docker-init")
	socket := e.path("sock")
	e.command = []string{"docker", "-H", "unix://" + socket}
	e.env = []string{"DOCKER_CONFIG=" + e.path("cli"), "DOCKER_HOST=", "DOCKER_CONTEXT="}
	e.state = e.path("exec/runtime-runc/moby")
	command := append(append([]string{}, wrap...), "dockerd",
		"--config-file", e.write(t, "daemon.json", "{}", 0o600),
		"--data-root", e.path("data"), "--exec-root", e.path("exec"), "--pidfile", e.path("pid"),
		"-H", "unix://"+socket,
		"--add-runtime", "berth="+runtime, "--default-runtime", "berth",
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", e.parent,
		"--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false",
		"--shutdown-timeout", "5")
	e.daemonize(t, append(command, flags...), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return e.cmd(ctx, "version").Run()
	})
	e.must(t, "import", e.path("image.tar"), imageName)
	return e
}

func TestDocker(t *testing.T) {
	t.Parallel()
	e := dockerEngine(t, nil, "--bridge=none")
	runCases(t, e, shared(), dockerOnly())
}

// TestMore has engines in other settings.
func TestMore(t *testing.T) {
	if !all() {
		t.Skip("rare or slow: make dropin runs it")
	}
	t.Parallel()
	t.Run("docker with ids remapped", testDockerRemapped)
	t.Run("docker with a bridge", testDockerBridge)
	t.Run("podman with vfs", testPodmanVFS)
	t.Run("podman with its network", testPodmanNetwork)
}

// all says whether the rare and slow cases are asked for.
func all() bool { return os.Getenv("BERTH_DROPIN_ALL") != "" }
