package spec

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rlimitNames are those of getrlimit(2) that Docker takes.
func rlimitNames() []string {
	return []string{
		"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
		"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
	}
}

// setRlimits sets --ulimit. -1 is no limit.
func (b *builder) setRlimits() error {
	for _, u := range b.HostConfig.Ulimits {
		if u == nil {
			continue
		}
		if !slices.Contains(rlimitNames(), u.Name) {
			return invalid("--ulimit: unknown limit %q, use one of %s", u.Name, strings.Join(rlimitNames(), ", "))
		}
		if u.Soft < -1 || u.Hard < -1 {
			return invalid("--ulimit %s: a limit is -1 (none) or not negative", u.Name)
		}
		soft, hard := uint64(u.Soft), uint64(u.Hard) // -1 becomes RLIM_INFINITY
		if soft > hard {
			return invalid("--ulimit %s: the soft limit %d is above the hard limit %d", u.Name, u.Soft, u.Hard)
		}
		kind := "RLIMIT_" + strings.ToUpper(u.Name)
		limits := slices.DeleteFunc(b.spec.Process.Rlimits, func(l specs.POSIXRlimit) bool { return l.Type == kind })
		b.spec.Process.Rlimits = append(limits, specs.POSIXRlimit{Type: kind, Soft: soft, Hard: hard})
	}
	return nil
}
