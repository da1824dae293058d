package container

import (
	"context"

	"berth/cli/client"
	"berth/cli/command"

	"github.com/spf13/pflag"
)

// Pause is `berth pause`.
func Pause() command.Command {
	return command.Command{
		Name: "pause", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Freeze all processes of containers",
		Examples: []string{"berth pause web"},
		Setup:    func(*pflag.FlagSet) command.Func { return plain("pause") },
	}
}

// Unpause is `berth unpause`.
func Unpause() command.Command {
	return command.Command{
		Name: "unpause", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Let frozen containers go on",
		Examples: []string{"berth unpause web"},
		Setup:    func(*pflag.FlagSet) command.Func { return plain("unpause") },
	}
}

// plain sends a verb that takes no parameters.
func plain(verb string) command.Func {
	return each(func(ctx context.Context, api *client.Client, name string) error {
		return api.Post(ctx, "/containers/"+name+"/"+verb, nil, nil, nil)
	})
}
