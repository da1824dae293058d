package image

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPullAndGet(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one", "two", "three")
	srv.push("debian", "12", img)
	s, layers := newStore(t)
	ref := mustRef(t, srv.host+"/debian:12")
	var seen []Progress
	got, err := s.Pull(t.Context(), ref, PullOptions{Progress: func(p Progress) { seen = append(seen, p) }})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != img.config.desc.Digest {
		t.Errorf("id: got %s, want %s", got.ID, img.config.desc.Digest)
	}
	if diff := cmp.Diff([]string{srv.host + "/debian:12"}, got.Names); diff != "" {
		t.Error("names", diff)
	}
	if diff := cmp.Diff([]string{srv.host + "/debian@" + img.manifest.desc.Digest.String()}, got.Digests); diff != "" {
		t.Error("digests", diff)
	}
	if len(got.Chain) != 3 || layers.calls != 3 {
		t.Errorf("chain %v, %d layers unpacked, want 3 each", got.Chain, layers.calls)
	}
	done := 0
	for _, p := range seen {
		if p.Status == StatusDone {
			done++
		}
	}
	if done != 3 {
		t.Errorf("%d layers reported done, want 3: %v", done, seen)
	}
	for _, name := range []string{ref.String(), got.ID.String(), got.ID.Encoded(), got.ID.Encoded()[:12], got.Digests[0]} {
		again, err := s.Get(name)
		if err != nil {
			t.Errorf("get %q: %v", name, err)
			continue
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("get %q: %s", name, diff)
		}
	}
}
