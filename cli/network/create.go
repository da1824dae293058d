package network

import (
	"context"
	"errors"
	"fmt"

	"berth/cli/command"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

type createOptions struct {
	driver                         string
	options, labels                []string // NAME=VALUE
	internal, attachable           bool
	ipv4, ipv6                     bool
	subnets, ranges, gateways, aux []string
}

// Create is `berth network create`.
func Create() command.Command {
	return command.Command{
		Name: "network create", Group: command.GroupNetwork, Args: "NETWORK", Min: 1, Max: 1,
		Summary: "Create a network",
		Help: `
Containers in the same network reach each other, also by name; those of another
network do not. Without --subnet a free range of addresses is chosen.
With --driver macvlan or ipvlan and --opt parent=DEVICE containers are at the LAN
of that device of the host, with addresses of their own there.`,
		Examples: []string{
			"berth network create backend",
			"berth network create --internal db",
			"berth network create --subnet 172.30.0.0/16 --ip-range 172.30.5.0/24 --gateway 172.30.0.1 front",
			"berth network create -o berth.rate.in=20mbit -o berth.rate.out=5mbit slow",
			"berth network create --ipv6 --subnet fd00:30::/64 six",
			"berth network create -d macvlan -o parent=eth0 --subnet 192.168.1.0/24 --gateway 192.168.1.1 --ip-range 192.168.1.192/27 lan",
		},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o createOptions
			fs.StringVarP(&o.driver, "driver", "d", network.NetworkBridge, "Driver of the network: bridge, macvlan or ipvlan")
			fs.StringSliceVar(&o.subnets, "subnet", nil, "Range of its addresses, as 172.30.0.0/16; again for an IPv6 one")
			fs.StringSliceVar(&o.ranges, "ip-range", nil, "Part of a subnet that containers get addresses from")
			fs.StringSliceVar(&o.gateways, "gateway", nil, "Address of the host in a subnet, or of a LAN's router (the first if not given)")
			fs.StringArrayVar(&o.aux, "aux-address", nil, "Address that no container gets, NAME=IP")
			fs.BoolVar(&o.internal, "internal", false, "No way out: containers only reach each other")
			fs.BoolVar(&o.ipv4, "ipv4", true, "Give containers IPv4 addresses")
			fs.BoolVar(&o.ipv6, "ipv6", false, "Give containers IPv6 addresses")
			fs.StringArrayVarP(&o.options, "opt", "o", nil, "Option of the driver, NAME=VALUE")
			fs.StringArrayVar(&o.labels, "label", nil, "Set a label, NAME=VALUE")
			fs.BoolVar(&o.attachable, "attachable", false, "Accepted for docker's sake: containers can always be connected")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				r, err := o.request(args[0], fs.Changed)
				if err != nil {
					return command.Code(command.BadInput, err)
				}
				return runCreate(ctx, c, r)
			}
		},
	}
}

// request makes the body of the request; changed tells which flags were given.
func (o *createOptions) request(name string, changed func(flag string) bool) (*network.CreateRequest, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	r := &network.CreateRequest{Name: name, Driver: o.driver, Internal: o.internal, Attachable: o.attachable}
	if changed("ipv4") {
		r.EnableIPv4 = &o.ipv4
	}
	if changed("ipv6") {
		r.EnableIPv6 = &o.ipv6
	}
	var err error
	if r.IPAM, err = o.ipam(); err != nil {
		return nil, err
	}
	if r.Options, err = pairs("opt", o.options); err != nil {
		return nil, err
	}
	r.Labels, err = pairs("label", o.labels)
	return r, err
}

func runCreate(ctx context.Context, c *command.CLI, r *network.CreateRequest) error {
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var created network.CreateResponse
	if err := api.Post(ctx, "/networks/create", nil, r, &created); err != nil {
		return err
	}
	if created.Warning != "" {
		c.Warn(errors.New(created.Warning))
	}
	fmt.Fprintln(c.Out, created.ID)
	return nil
}
