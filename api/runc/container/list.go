package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"berth/api/runc/command"
	"berth/internal/jsonscan"
	"berth/ociruntime/standalone"
)

const formats = "table or json"

func badFormat(format string) error {
	return fmt.Errorf("--format %q is unknown: give %s", format, formats)
}

// List prints all containers of a root.
func List() command.Command {
	return command.Command{
		Name:     "list",
		Summary:  "List the containers below --root",
		Examples: []string{"berth-oci list", "berth-oci list -q", "berth-oci --root /run/containerd/runc/moby list --format json"},
		Setup: func(f *command.Flags) command.Func {
			format, quiet := "table", false
			f.String(&format, "format,f", "FORMAT", formats)
			f.Bool(&quiet, "quiet,q", "print only the ids")
			return func(_ context.Context, c *command.CLI, _ []string) (int, error) {
				if format != "table" && format != "json" {
					return 0, badFormat(format)
				}
				if _, err := os.Stat(c.Global.Root); err != nil && !(c.Global.RootIsDefault && errors.Is(err, fs.ErrNotExist)) {
					return 0, fmt.Errorf("list containers: %w", err)
				}
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				all, err := rt.List()
				if err != nil {
					return 0, err
				}
				return 0, printList(c, all, format, quiet)
			}
		},
	}
}

func printList(c *command.CLI, all []standalone.State, format string, quiet bool) error {
	if quiet {
		for _, d := range all {
			if _, err := fmt.Fprintln(c.Out, d.ID); err != nil {
				return err
			}
		}
		return nil
	}
	if format == "json" {
		var w jsonscan.Writer
		w.Begin('[')
		for _, s := range all {
			document(&w, s)
		}
		w.End(']')
		_, err := c.Out.Write(append(w.Bytes(), '\n'))
		return err
	}
	const minWidth, tabWidth, padding = 12, 1, 3 // runc's
	w := tabwriter.NewWriter(c.Out, minWidth, tabWidth, padding, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER") // Flush says what became of it
	for _, d := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", d.ID, d.Pid, d.Status, d.Bundle, d.Created.Format(time.RFC3339Nano), d.Owner)
	}
	return w.Flush()
}
