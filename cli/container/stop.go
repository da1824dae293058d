package container

import (
	"context"
	"fmt"
	"net/url"

	"berth/cli/client"
	"berth/cli/command"

	"github.com/spf13/pflag"
)

// Stop is `berth stop`.
func Stop() command.Command {
	return command.Command{
		Name: "stop", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Stop containers: first ask, then kill",
		Examples: []string{"berth stop web", "berth stop -t 0 web db"},
		Setup:    func(fs *pflag.FlagSet) command.Func { return stopOrRestart(fs, "stop") },
	}
}

// Restart is `berth restart`.
func Restart() command.Command {
	return command.Command{
		Name: "restart", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Stop containers and start them again",
		Examples: []string{"berth restart web"},
		Setup:    func(fs *pflag.FlagSet) command.Func { return stopOrRestart(fs, "restart") },
	}
}

func stopOrRestart(fs *pflag.FlagSet, verb string) command.Func {
	signal := fs.StringP("signal", "s", "", "Signal that asks (the image's, else SIGTERM)")
	seconds := fs.IntP("timeout", "t", 0, "Seconds until it is killed; -1 never (the container's, else 10)")
	fs.IntVar(seconds, "time", 0, "The same as --timeout")
	fs.Lookup("time").Hidden = true
	return each(func(ctx context.Context, api *client.Client, name string) error {
		q := url.Values{}
		if *signal != "" {
			q.Set("signal", *signal)
		}
		if fs.Changed("timeout") || fs.Changed("time") {
			q.Set("t", fmt.Sprint(*seconds))
		}
		return api.Post(ctx, "/containers/"+name+"/"+verb, q, nil, nil)
	})
}
