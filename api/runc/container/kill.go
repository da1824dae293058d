package container

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/api/runc/command"
	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// Kill signals a container's first process.
func Kill() command.Command {
	return command.Command{
		Name: "kill", Args: "ID [SIGNAL]", Min: 1, Max: 2, Container: true,
		Summary:  "Send a signal to a container's first process",
		Help:     "SIGNAL is a number or a name with or without SIG, such as 9, KILL or SIGKILL; TERM if it is left out.",
		Examples: []string{"berth-oci kill web", "berth-oci kill web KILL", "berth-oci kill --all web HUP"},
		Setup: func(f *command.Flags) command.Func {
			var all bool
			f.Bool(&all, "all,a", "send it to every process of the container; none is no error")
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				name := "TERM"
				if len(args) > 1 && args[1] != "" {
					name = args[1]
				}
				sig, ok := linux.ParseSignal(name)
				if !ok {
					return 0, fmt.Errorf("unknown signal %q: give a name such as TERM or a number from 1 to 64", name)
				}
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				err = rt.Kill(ctx, args[0], sig, all)
				if !errors.Is(err, errdefs.ErrFailedPrecondition) {
					return 0, toEngines(err)
				}
				if all {
					return 0, nil // as runc: it has ended already
				}
				return 0, saying("container not running", err)
			}
		},
	}
}

// toEngines gives an error the words that engines look for in standard error
// and the log, in case it is worded otherwise.
func toEngines(err error) error {
	if errors.Is(err, errdefs.ErrNotFound) {
		return saying("container does not exist", err)
	}
	return err
}

// saying puts words before an error unless they, or their end, are in it.
func saying(words string, err error) error {
	if strings.Contains(err.Error(), strings.TrimPrefix(words, "container ")) {
		return err
	}
	return fmt.Errorf("%s: %w", words, err)
}
