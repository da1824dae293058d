package container

import (
	"context"
	"fmt"
	"net"
	"sort"
	"strconv"

	"berth/cli/command"
	"berth/cli/request"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// Port is `berth port`.
func Port() command.Command {
	return command.Command{
		Name: "port", Group: command.GroupWatch, Args: "CONTAINER [PORT[/PROTOCOL]]", Min: 1, Max: 2,
		Complete: command.Containers,
		Summary:  "List the published ports of a container",
		Examples: []string{"berth port web", "berth port web 80", "berth port dns 53/udp"},
		Setup: func(*pflag.FlagSet) command.Func {
			return runPort
		},
	}
}

func runPort(ctx context.Context, c *command.CLI, args []string) error {
	name := args[0]
	if err := checkName(name); err != nil {
		return err
	}
	var only network.Port
	if len(args) > 1 {
		var err error
		if only, err = network.ParsePort(args[1]); err != nil || only.Num() == 0 {
			return command.BadUsage("%q is no port: give a number from 1 to 65535, as 80 or 53/udp", args[1])
		}
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var info struct {
		NetworkSettings struct{ Ports network.PortMap }
	}
	if err := api.Get(ctx, "/containers/"+name+"/json", nil, &info); err != nil {
		return err
	}
	ports := info.NetworkSettings.Ports
	if !only.IsZero() {
		if len(ports[only]) == 0 {
			return fmt.Errorf("container %s does not publish port %s: 'berth port %s' lists those that it does", name, only, name)
		}
		for _, b := range inOrder(ports[only]) {
			fmt.Fprintln(c.Out, hostAddress(b))
		}
		return nil
	}
	order := make([]network.Port, 0, len(ports))
	for p := range ports {
		order = append(order, p)
	}
	sort.Slice(order, func(i, j int) bool {
		a, b := order[i], order[j]
		return a.Num() < b.Num() || a.Num() == b.Num() && a.Proto() < b.Proto()
	})
	for _, p := range order {
		for _, b := range inOrder(ports[p]) {
			fmt.Fprintf(c.Out, "%s -> %s\n", p, hostAddress(b))
		}
	}
	return nil
}

// inOrder sorts a port's bindings by address, IPv4 first, and the host's port.
func inOrder(b []network.PortBinding) []network.PortBinding {
	sort.SliceStable(b, func(i, j int) bool {
		if c := b[i].HostIP.Compare(b[j].HostIP); c != 0 {
			return c < 0
		}
		x, _ := strconv.Atoi(b[i].HostPort) // the daemon sends numbers
		y, _ := strconv.Atoi(b[j].HostPort)
		return x < y
	})
	return b
}

func hostAddress(b network.PortBinding) string {
	ip := "0.0.0.0"
	if b.HostIP.IsValid() {
		ip = b.HostIP.String()
	}
	return net.JoinHostPort(ip, b.HostPort)
}

// Update is `berth update`.
func Update() command.Command {
	return command.Command{
		Name: "update", Group: command.GroupRun, Args: "CONTAINER", Min: 1, Max: 1,
		Complete: command.Containers,
		Summary:  "Change the published ports of a container",
		Help: "The container may run or not, and what is asked for is done as a whole or not at all. " +
			"Connections that are open at a port that is published no more go on until one side ends them.",
		Examples: []string{
			"berth update -p 8080:80 web",
			"berth update -p 8443:443 --publish-rm 8080 web",
			"berth update --publish-rm 127.0.0.1:53/udp dns",
			"berth update --publish-rm :80 web",
		},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var add, remove []string
			fs.StringArrayVarP(&add, "publish", "p", nil, "Publish a port on the host, [[IP:]HOST:]CONTAINER[/udp], also of ranges")
			fs.StringArrayVar(&remove, "publish-rm", nil, "Publish a port of the host no more, [IP:]HOST[-HOST][/udp], or those of a port of the container, :CONTAINER[/udp]")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if err := checkName(args[0]); err != nil {
					return err
				}
				if len(add)+len(remove) == 0 {
					return command.BadUsage("berth update: nothing to change: give --publish or --publish-rm")
				}
				body, err := request.Ports(add, remove)
				if err != nil {
					return command.BadUsage("%v", err)
				}
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				return api.Post(ctx, "/containers/"+args[0]+"/update", nil, body, nil)
			}
		},
	}
}
