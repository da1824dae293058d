package runc

import (
	"context"
	"fmt"
	"strings"

	"berth/api/runc/command"
)

func help() command.Command {
	return command.Command{
		Name: "help", Args: "[COMMAND]", Max: 1,
		Summary: "Show help",
		Setup: func(*command.Flags) command.Func {
			return func(_ context.Context, c *command.CLI, args []string) (int, error) {
				if len(args) == 0 {
					return 0, showOverview(c, newGlobals(c))
				}
				cmd := find(args[0])
				if cmd == nil {
					return 0, fmt.Errorf("%q is not a command: see '%s --help'", args[0], command.Program)
				}
				return 0, showHelp(c, cmd)
			}
		},
	}
}

const overviewHead = `Usage: berth-oci [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARG...]

Runs containers from bundles: a directory with a config.json and a root file
system. It takes runc's commands and flags, so that containerd, Docker, Podman
and CRI-O can use it in runc's place. Try, in an empty directory:

  mkdir -p rootfs/bin && cp /bin/busybox rootfs/bin/sh
  berth-oci spec
  berth-oci run hello

Commands:
`

func showOverview(c *command.CLI, g *globals) error {
	var b strings.Builder
	b.WriteString(overviewHead)
	for _, make := range commands() {
		cmd := make()
		fmt.Fprintf(&b, "  %-11s %s\n", cmd.Name, cmd.Summary)
	}
	b.WriteString("\nGlobal options, before the command:\n")
	b.WriteString(g.flags.Help())
	b.WriteString("\n'berth-oci COMMAND --help' tells more, with examples.\n")
	return write(c.Out, b.String())
}

const exitCodes = `  0    it worked
  1    it failed; the reason is on standard error and in --log
`

func showHelp(c *command.CLI, cmd *command.Command) error {
	flags := &command.Flags{}
	cmd.Setup(flags)
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s.\n", cmd.Usage(), cmd.Summary)
	if cmd.Help != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(cmd.Help))
	}
	if text := flags.Help(); text != "" {
		fmt.Fprintf(&b, "\nOptions:\n%s", text)
	}
	if len(cmd.Examples) > 0 {
		fmt.Fprintf(&b, "\nExamples:\n  %s\n", strings.Join(cmd.Examples, "\n  "))
	}
	codes := cmd.ExitCodes
	if codes == "" {
		codes = exitCodes
	}
	fmt.Fprintf(&b, "\nExit codes:\n%s", codes)
	return write(c.Out, b.String())
}
