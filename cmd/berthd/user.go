package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/internal/atomicfile"
	"berth/internal/linux"
	"berth/internal/linux/tun"
	"berth/internal/places"
	"berth/network"
	"berth/network/bridge"
	"berth/network/portmap"
	"berth/network/usermode"
	"berth/ociruntime/rootless"

	mnetwork "github.com/moby/moby/api/types/network"
)

// An ordinary user's daemon is two processes of this program. The outer one stays
// with the host's network, and makes or enters namespaces in which it starts the inner one,
// which is what root's daemon is. Neither goes on without the other.

// insideEnv tells the inner one so, with its parent's pid.
const insideEnv = "BERTHD_INSIDE"

// The inner one's files.
const (
	fdControl  = rootless.FirstFile
	fdLocks    = fdControl + 1 // two
	fdListener = fdLocks + 2   // systemd's socket, if there is one
)

// serveUser is the outer one.
func serveUser(ctx context.Context, o options, stderr io.Writer) (err error) {
	// Its end ends the inner one (linux.DieWithParent): it is this thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.Umask(0o022)
	if err := o.complete(); err != nil {
		return err
	}
	log, closeLog, err := openLog(o, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	for _, dir := range []string{o.root, o.run} {
		if err := privateDir(dir); err != nil {
			return err
		}
	}
	// Before the namespaces are looked for: whoever runs now may be about to fill them.
	held, err := lockDirs(ctx, o)
	if err != nil {
		return err
	}
	defer held.release()
	listener, err := inherited()
	if err != nil {
		return err
	}
	outside, inside, err := usermode.Pair()
	if err != nil {
		return err
	}
	files := append([]*os.File{inside}, held...)
	if listener != nil {
		files = append(files, listener)
	}
	pid, err := rootless.Start(rootless.Args{
		Records: filepath.Join(o.run, "containers"), Argv: o.argv(), Files: files,
		Env: o.env(listener != nil),
		// What was written down about the host counts from its boot; about these from now.
		Anew: func() error { return os.RemoveAll(filepath.Join(o.run, "network")) },
	})
	_ = inside.Close() // the child has it
	if listener != nil {
		_ = listener.Close() // as well
	}
	if err != nil {
		return errors.Join(err, outside.Close())
	}
	server, err := serveOutside(outside, log)
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(pid, syscall.SIGTERM) }) // it is reaped below
	status, werr := linux.WaitChild(pid)
	stop()
	if server != nil {
		server.Close()
	}
	if err = errors.Join(err, werr); err == nil && status != 0 {
		os.Exit(max(1, status.ExitStatus())) // it has said why
	}
	return err
}

func serveOutside(socket *os.File, log *slog.Logger) (*usermode.Server, error) {
	used, err := hostPrefixes()
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return usermode.Serve(socket, usermode.Config{
		Used: used, ResolvConf: "/etc/resolv.conf", Log: log,
		ByWhom: func(protocol string, port uint16) string {
			return portmap.ByWhom(mnetwork.IPProtocol(protocol), port)
		},
	})
}

func hostPrefixes() (used []netip.Prefix, err error) {
	links, err := bridge.Open()
	if err != nil {
		return nil, err
	}
	used, err = links.Prefixes()
	return used, errors.Join(err, links.Close())
}

// complete says what is missing of an ordinary user's places.
func (o *options) complete() (err error) {
	if o.root == "" {
		if o.root, err = places.Data(os.Geteuid(), os.Getenv); err != nil {
			return err
		}
	}
	if o.run == "" {
		o.run, err = places.Runtime(os.Geteuid(), os.Getenv)
	}
	return err
}

// argv are the inner one's arguments.
func (o options) argv() []string {
	argv := []string{"berthd", "--root", o.root, "--run", o.run, "--idle-timeout", o.idle.String()}
	if o.logFile != "" {
		argv = append(argv, "--log", o.logFile)
	}
	for _, host := range o.insecure {
		argv = append(argv, "--insecure-registry", host)
	}
	if o.onDemand {
		argv = append(argv, "--on-demand")
	}
	if o.debug {
		argv = append(argv, "--debug")
	}
	return argv
}

func (o options) env(listener bool) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{insideEnv, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "BERTH_ROOT", "BERTH_RUN"}, name)
	})
	what := strconv.Itoa(os.Getpid())
	if listener {
		what += " listener"
	}
	return append(env, insideEnv+"="+what)
}

