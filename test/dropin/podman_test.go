package dropin

import (
	"fmt"
	"testing"
)

// containersConf is what the engine needs on a machine of any kind: limits that
// need no CAP_SYS_RESOURCE, locks of its own, no registry.
const containersConf = `[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
netns = "none"
[engine]
lock_type = "file"
events_logger = "none"
hooks_dir = [%q]
`

const storageConf = `[storage]
driver = %q
graphroot = %q
runroot = %q
`

// podmanEngine prepares a podman with the runtime under test.
func podmanEngine(t *testing.T, driver string) *engine {
	t.Helper()
	runtime := runtimePath(t)
	e := newEngine(t, "podman", "conmon", "catatonit")
	e.state = e.path("state")
	// Podman gives no --root: this is the runtime with another default.
	wrapper := e.write(t, "berth-oci", fmt.Sprintf("#!/bin/sh\nexec '%s' --root '%s' \"$@\"\n", runtime, e.state), 0o755)
	e.command = []string{
		"podman", "--root", e.path("root"), "--runroot", e.path("run"), "--tmpdir", e.path("tmp"),
		"--volumepath", e.path("volumes"), "--network-config-dir", e.path("net"),
		"--runtime", wrapper, "--cgroup-manager", "cgroupfs", "--storage-driver", driver,
		"--events-backend", "none",
	}
	e.env = []string{
		"CONTAINERS_CONF=" + e.write(t, "containers.conf", fmt.Sprintf(containersConf, e.path("hooks")), 0o600),
		"CONTAINERS_STORAGE_CONF=" + e.write(t, "storage.conf", fmt.Sprintf(storageConf, driver, e.path("root"), e.path("run")), 0o600),
		"CONTAINERS_REGISTRIES_CONF=" + e.write(t, "registries.conf", "", 0o600),
	}
	e.own = []string{"--cgroup-parent", e.parent}
	e.must(t, "import", "-q", e.path("image.tar"), imageName)
	return e
}

func TestPodman(t *testing.T) {
	t.Parallel()
	e := podmanEngine(t, "overlay")
	runCases(t, e, shared(), podmanOnly())
}
