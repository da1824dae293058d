package image

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

const someDigest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestParseReference(t *testing.T) {
	cases := []struct{ in, full, familiar string }{
		{"debian", "docker.io/library/debian:latest", "debian:latest"},
		{"debian:12", "docker.io/library/debian:12", "debian:12"},
		{"docker.io/debian:12", "docker.io/library/debian:12", "debian:12"},
		{"index.docker.io/library/debian:12", "docker.io/library/debian:12", "debian:12"},
		{"team/app", "docker.io/team/app:latest", "team/app:latest"},
		{"localhost:5000/debian:12", "localhost:5000/debian:12", "localhost:5000/debian:12"},
		{"localhost/debian", "localhost/debian:latest", "localhost/debian:latest"},
		{"a.example/b/c:1", "a.example/b/c:1", "a.example/b/c:1"},
		{"[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"},
		{"debian@" + someDigest, "docker.io/library/debian@" + someDigest, "debian@" + someDigest},
		{"debian:12@" + someDigest, "docker.io/library/debian@" + someDigest, "debian@" + someDigest},
		{"toolbox", "berth.internal/toolbox:latest", "toolbox:latest"},
		{"toolbox:1", "berth.internal/toolbox:1", "toolbox:1"},
		{"berth.internal/toolbox", "berth.internal/toolbox:latest", "toolbox:latest"},
		{"berth.internal/toolboxes", "berth.internal/toolboxes:latest", "berth.internal/toolboxes:latest"},
		{"team/toolbox", "docker.io/team/toolbox:latest", "team/toolbox:latest"},
		{"docker.io/library/toolbox", "docker.io/library/toolbox:latest", "docker.io/library/toolbox:latest"},
	}
	for _, c := range cases {
		t.Run(c.in, func(t *testing.T) {
			r, err := ParseReference(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if r.String() != c.full || r.Familiar() != c.familiar {
				t.Errorf("got %s and %s, want %s and %s", r, r.Familiar(), c.full, c.familiar)
			}
			for _, form := range []string{r.String(), r.Familiar()} {
				if again, err := ParseReference(form); err != nil || again.String() != r.String() {
					t.Errorf("%q reads as %v, %v; want %s", form, again, err, r)
				}
			}
		})
	}
	for _, bad := range []string{
		"", "Debian", "debian:", ":12", "debian:12:13", "a b", "../x", "x/../y", "debian@sha256:12", "https://a.example/x",
		"debian@sha512:" + strings.Repeat("a", 128), strings.Repeat("a", 600), "a\nb", someDigest, strings.Repeat("a", 64),
	} {
		if r, err := ParseReference(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: got %v, %v; want ErrInvalidArgument", bad, r, err)
		} else if strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%q: message has more than one line: %q", bad, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"debian", "localhost:5000/a/b:c@" + someDigest, "toolbox", "toolbox@" + someDigest, "[::1]/x", "a.b/c__d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if (r.Tag() == "") == (r.Digest() == "") {
			t.Errorf("%q has both or neither of tag and digest: %s", s, r)
		}
		again, err := ParseReference(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q: %s reads as %v, %v", s, r, again, err)
		}
		short, err := ParseReference(r.Familiar())
		if err != nil || short.String() != r.String() {
			t.Errorf("%q: %s reads as %v, %v; want %s", s, r.Familiar(), short, err, r)
		}
	})
}
