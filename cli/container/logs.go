package container

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"berth/cli/command"
	"berth/cli/session"

	"github.com/spf13/pflag"
)

type logsOptions struct {
	follow, timestamps bool
	tail, since, until string
}

// Logs is `berth logs`.
func Logs() command.Command {
	return command.Command{
		Name: "logs", Group: command.GroupWatch, Args: "CONTAINER", Min: 1, Max: 1,
		Complete: command.Containers,
		Summary:  "Print what a container wrote",
		Examples: []string{"berth logs web", "berth logs -f --tail 20 web", "berth logs --since 10m web"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o logsOptions
			fs.BoolVarP(&o.follow, "follow", "f", false, "Go on until the container ends")
			fs.BoolVarP(&o.timestamps, "timestamps", "t", false, "Show the time of each line")
			fs.StringVarP(&o.tail, "tail", "n", "all", "Only so many lines from the end")
			fs.StringVar(&o.since, "since", "", "Only since a time (2026-01-02T15:04:05) or for a duration (10m)")
			fs.StringVar(&o.until, "until", "", "Only until a time or duration ago")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return runLogs(ctx, c, o, args[0])
			}
		},
	}
}

func runLogs(ctx context.Context, c *command.CLI, o logsOptions, name string) error {
	q := url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {o.tail}}
	if n, err := strconv.Atoi(o.tail); o.tail != "all" && (err != nil || n < 0) {
		return command.BadUsage("invalid --tail %q: give a number of lines or all", o.tail)
	}
	now := time.Now()
	for flag, value := range map[string]string{"since": o.since, "until": o.until} {
		if value == "" {
			continue
		}
		t, err := instant(value, now)
		if err != nil {
			return command.BadUsage("invalid --%s %q: give a time as 2026-01-02T15:04:05Z, seconds since 1970, or a duration as 10m", flag, value)
		}
		q.Set(flag, t)
	}
	if o.follow {
		q.Set("follow", "1")
	}
	if o.timestamps {
		q.Set("timestamps", "1")
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	i, err := inspect(ctx, api, name)
	if err != nil {
		return err
	}
	a, err := api.Stream(ctx, "GET", "/containers/"+i.ID+"/logs", q, nil)
	if err != nil {
		return err
	}
	defer a.Close()
	return session.CopyOutput(a, i.Config.Tty, c.Out, c.Err)
}

// instant is the API's writing of a time: seconds since 1970 with a fraction.
func instant(s string, now time.Time) (string, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return unix(now.Add(-d)), nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return unix(t), nil
	}
	var err error
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		var t time.Time
		if t, err = time.ParseInLocation(layout, s, time.Local); err == nil {
			return unix(t), nil
		}
	}
	return "", err
}

func unix(t time.Time) string {
	nano := strconv.Itoa(t.Nanosecond() + 1e9)[1:] // nine digits
	return strconv.FormatInt(t.Unix(), 10) + "." + nano
}
