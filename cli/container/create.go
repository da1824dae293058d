package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/progress"
	"berth/cli/request"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// Create is `berth create`.
func Create() command.Command {
	return command.Command{
		Name: "create", Group: command.GroupRun, Args: "IMAGE [COMMAND] [ARG...]",
		Min: 1, Max: -1, ArgsEndFlags: true, Complete: command.Images,
		Summary:  "Create a container without starting it",
		Help:     "It takes the flags of run and prints the new container's id.",
		Examples: []string{"berth create --name web -m 256m nginx", "berth start web"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			flags := request.Define(fs)
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return command.Code(command.BadInput, runCreate(ctx, c, flags, args))
			}
		},
	}
}

func runCreate(ctx context.Context, c *command.CLI, flags *request.Flags, args []string) error {
	r, _, err := flags.Build(args, false)
	if err != nil {
		return err
	}
	cid, err := openCIDFile(flags.CIDFile)
	if err != nil {
		return err
	}
	defer cid.close()
	id, err := create(ctx, c, flags, r, cid)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.Out, id)
	return nil
}

// create asks for the container and pulls its image where that is allowed and needed.
func create(ctx context.Context, c *command.CLI, flags *request.Flags, r *client.CreateRequest, cid *cidFile) (string, error) {
	api, err := c.Client(ctx)
	if err != nil {
		return "", err
	}
	if flags.Pull == "always" {
		if err := pull(ctx, c, api, flags, r.Image); err != nil {
			return "", err
		}
	}
	query := url.Values{}
	if flags.Name != "" {
		query.Set("name", flags.Name)
	}
	if flags.Platform != "" {
		query.Set("platform", flags.Platform)
	}
	var created client.CreateResponse
	err = api.Post(ctx, "/containers/create", query, r, &created)
	if errors.Is(err, errdefs.ErrNotFound) && flags.Pull == "missing" {
		if err := knownNetworks(ctx, api, r); err != nil {
			return "", err
		}
		fmt.Fprintf(c.Err, "Unable to find image '%s' locally\n", r.Image)
		if err := pull(ctx, c, api, flags, r.Image); err != nil {
			return "", err
		}
		err = api.Post(ctx, "/containers/create", query, r, &created)
	}
	if err != nil {
		return "", err
	}
	for _, w := range created.Warnings {
		c.Warn(errors.New(w))
	}
	return created.ID, cid.write(created.ID)
}

// knownNetworks says whether the networks that are to be joined exist: no image is
// pulled for a container that cannot be.
func knownNetworks(ctx context.Context, api *client.Client, r *client.CreateRequest) error {
	names := []string{}
	if mode := r.HostConfig.NetworkMode; mode != "" && !strings.Contains(mode, ":") { // not container:NAME
		names = append(names, mode)
	}
	if r.NetworkingConfig != nil {
		names = append(names, slices.Sorted(maps.Keys(r.NetworkingConfig.EndpointsConfig))...)
	}
	for _, name := range names {
		if name == network.NetworkDefault || name == network.NetworkBridge || name == network.NetworkHost || name == network.NetworkNone {
			continue // these always do
		}
		if strings.HasPrefix(name, "cni:") {
			continue // berthd reads those at create
		}
		if err := api.Get(ctx, "/networks/"+url.PathEscape(name), nil, nil); errors.Is(err, errdefs.ErrNotFound) {
			return err
		}
	}
	return nil
}

func pull(ctx context.Context, c *command.CLI, api *client.Client, flags *request.Flags, image string) error {
	out := c.Err
	if flags.Quiet {
		out = nil
	}
	return progress.Pull(ctx, api, image, flags.Platform, out)
}

// cidFile is the file of --cidfile. A nil one is none.
type cidFile struct {
	f       *os.File
	written bool
}

func openCIDFile(path string) (*cidFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("the file of --cidfile %s exists already: remove it or choose another", path)
	}
	if err != nil {
		return nil, fmt.Errorf("make the file of --cidfile: %w", err)
	}
	return &cidFile{f: f}, nil
}

func (c *cidFile) write(id string) error {
	if c == nil {
		return nil
	}
	if _, err := c.f.WriteString(id); err != nil {
		return fmt.Errorf("write the file of --cidfile: %w", err)
	}
	c.written = true
	return nil
}

// close removes the file again if no container was created.
func (c *cidFile) close() {
	if c == nil {
		return
	}
	_ = c.f.Close() // the id was written by write, which told of errors
	if !c.written {
		_ = os.Remove(c.f.Name())
	}
}
