package system

import (
	"context"
	"fmt"
	"runtime"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/spf13/pflag"
)

// Version is `berth version`.
func Version() command.Command {
	return command.Command{
		Name: "version", Group: command.GroupGeneral,
		Summary:  "Show the versions of berth and berthd",
		Help:     "'berth --version' prints only our own and needs no daemon.",
		Examples: []string{"berth version", `berth version --format '{{.Server.Version}}'`},
		Setup: func(fs *pflag.FlagSet) command.Func {
			f := fs.StringP("format", "f", "", "A Go template or json")
			return func(ctx context.Context, c *command.CLI, _ []string) error {
				return runVersion(ctx, c, *f)
			}
		},
	}
}

func runVersion(ctx context.Context, c *command.CLI, f string) error {
	client := map[string]any{
		"Version": c.Version, "GoVersion": runtime.Version(), "Os": runtime.GOOS, "Arch": runtime.GOARCH,
	}
	server := map[string]any{}
	api, err := c.Client(ctx)
	if err == nil {
		err = api.Get(ctx, "/version", nil, &server)
	}
	if f != "" {
		if err != nil {
			return err
		}
		return format.Value(c.Out, f, map[string]any{"Client": client, "Server": server})
	}
	fmt.Fprintf(c.Out, "Client:\n")
	fields(c, client, "Version", "GoVersion", "Os", "Arch")
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "Server:\n")
	fields(c, server, "Version", "ApiVersion", "MinAPIVersion", "GoVersion", "Os", "Arch", "KernelVersion")
	return nil
}

func fields(c *command.CLI, values map[string]any, names ...string) {
	for _, n := range names {
		if v, ok := values[n]; ok && v != "" {
			fmt.Fprintf(c.Out, "  %-14s %v\n", n+":", v)
		}
	}
}
