// Command berthd is the daemon: the one owner of images and containers, behind
// the Docker Engine API on a unix socket.
//
// Level: L5.
// Owns: flags, the lock on the data root, the socket, the daemon's life.
// May import: api/docker, engine, the rooms they are wired from, pflag.
// Must not know: what a verb does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"berth/internal/places"
	"berth/network/cni"

	"github.com/spf13/pflag"
)

// version is set by the linker (-X main.version=...).
var version = "unknown"

const help = `Usage: berthd [OPTIONS]

berthd owns images and containers and serves the Docker Engine API on a unix
socket. The berth command starts it when it is needed. An ordinary user's works in
a user namespace, which takes ranges in /etc/subuid and /etc/subgid and the package
uidmap.

SIGTERM and SIGINT end berthd; containers go on and the next berthd takes them
over. Exit codes: 0 ended as asked, 1 it could not start or serve, 2 bad usage.

Options:
`

// idleTimeout is how long an unneeded daemon that was started on demand waits.
const idleTimeout = 30 * time.Second

type options struct {
	root, run, logFile string
	insecure           []string
	onDemand, debug    bool
	cniConf, cniBin    []string
	idle, cniTimeout   time.Duration
	inside             *inside // set for the daemon of an ordinary user in its namespaces
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o, code, done := parse(args, stdout, stderr)
	if done {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	work := serve
	if os.Geteuid() != 0 {
		work = serveUser
	}
	if err := work(ctx, o, stderr); err != nil {
		fmt.Fprintln(stderr, "berthd:", err)
		return 1
	}
	return 0
}

func parse(args []string, stdout, stderr io.Writer) (o options, code int, done bool) {
	// What an ordinary user lacks is said when it is needed: a flag may name it.
	root, _ := places.Data(os.Geteuid(), os.Getenv)
	run, _ := places.Runtime(os.Geteuid(), os.Getenv)
	f := pflag.NewFlagSet("berthd", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.StringVar(&o.root, "root", fromEnv("BERTH_ROOT", root), "directory of images and containers (env BERTH_ROOT)")
	f.StringVar(&o.run, "run", fromEnv("BERTH_RUN", run), "directory of the socket and of what runs (env BERTH_RUN)")
	f.StringVar(&o.logFile, "log", "", "write the log to this file, not to standard error")
	f.StringSliceVar(&o.insecure, "insecure-registry", nil, "registry (host, host:port or network) that may have no valid certificate")
	f.StringSliceVar(&o.cniConf, "cni-conf-dir", dirsFromEnv("BERTH_CNI_CONF_DIR", "/etc/cni/net.d"), "directories of CNI configurations (env BERTH_CNI_CONF_DIR, with colons)")
	f.StringSliceVar(&o.cniBin, "cni-bin-dir", dirsFromEnv("BERTH_CNI_BIN_DIR", "/opt/cni/bin:/usr/lib/cni"), "directories of CNI plugins (env BERTH_CNI_BIN_DIR, with colons)")
	f.DurationVar(&o.cniTimeout, "cni-timeout", durationFromEnv("BERTH_CNI_TIMEOUT", cni.DefaultTimeout), "how long the plugins of a CNI network may take together (env BERTH_CNI_TIMEOUT)")
	f.BoolVar(&o.onDemand, "on-demand", false, "end when no container runs and nobody is connected")
	f.DurationVar(&o.idle, "idle-timeout", idleTimeout, "how long --on-demand waits")
	f.BoolVar(&o.debug, "debug", false, "log more")
	showVersion := f.BoolP("version", "v", false, "print the version")
	showHelp := f.BoolP("help", "h", false, "print this help")
	if err := f.Parse(args); err != nil {
		fmt.Fprintf(stderr, "berthd: %v: see berthd --help\n", err)
		return o, 2, true
	}
	switch {
	case *showHelp:
		fmt.Fprint(stdout, help+f.FlagUsages())
		return o, 0, true
	case *showVersion:
		fmt.Fprintln(stdout, "berthd", version)
		return o, 0, true
	case f.NArg() > 0:
		fmt.Fprintf(stderr, "berthd: unexpected argument %q: see berthd --help\n", f.Arg(0))
		return o, 2, true
	}
	return o, 0, false
}

func fromEnv(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func dirsFromEnv(name, fallback string) []string { return filepath.SplitList(fromEnv(name, fallback)) }

// durationFromEnv takes the fallback for what is no duration.
func durationFromEnv(name string, fallback time.Duration) time.Duration {
	d, err := time.ParseDuration(os.Getenv(name))
	if err != nil || d <= 0 {
		return fallback
	}
	return d
}
