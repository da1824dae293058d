package container

import (
	"context"
	"encoding/json"
	"time"

	"berth/api/runc/command"
	"berth/ociruntime/standalone"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// document is a container as runc writes it in JSON: what the OCI runtime
// specification has, and more.
type document struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

func documentOf(s standalone.State) document {
	return document{
		Version: s.Version, ID: s.ID, Pid: s.Pid, Status: s.Status, Bundle: s.Bundle,
		Rootfs: s.Rootfs, Created: s.Created, Annotations: s.Annotations, Owner: s.Owner,
	}
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
				enc := json.NewEncoder(c.Out)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return 0, enc.Encode(documentOf(s))
			}
		},
	}
}
