package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"berth/container"
	"berth/engine/bundle"
	"berth/engine/share"
	"berth/internal/linux"
	"berth/ociruntime/lifecycle"
	"berth/spec"
)

// Explain prints a container's plan.
func (e *Engine) Explain(ctx context.Context, ref string) (string, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return "", err
	}
	rec := c.Record()
	o, err := e.Snapshots.Prepare(ctx, rec.ID, chainOf(&rec))
	if err != nil {
		return "", err
	}
	user, err := e.bundles.LookInside(&rec, o)
	if err != nil {
		return "", err
	}
	return e.explain(&rec, o, user, bundle.Places{Files: bundle.FilesOf(share.NetworkOf(c, e.records.Get))})
}

// ExplainRequest prints the plan of a container that a request would make.
func (e *Engine) ExplainRequest(ctx context.Context, r CreateRequest) (string, error) {
	defer e.Hold()()
	rec, _, err := e.prepareRecord(ctx, r)
	if err != nil {
		return "", err
	}
	rec.ID = strings.Repeat("0", 64)
	// Nothing is made: the writable layer is only named.
	view, err := e.Snapshots.View(chainOf(&rec))
	if err != nil {
		return "", err
	}
	o := view
	o.Upper, o.Work = filepath.Join("containers", rec.ID, "upper"), filepath.Join("containers", rec.ID, "work")
	root, err := linux.MountOverlay(view)
	if err != nil {
		return "", fmt.Errorf("look into the image: %w", err)
	}
	defer root.Close()
	user, err := bundle.ResolveUser(root, rec.Config.User, rec.HostConfig.GroupAdd)
	if err != nil {
		return "", err
	}
	return e.explain(&rec, o, user, bundle.Places{})
}

func (e *Engine) explain(rec *container.Record, o linux.Overlay, user spec.User, p bundle.Places) (string, error) {
	var err error
	if p.Mounts, err = bundle.DryMounts(rec); err != nil {
		return "", err
	}
	s, err := e.bundles.Spec(rec, user, p)
	if err != nil {
		return "", err
	}
	return e.Runtime.Explain(lifecycle.Args{
		ID: rec.ID, Spec: s, Rootfs: &o, RunDir: e.runDir(rec.ID), OpenStdin: rec.Config.OpenStdin,
	})
}
