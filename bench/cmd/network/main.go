// Command network measures berth's networks beside docker's and podman's, and
// prints tables: medians and ratios.
//
// Level: L5.
// Owns: the cases; the small server and client that they use.
// May import: bench/peer, bench/table, image/toolbox, internal/linux/netns.
// Must not know: how berth works inside.
//
// It is to be started in a network namespace of its own (make bench-network): that
// is the host of the measurement, and another one stands for a machine outside.
// The engines take turns in each round, so that a busy minute hits all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"berth/bench/peer"
	"berth/bench/table"
	"berth/image/toolbox"
	"berth/internal/linux/netns"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		fail(serve(os.Args[2]))
	}
	if len(os.Args) > 1 && os.Args[1] == "send" {
		rate, err := send(os.Args[2])
		fmt.Println(rate)
		fail(err)
	}
	bin := flag.String("bin", "bin", "directory of berth and berthd")
	rounds := flag.Int("n", 7, "rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := filepath.Abs(*bin)
	if err == nil {
		err = run(ctx, path, *rounds)
	}
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "network:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is a host with engines, and another host outside.
type bench struct {
	dir, self string
	rounds    int
	engines   []*peer.Engine
	missing   []error
	outside   *os.File // its network namespace
}

// The addresses of the two hosts.
const (
	hostAddress    = "192.0.2.1"
	outsideAddress = "192.0.2.2"
)

func run(ctx context.Context, bin string, rounds int) (err error) {
	if err := alone(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/run", "berth-bench-")
	if err != nil {
		return err
	}
	b := &bench{dir: dir, self: self, rounds: rounds}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.connect(); err != nil {
		return err
	}
	if err := b.start(ctx, bin); err != nil {
		return err
	}
	table.Machine(os.Stdout)
	return errors.Join(b.traffic(), b.starts(), b.manyPorts())
}

// alone refuses a network namespace that has more than a loopback interface.
func alone() error {
	links, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return err
	}
	if n := strings.Count(string(links), ":"); n != 1 {
		return fmt.Errorf("this network namespace has %d interfaces: start me with unshare --net, as make bench-network does", n)
	}
	return ip("link set lo up")
}

// ip runs ip(8) on a line of arguments.
func ip(line string) error {
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, out)
	}
	return nil
}

// connect makes the machine outside.
func (b *bench) connect() (err error) {
	if b.outside, err = netns.New(); err != nil {
		return err
	}
	if err := ip("link add up0 type veth peer name out0"); err != nil {
		return err
	}
	there := exec.Command("ip", "link", "set", "out0", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), b.outside.Fd()))
	if out, err := there.CombinedOutput(); err != nil {
		return fmt.Errorf("move out0: %w: %s", err, out)
	}
	for _, line := range []string{"addr add " + hostAddress + "/24 dev up0", "link set up0 up"} {
		if err := ip(line); err != nil {
			return err
		}
	}
	// Docker drops what it does not forward itself if it is the one to turn forwarding on.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	return netns.Do(b.outside, func() error {
		return errors.Join(ip("addr add "+outsideAddress+"/24 dev out0"), ip("link set out0 up"))
	})
}

// start starts the engines that are installed.
func (b *bench) start(ctx context.Context, bin string) error {
	archive := filepath.Join(b.dir, "image.tar")
	if err := writeArchive(archive); err != nil {
		return err
	}
	for _, name := range []string{"berth", "docker", "podman"} {
		d := peer.Dirs{Store: filepath.Join(b.dir, name), Run: filepath.Join(b.dir, name+"-run"), Networks: true}
		if err := errors.Join(os.Mkdir(d.Store, 0o700), os.Mkdir(d.Run, 0o700)); err != nil {
			return err
		}
		var e *peer.Engine
		var err error
		switch name {
		case "berth":
			e, err = peer.Berth(ctx, bin, d)
		case "docker":
			e, err = peer.Docker(ctx, d, archive)
		default:
			e, err = peer.Podman(ctx, d, archive)
		}
		if err != nil {
			b.missing = append(b.missing, fmt.Errorf("%s: %w", name, err))
			continue
		}
		b.engines = append(b.engines, e)
	}
	return nil
}

func writeArchive(path string) (err error) {
	in, err := toolbox.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func (b *bench) close() error {
	var errs []error
	for _, e := range b.engines {
		errs = append(errs, e.Close())
	}
	if b.outside != nil {
		errs = append(errs, b.outside.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}
