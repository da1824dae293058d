package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"berth/cli/command"

	"github.com/spf13/pflag"
)

func help() command.Command {
	return command.Command{
		Name: "help", Group: command.GroupGeneral, Args: "[COMMAND]", Max: 2,
		Summary:  "Show help",
		Complete: command.Commands,
		Setup: func(*pflag.FlagSet) command.Func {
			return func(_ context.Context, c *command.CLI, args []string) error {
				if len(args) == 0 {
					return showOverview(c)
				}
				verbs, ok := objects(args[0])
				if ok && len(args) == 1 {
					return showObject(c, args[0], verbs)
				}
				name := strings.Join(args, " ")
				if len(args) == 2 && verbs[args[1]] != "" {
					name = verbs[args[1]]
				}
				cmd := find(name)
				if cmd == nil {
					return command.BadUsage("%q is not a berth command: see 'berth help'", name)
				}
				return showHelp(c, cmd)
			}
		},
	}
}

const overviewHead = `Usage: berth [--host unix://PATH] [--root DIR] [--run DIR] COMMAND [ARG...]

Runs containers. Try: berth run --rm -ti toolbox
`

const overviewTail = `
Flags before the command:
  -H, --host unix://PATH   Socket of the daemon (BERTH_HOST); none is started then
      --root DIR           Data of a daemon that is started (BERTH_ROOT; /var/lib/berth,
                           a user's: ~/.local/share/berth)
      --run DIR            Its run directory, with its socket (BERTH_RUN;
                           /run/berth, a user's: $XDG_RUNTIME_DIR/berth)
  -v, --version            Print the version
  -h, --help               Print this

'berth COMMAND --help' tells more, with examples.
`

const exitCodes = `Exit codes:
  0    it worked
  1    the daemon or the system refused it
  125  wrong flags or arguments
  128+n  ended by signal n
`

func showOverview(c *command.CLI) error {
	var b strings.Builder
	b.WriteString(overviewHead)
	all := commands()
	for i, cmd := range all {
		if i == 0 || cmd.Group != all[i-1].Group {
			fmt.Fprintf(&b, "\n%s:\n", cmd.Group)
		}
		fmt.Fprintf(&b, "  %-*s %s\n", width(all, cmd.Group), cmd.Name, cmd.Summary)
	}
	b.WriteString(overviewTail)
	_, err := io.WriteString(c.Out, b.String())
	return err
}

// width is that of the longest name in a group.
func width(all []command.Command, group command.Group) int {
	w := 11
	for _, c := range all {
		if c.Group == group {
			w = max(w, len(c.Name))
		}
	}
	return w
}

// showObject lists the verbs of `berth OBJECT VERB`.
func showObject(c *command.CLI, object string, verbs map[string]string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: berth %s COMMAND [OPTIONS]\n\nCommands:\n", object)
	for _, verb := range sorted(verbs) {
		fmt.Fprintf(&b, "  %-11s %s\n", verb, find(verbs[verb]).Summary)
	}
	fmt.Fprintf(&b, "\n'berth %s COMMAND --help' tells more, with examples.\n", object)
	_, err := io.WriteString(c.Out, b.String())
	return err
}

func showHelp(c *command.CLI, cmd *command.Command) error {
	fs := newFlags(cmd)
	cmd.Setup(fs)
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s.\n", cmd.Usage(), cmd.Summary)
	if cmd.Help != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(cmd.Help))
	}
	if flags := fs.FlagUsages(); flags != "" {
		fmt.Fprintf(&b, "\nOptions:\n%s", flags)
	}
	if len(cmd.Examples) > 0 {
		fmt.Fprintf(&b, "\nExamples:\n  %s\n", strings.Join(cmd.Examples, "\n  "))
	}
	codes := cmd.ExitCodes
	if codes == "" {
		codes = exitCodes
	}
	fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(codes))
	_, err := io.WriteString(c.Out, b.String())
	return err
}
