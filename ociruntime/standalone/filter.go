package standalone

import (
	"fmt"
	"runtime"

	"berth/ociruntime/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// filter is the compiled seccomp profile of a config.json, which need not be
// read if it was compiled before.
type filter struct {
	cache   seccomp.DiskCache
	profile []byte
	found   seccomp.Filter
	ok      bool
}

func (r *Runtime) newFilter() *filter {
	return &filter{cache: seccomp.DiskCache{Dir: r.store.Filters()}}
}

// known looks for the filter of a profile. One that notifies does not count: its
// profile says whom.
func (f *filter) known(profile []byte) bool {
	f.profile = profile
	f.found, f.ok = f.cache.Find(profile, runtime.GOARCH)
	f.ok = f.ok && !f.found.Notifies()
	return f.ok
}

// notRead is known for who does not want the profile.
func notRead([]byte) bool { return true }

// compile returns the filter that was found, or makes that of a profile that was read.
func (f *filter) compile(l *specs.Linux) (seccomp.Filter, error) {
	if f.ok || l == nil || l.Seccomp == nil {
		return f.found, nil
	}
	made, err := seccomp.Compile(l.Seccomp, runtime.GOARCH)
	if err != nil {
		return made, fmt.Errorf("compile the seccomp profile: %w", err)
	}
	f.cache.Add(f.profile, runtime.GOARCH, made)
	return made, nil
}
