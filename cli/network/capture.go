package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"berth/cli/client"
	"berth/cli/command"

	"github.com/spf13/pflag"
)

type captureOptions struct {
	network, to, protocol, host string
	count                       uint64
	snaplen                     int
	port                        uint16
	duration                    time.Duration
}

// Capture is `berth network capture`.
func Capture() command.Command {
	return command.Command{
		Name: "network capture", Group: command.GroupNetwork, Args: "CONTAINER", Min: 1, Max: 1,
		Complete: command.Containers,
		Summary:  "Write the packets of a container's interface as a pcap file",
		Help: `
The file goes to standard output as packets come, for tcpdump -r -, Wireshark or a
file. It ends with the container, with ctrl-C, or with --count or --duration; then
standard error tells how many packets it has, and for how many there was no room.
Several of --host, --port and --protocol must all fit. Large packets may be seen that
the kernel only cuts when they leave the host.`,
		Examples: []string{
			"berth network capture web | tcpdump -n -r -",
			"berth network capture --port 80 --protocol tcp --count 100 -w web.pcap web",
			"berth network capture --network backend --duration 30s web | wireshark -k -i -",
		},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o captureOptions
			fs.StringVar(&o.network, "network", "", "The interface in this network; without it, that of the default route")
			fs.Uint64VarP(&o.count, "count", "c", 0, "End after so many packets")
			fs.DurationVar(&o.duration, "duration", 0, "End after this time, as 1m30s")
			fs.IntVarP(&o.snaplen, "snaplen", "s", 0, "Keep so many bytes of each packet (262144, the most)")
			fs.StringVarP(&o.to, "write", "w", "-", "Write to a file; - is standard output")
			fs.StringVar(&o.host, "host", "", "Only from or to this address")
			fs.Uint16Var(&o.port, "port", 0, "Only from or to this port")
			fs.StringVar(&o.protocol, "protocol", "", "Only tcp, udp, sctp or icmp")
			return func(ctx context.Context, c *command.CLI, args []string) error { return runCapture(ctx, c, o, args[0]) }
		},
	}
}

func (o captureOptions) query() url.Values {
	q := url.Values{}
	set := func(key, value string, given bool) {
		if given {
			q.Set(key, value)
		}
	}
	set("network", o.network, o.network != "")
	set("protocol", o.protocol, o.protocol != "")
	set("host", o.host, o.host != "")
	set("count", strconv.FormatUint(o.count, 10), o.count != 0)
	set("snaplen", strconv.Itoa(o.snaplen), o.snaplen != 0)
	set("port", strconv.Itoa(int(o.port)), o.port != 0)
	set("duration", o.duration.String(), o.duration != 0)
	return q
}

func runCapture(ctx context.Context, c *command.CLI, o captureOptions, name string) (err error) {
	if checkName(name) != nil {
		return command.BadUsage("%q is no name or id of a container: 'berth ps' lists them", name)
	}
	if o.to == "-" && command.Terminal(c.Out) != nil {
		return command.BadUsage("packets are not for a terminal: add -w FILE, or | tcpdump -n -r -")
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	// From here on ctrl-C ends the capture; a second one ends berth.
	asked, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	a, err := api.Stream(ctx, "GET", "/containers/"+name+"/capture", o.query(), nil)
	if err != nil {
		return err
	}
	defer a.Close()
	defer context.AfterFunc(asked, func() {
		stop()
		_ = a.CloseWrite() // a daemon that has gone says so itself
	})()
	to := c.Out
	if o.to != "-" {
		f, err := os.Create(o.to)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		to = f
	}
	return copyCapture(c, a, to)
}

// copyCapture writes the file, and tells in the end what it has.
func copyCapture(c *command.CLI, a *client.Answer, to io.Writer) error {
	_, err := io.Copy(to, a)
	if errors.Is(err, syscall.EPIPE) {
		return nil // who read it has enough
	}
	if err != nil {
		return fmt.Errorf("write packets: %w", err)
	}
	fmt.Fprintf(c.Err, "%s packets captured, %s dropped for want of room\n", a.Header("berth-captured"), a.Header("berth-dropped"))
	return nil
}
