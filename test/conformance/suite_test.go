package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
	"berth/test/berthtest"
)

func TestMain(m *testing.M) {
	Stage()
	code := m.Run()
	if err := berthtest.Clean(); err != nil {
		code = 1
	}
	os.Exit(code)
}

// must are the programs that berth-oci passes wherever the suite runs. Those that
// are missing, and why, are in docs/CONFORMANCE.md.
var must = strings.Fields(`
	config_updates_without_affect create default delete_only_create_resources hooks_stdin hostname
	kill kill_no_effect killsig linux_devices linux_masked_paths linux_mount_label linux_ns_itype linux_ns_nopath linux_ns_path
	linux_ns_path_type linux_readonly_paths linux_rootfs_propagation linux_seccomp linux_sysctl linux_uid_mappings
	mounts poststart poststop poststop_fail prestart_fail process process_oom_score_adj process_rlimits
	process_rlimits_fail process_user root_readonly_true state`)

// mustCgroup1 are those that read what only cgroup v1 has.
var mustCgroup1 = strings.Fields(`
	linux_cgroups_cpus linux_cgroups_devices linux_cgroups_relative_cpus linux_cgroups_relative_devices`)

// TestSuite runs the programs with berth-oci alone. `make conformance` runs all of
// them, and crun and runc beside it.
func TestSuite(t *testing.T) {
	testutil.RequireRoot(t)
	suite, err := OpenSuite(t.Context(), CacheDir())
	if err != nil {
		t.Fatal(err)
	}
	programs := must
	var fs syscall.Statfs_t
	const cgroup2 = 0x63677270 // CGROUP2_SUPER_MAGIC, statfs(2)
	if err := syscall.Statfs(cgroupRoot, &fs); err == nil && fs.Type != cgroup2 {
		programs = append(programs[:len(programs):len(programs)], mustCgroup1...)
	}
	runner := &Runner{Suite: suite, Limit: 3 * time.Minute, Beside: 8}
	results, err := runner.Run(t.Context(), Runtime{Name: "berth-oci", Path: filepath.Join(berthtest.Binaries(t), "berth-oci")}, programs)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if why := r.Why(); why != "" {
			t.Errorf("%s: %s\n%s", r.Program, why, r.Stderr)
		}
	}
}
