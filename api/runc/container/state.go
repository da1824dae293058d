package container

import (
	"context"
	"maps"
	"slices"
	"time"

	"berth/api/runc/command"
	"berth/internal/jsonscan"
	"berth/ociruntime/standalone"
)

// document writes a container as runc does in JSON: what the OCI runtime
// specification has, and more. Engines ask for it often: encoding/json would
// cost most of the time.
func document(w *jsonscan.Writer, s standalone.State) {
	text := func(name, value string) {
		w.Name(name)
		w.Text(value)
	}
	w.Begin('{')
	text("ociVersion", s.Version)
	text("id", s.ID)
	w.Name("pid")
	w.Int(int64(s.Pid))
	text("status", string(s.Status))
	text("bundle", s.Bundle)
	text("rootfs", s.Rootfs)
	text("created", s.Created.Format(time.RFC3339Nano))
	if len(s.Annotations) > 0 {
		w.Name("annotations")
		w.Begin('{')
		for _, name := range slices.Sorted(maps.Keys(s.Annotations)) {
			text(name, s.Annotations[name])
		}
		w.End('}')
	}
	text("owner", s.Owner)
	w.End('}')
}

// State prints what a container is and does.
func State() command.Command {
	return command.Command{
		Name: "state", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary:  "Print a container's state as JSON",
		Help:     "status is creating, created, running, paused or stopped; pid is 0 when it is stopped.",
		Examples: []string{"berth-oci state web", "berth-oci state web | jq -r .status"},
		Setup: func(*command.Flags) command.Func {
			return func(_ context.Context, c *command.CLI, args []string) (int, error) {
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				s, err := rt.State(args[0])
				if err != nil {
					return 0, toEngines(err)
				}
				w := jsonscan.Writer{Indent: "  "}
				document(&w, s)
				_, err = c.Out.Write(append(w.Bytes(), '\n'))
				return 0, err
			}
		},
	}
}
