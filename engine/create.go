package engine

import (
	"context"
	"strings"

	"berth/container"
	"berth/container/hostfiles"
	"berth/container/jsonlog"
	"berth/engine/bundle"
	"berth/engine/share"
	"berth/internal/cleanup"
	"berth/spec"

	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
)

// Create makes a container that is not started. A request that could not be
// started because of its options is refused here and changes nothing.
func (e *Engine) Create(ctx context.Context, r CreateRequest) (_ mcontainer.CreateResponse, err error) {
	var undo cleanup.Stack
	defer undo.Run(&err)
	defer e.Hold()()
	rec, warnings, err := e.prepareRecord(ctx, r)
	if err != nil {
		return mcontainer.CreateResponse{}, err
	}
	reserved, err := e.records.Reserve(r.Name, spec.OwnIDs(rec.HostConfig))
	if err != nil {
		return mcontainer.CreateResponse{}, err
	}
	undo.Add(reserved.Abort)
	if _, err := e.Snapshots.Prepare(ctx, reserved.ID, chainOf(&rec)); err != nil {
		return mcontainer.CreateResponse{}, err
	}
	if err := hostfiles.Write(reserved.Dir, reserved.ID, rec.Config, rec.HostConfig, hostfiles.Network{HostServers: e.HostServers}); err != nil {
		return mcontainer.CreateResponse{}, err
	}
	c, err := reserved.Commit(rec)
	if err != nil {
		return mcontainer.CreateResponse{}, err
	}
	undo.Release()
	e.publish(c, events.ActionCreate)
	return mcontainer.CreateResponse{ID: c.ID(), Warnings: warnings}, nil
}

// prepareRecord completes and checks a request. Nothing is changed but the
// embedded image, which is loaded when it is named for the first time.
func (e *Engine) prepareRecord(ctx context.Context, r CreateRequest) (container.Record, []string, error) {
	if r.Config == nil || r.HostConfig == nil {
		return container.Record{}, nil, invalid("the request has no configuration")
	}
	if r.Config.Image == "" {
		return container.Record{}, nil, invalid("no image specified")
	}
	img, err := e.Find(ctx, r.Config.Image, r.Platform)
	if err != nil {
		return container.Record{}, nil, err
	}
	config := spec.Merge(img.Config.Config, *r.Config)
	host := *r.HostConfig
	if e.Rootless && host.UsernsMode == "" { // there are no further ids
		host.UsernsMode = "host"
	}
	warnings, err := checkRequest(&config, &host)
	if err != nil {
		return container.Record{}, nil, err
	}
	if err := share.Resolve(r.Config, &host, r.Networks, e.records.Get); err != nil {
		return container.Record{}, nil, err
	}
	names, err := e.Prepare(&host, r.Networks, config.ExposedPorts)
	if err != nil {
		return container.Record{}, nil, err
	}
	warnings = append(warnings, e.Unpublished(&host, names)...)
	rec := container.Record{Config: &config, HostConfig: &host, Networks: names, Image: img.ID.String()}
	for _, chain := range img.Chain {
		rec.Layers = append(rec.Layers, chain.String())
	}
	// Everything that can be wrong with the options shows when a spec is built.
	rec.ID = strings.Repeat("0", 64)
	if _, err := e.bundles.Spec(&rec, spec.User{}, bundle.Places{Dry: true}); err != nil {
		return container.Record{}, nil, err
	}
	rec.ID = ""
	return rec, warnings, nil
}

// checkRequest refuses what no room below knows about and fills in defaults.
func checkRequest(c *mcontainer.Config, h *mcontainer.HostConfig) (warnings []string, err error) {
	if err := mcontainer.ValidateRestartPolicy(h.RestartPolicy); err != nil {
		return nil, invalid("restart policy: %v", err)
	}
	if h.AutoRemove && !h.RestartPolicy.IsNone() {
		return nil, invalid("--rm and --restart %s exclude each other", h.RestartPolicy.Name)
	}
	if c.Healthcheck != nil && len(c.Healthcheck.Test) > 0 && c.Healthcheck.Test[0] != "NONE" {
		warnings = append(warnings, "health checks are not run yet")
	}
	if _, err := jsonlog.ParseOptions(h.LogConfig.Type, h.LogConfig.Config); err != nil {
		return nil, err
	}
	if c.StopSignal != "" {
		if _, err := parseSignal(c.StopSignal); err != nil {
			return nil, err
		}
	}
	if mode := h.NetworkMode; len(h.PortBindings) > 0 && (mode.IsHost() || mode.IsNone()) {
		warnings = append(warnings, "published ports are discarded with --network "+string(mode))
	}
	return warnings, nil
}

// chainOf are the chain ids of a container's layers, bottom first.
func chainOf(rec *container.Record) []digest.Digest {
	chain := make([]digest.Digest, 0, len(rec.Layers))
	for _, l := range rec.Layers {
		chain = append(chain, digest.Digest(l))
	}
	return chain
}
