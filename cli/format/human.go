package format

import (
	"sort"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Ago is the time since t in docker's words. The zero time is "N/A".
func Ago(t time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return units.HumanDuration(time.Since(t)) + " ago"
}

// Size is a size in decimal units, as docker prints images.
func Size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// ShortID is the first twelve digits of an id or digest.
func ShortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// Labels joins labels with commas, sorted by name.
func Labels(m map[string]string) string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}
