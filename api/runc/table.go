package runc

import (
	"berth/api/runc/command"
	"berth/api/runc/container"
	"berth/api/runc/criu"
	"berth/api/runc/document"
	"berth/api/runc/limits"
)

// commands are all commands, in the order of the overview.
func commands() []func() command.Command {
	return []func() command.Command{
		container.Create, container.Start, container.Run, container.Exec, container.Kill, container.Delete,
		container.State, container.List, container.Ps,
		container.Pause, container.Resume, limits.Update, limits.Events,
		criu.Checkpoint, criu.Restore,
		document.Spec, document.Features, help, completion,
	}
}

func find(name string) *command.Command {
	if name == "h" {
		name = "help"
	}
	for _, make := range commands() {
		if c := make(); c.Name == name {
			return &c
		}
	}
	return nil
}
