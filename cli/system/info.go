package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"
)

// Info is `berth info`.
func Info() command.Command {
	return command.Command{
		Name: "info", Group: command.GroupGeneral,
		Summary:  "Show the state of the daemon and what the host can do",
		Examples: []string{"berth info", `berth info --format '{{.CgroupVersion}}'`},
		Setup: func(fs *pflag.FlagSet) command.Func {
			f := fs.StringP("format", "f", "", "A Go template or json")
			return func(ctx context.Context, c *command.CLI, _ []string) error { return runInfo(ctx, c, *f) }
		},
	}
}

// info is the part of system.Info that is shown.
type info struct {
	Containers, ContainersRunning, ContainersPaused, ContainersStopped int
	Images                                                             int
	Driver                                                             string
	CgroupDriver, CgroupVersion                                        string
	KernelVersion, OperatingSystem, OSType, Architecture               string
	NCPU                                                               int
	MemTotal                                                           int64
	DockerRootDir, Name, ServerVersion                                 string
	SecurityOptions, Warnings                                          []string
}

func runInfo(ctx context.Context, c *command.CLI, f string) error {
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var data []byte
	if err := api.Get(ctx, "/info", nil, &data); err != nil {
		return err
	}
	if f == "json" {
		var b bytes.Buffer
		if err := json.Compact(&b, data); err != nil {
			return fmt.Errorf("decode the answer of berthd: %w", err)
		}
		fmt.Fprintln(c.Out, b.String())
		return nil
	}
	if f != "" {
		v, err := format.Decode(data)
		if err != nil {
			return err
		}
		return format.Value(c.Out, f, v)
	}
	var i info
	if err := json.Unmarshal(data, &i); err != nil {
		return fmt.Errorf("decode the answer of berthd: %w", err)
	}
	for _, line := range [][2]string{
		{"Version", i.ServerVersion},
		{"Containers", fmt.Sprintf("%d (%d running, %d paused, %d stopped)", i.Containers, i.ContainersRunning, i.ContainersPaused, i.ContainersStopped)},
		{"Images", fmt.Sprint(i.Images)},
		{"Data root", i.DockerRootDir},
		{"Storage", i.Driver},
		{"Cgroups", strings.TrimSpace("v" + i.CgroupVersion + " " + i.CgroupDriver)},
		{"Security", strings.Join(i.SecurityOptions, ", ")},
		{"Kernel", i.KernelVersion},
		{"System", i.OperatingSystem},
		{"Type", i.OSType + "/" + i.Architecture},
		{"CPUs", fmt.Sprint(i.NCPU)},
		{"Memory", units.BytesSize(float64(i.MemTotal))},
		{"Host name", i.Name},
	} {
		if line[1] != "" {
			fmt.Fprintf(c.Out, "%-12s %s\n", line[0]+":", line[1])
		}
	}
	for _, w := range i.Warnings {
		c.Warn(errors.New(w))
	}
	return nil
}
