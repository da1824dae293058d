package filter

import (
	"errors"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestSet(t *testing.T) {
	f := Set{"name": {"a", "b"}, "label": {"k", "x=1"}}
	if !f.Match("name", "b") || f.Match("name", "c") || f.Match("name", "") || !f.Match("absent", "c") {
		t.Error("Match")
	}
	labels := map[string]string{"k": "", "x": "1"}
	if !f.MatchLabels(labels) || f.MatchLabels(map[string]string{"k": "", "x": "2"}) || f.MatchLabels(map[string]string{"x": "1"}) {
		t.Error("MatchLabels")
	}
	if err := f.Check("name", "label"); err != nil {
		t.Error(err)
	}
	if err := f.Check("name"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("unknown filter: %v", err)
	}
}

func TestUntil(t *testing.T) {
	if at, err := (Set{}).Until(); err != nil || !at.IsZero() {
		t.Errorf("absent: %v, %v", at, err)
	}
	if at, err := (Set{"until": {"24h"}}).Until(); err != nil || time.Since(at) < 23*time.Hour || time.Since(at) > 25*time.Hour {
		t.Errorf("age: %v, %v", at, err)
	}
	if at, err := (Set{"until": {"2026-01-02T15:04:05Z"}}).Until(); err != nil || at.Year() != 2026 {
		t.Errorf("time: %v, %v", at, err)
	}
	if _, err := (Set{"until": {"yesterday"}}).Until(); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("nonsense: %v", err)
	}
}