// inside is what the inner one has of the outer one.
type inside struct {
	client   *usermode.Client
	listener *os.File
	locks    locks // held as long as this process lives
	gateway  netip.Addr
}

// findInside says whether this process is an inner one; nil if not.
func findInside() (*inside, error) {
	parent, listener, _ := strings.Cut(os.Getenv(insideEnv), " ")
	if parent == "" {
		return nil, nil //nolint:nilnil // none, which is no error
	}
	if err := os.Unsetenv(insideEnv); err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(parent)
	if err != nil {
		return nil, fmt.Errorf("%s is for berthd's own use: unset it", insideEnv)
	}
	if err := linux.DieWithParent(pid); err != nil {
		return nil, fmt.Errorf("berthd outside has ended: %w", err)
	}
	// It was executed by the number of a file, which is not what people look for.
	if err := os.WriteFile("/proc/self/comm", []byte("berthd"), 0); err != nil {
		return nil, err
	}
	in := &inside{}
	for fd := fdLocks; fd < fdListener; fd++ {
		syscall.CloseOnExec(fd)
		in.locks = append(in.locks, os.NewFile(uintptr(fd), "lock"))
	}
	if listener != "" {
		syscall.CloseOnExec(fdListener)
		in.listener = os.NewFile(fdListener, "socket")
	}
	syscall.CloseOnExec(fdControl)
	in.client, err = usermode.NewClient(os.NewFile(fdControl, "berthd outside"))
	return in, err
}

// dial makes the connections of pulls: nil for the process's own network.
func (in *inside) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if in == nil {
		return nil
	}
	return in.client.Dial
}

// servers are the name servers of who shares the inner one's network.
func (in *inside) servers() []netip.Addr {
	if in == nil {
		return nil
	}
	return []netip.Addr{in.gateway}
}

// uplink is the device that leads to the outer one.
const uplink = "uplink0"

// networks joins this network namespace to the host's, by way of the outer one.
func (in *inside) networks(c *network.Config, run string) error {
	device, err := openUplink()
	if err != nil {
		return err
	}
	plan, used, err := in.client.Link(device)
	if err = errors.Join(err, device.Close()); err != nil { // the outer one has it
		return err
	}
	links, err := bridge.Open()
	if err != nil {
		return err
	}
	err = links.RaiseUplink(bridge.Uplink{Name: uplink, MTU: usermode.MTU, Addresses: plan.Inside(), Local: plan.Arrivals()})
	if err = errors.Join(err, links.Close()); err != nil {
		return err
	}
	in.gateway = plan.Gateway4()
	c.Suffix, c.Lock, c.Elsewhere, c.Bind = "", filepath.Join(run, "networks.lock"), used, in.bind
	c.ResolvConf = filepath.Join(run, "resolv.conf")
	return writeResolvConf(c.ResolvConf, "/etc/resolv.conf", in.gateway)
}

// maxResolvConf bounds what is read of the host's.
const maxResolvConf = 64 << 10

// writeResolvConf writes a copy of the host's resolv.conf, but with the gateway for
// its name servers: that asks them, whichever they are then.
func writeResolvConf(path, hosts string, gateway netip.Addr) error {
	text := "nameserver " + gateway.String() + "\n"
	f, err := os.Open(hosts)
	if err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(io.LimitReader(f, maxResolvConf)); lines.Scan(); {
			if !strings.HasPrefix(lines.Text(), "nameserver") {
				text += lines.Text() + "\n"
			}
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return atomicfile.WriteVolatile(path, []byte(text), 0o644)
}

// uplinkLimit bounds how long the last daemon's device may take to go away.
const uplinkLimit = 5 * time.Second

func openUplink() (*os.File, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(uplinkLimit); ; <-tick.C {
		f, err := tun.Open(uplink)
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(end) {
			return f, err
		}
	}
}

// bind holds a port of the host.
func (in *inside) bind(proto mnetwork.IPProtocol, at netip.AddrPort) (portmap.Held, error) {
	closer, port, arrives, err := in.client.Open(string(proto), at)
	if err != nil {
		return portmap.Held{}, err
	}
	return portmap.Held{Closer: closer, Port: port, Arrives: arrives}, nil
}
