package rootless

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseRanges(t *testing.T) {
	m := func(inside, host, n uint32) specs.LinuxIDMapping {
		return specs.LinuxIDMapping{ContainerID: inside, HostID: host, Size: n}
	}
	for name, tt := range map[string]struct {
		text string
		want []specs.LinuxIDMapping
	}{
		"by name":        {"other:1:2\nme:100000:65536\n", []specs.LinuxIDMapping{m(1, 100000, 65536)}},
		"by number":      {"1000:100000:65536", []specs.LinuxIDMapping{m(1, 100000, 65536)}},
		"several":        {"me:100000:10\n1000:200000:5\n", []specs.LinuxIDMapping{m(1, 100000, 10), m(11, 200000, 5)}},
		"others":         {"mee:1:2\nm:3:4\n10000:5:6\n", nil},
		"makes no sense": {"me:x:1\nme:1\nme:1:2:3\nme:5:0\nme:0:5\nme:-1:5\nme:4294967295:1\nme:10:4294967290\n", nil},
		"too many":       {strings.Repeat("me:100000:1\n", 100), nil},
	} {
		got := parseRanges(strings.NewReader(tt.text), "me", 1000)
		if name == "too many" {
			if len(got) != maxRanges {
				t.Errorf("%s: %d ranges, want %d", name, len(got), maxRanges)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
