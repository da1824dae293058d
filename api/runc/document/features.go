package document

import (
	"context"
	"encoding/json"

	"berth/api/runc/command"
	"berth/internal/linux"
	"berth/ociruntime/bundle"
	"berth/ociruntime/plan/mountoption"
	"berth/ociruntime/plan/number"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features prints what this runtime can do.
func Features() command.Command {
	return command.Command{
		Name:     "features",
		Summary:  "Print what this runtime can do, as JSON",
		Help:     "The document is that of the OCI runtime specification (features.md). It tells of the runtime, not of this host.",
		Examples: []string{"berth-oci features | jq .linux.seccomp.actions"},
		Setup: func(*command.Flags) command.Func {
			return func(_ context.Context, c *command.CLI, _ []string) (int, error) {
				enc := json.NewEncoder(c.Out)
				enc.SetIndent("", "    ")
				return 0, enc.Encode(describe(c.Version, c.Commit))
			}
		},
	}
}

func describe(version, commit string) features.Features {
	yes := true
	f := features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         bundle.Hooks(),
		MountOptions:  mountoption.Known(),
		Annotations:   map[string]string{"dev.berth.version": version},
		PotentiallyUnsafeConfigAnnotations: []string{
			"org.criu.config",
			"org.systemd.property.", // and all that begin so
		},
		Linux: &features.Linux{
			Namespaces:   words(bundle.Namespaces()),
			Capabilities: linux.Capabilities(),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
			Seccomp: &features.Seccomp{
				Enabled:        &yes,
				Actions:        words(bundle.SeccompActions()),
				Operators:      words(bundle.SeccompOperators()),
				Archs:          words(bundle.SeccompArchs()),
				KnownFlags:     words(bundle.SeccompFlags()),
				SupportedFlags: words(bundle.SeccompFlags()),
			},
			Apparmor:        &features.Apparmor{Enabled: &yes},
			Selinux:         &features.Selinux{Enabled: &yes},
			IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: words(number.MemoryPolicies()), Flags: words(number.MemoryPolicyFlags())},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &yes},
		},
	}
	if commit != "" {
		f.Annotations["dev.berth.commit"] = commit
	}
	return f
}

// words are the names of an enumeration as plain strings.
func words[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
