// Package filter holds Docker's filters of lists and prunes.
//
// Level: L3, a subroom of engine.
// Owns: the meaning of a set of filters.
// May import: errdefs.
// Must not know: what is filtered.
package filter

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// Set is a request's filters: all names must match, one value of each suffices.
type Set map[string][]string

// Match says whether one of values satisfies the filter name, if it is set.
func (f Set) Match(name string, values ...string) bool {
	want := f[name]
	if len(want) == 0 {
		return true
	}
	return slices.ContainsFunc(values, func(v string) bool { return v != "" && slices.Contains(want, v) })
}

// MatchLabels checks the filter label: "key" or "key=value", all of them.
func (f Set) MatchLabels(labels map[string]string) bool {
	for _, want := range f["label"] {
		key, value, hasValue := strings.Cut(want, "=")
		got, ok := labels[key]
		if !ok || hasValue && got != value {
			return false
		}
	}
	return true
}

// Check refuses a filter that is not known: ignoring it could delete too much.
func (f Set) Check(known ...string) error {
	for name := range f {
		if !slices.Contains(known, name) {
			return invalid("unknown filter %.80q: use %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// Until reads the filter "until": a time, or an age like 24h.
func (f Set) Until() (time.Time, error) {
	if len(f["until"]) == 0 {
		return time.Time{}, nil
	}
	v := f["until"][0]
	if age, err := time.ParseDuration(v); err == nil {
		return time.Now().Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, invalid("filter until=%.40q: use an age like 24h or a time like 2026-01-02T15:04:05Z", v)
	}
	return t, nil
}

// Glob matches a shell pattern.
func Glob(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
