package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/test/berthtest"
)

// roleEnv makes this program a server or a client in a container, not a test.
const roleEnv = "BERTH_NET_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	berthtest.Main(m)
}

func play(role string, args []string) error {
	switch role {
	case "serve":
		return serve(args)
	case "ask":
		answer, err := ask(args[0], args[1])
		fmt.Print(answer)
		return err
	case "look":
		return look(args)
	case "without-netfilter":
		return withoutNetfilter(args)
	case "echo":
		return echo(args[0], args[1])
	case "load":
		return load(args[0], args[1])
	}
	return fmt.Errorf("unknown role %s", role)
}

// serve answers at ports of TCP and UDP with the client's address, and after that
// with what the client says.
func serve(ports []string) error {
	var all sync.WaitGroup
	for _, port := range ports {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		p, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			return err
		}
		all.Go(func() { berthtest.Answer(l) })
		all.Go(func() { serveUDP(p) })
	}
	fmt.Println("serving")
	all.Wait()
	return nil
}

func serveUDP(p net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		_, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = p.WriteTo([]byte(berthtest.Host(from)+"\n"), from)
	}
}

// patience is how long a client waits for a server that is there or is not.
const patience = 2 * time.Second

// ask asks a server which address the client has. An error begins with "refused"
// or "silent" if the server's side said no or nothing.
func ask(proto, addr string) (string, error) {
	c, err := net.DialTimeout(proto, addr, patience)
	if err != nil {
		return "", why(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if strings.HasPrefix(proto, "udp") {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", why(err)
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", why(err)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

func why(err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("silent: %w", err)
	case strings.Contains(err.Error(), "refused"):
		return fmt.Errorf("refused: %w", err)
	}
	return err
}

// look prints what each name, or address, is resolved to, one a line, sorted; "-" if to nothing.
func look(names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), berthtest.Limit)
	defer cancel()
	for _, name := range names {
		var found []string
		var err error
		if net.ParseIP(name) != nil {
			found, err = net.DefaultResolver.LookupAddr(ctx, name)
		} else {
			found, err = net.DefaultResolver.LookupHost(ctx, name)
		}
		if err != nil {
			found = []string{"-"}
		}
		slices.Sort(found)
		fmt.Println(strings.Join(found, " "))
	}
	return nil
}

// load looks a name up many times, some at once, and prints how many failed.
func load(name, times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), berthtest.Limit)
	defer cancel()
	const workers = 8
	errs := make(chan error, n)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range n / workers {
				if _, err := net.DefaultResolver.LookupHost(ctx, name); err != nil {
					errs <- err
				}
			}
		})
	}
	all.Wait()
	close(errs)
	fmt.Println(len(errs), "lost")
	return <-errs
}

// askOn asks on an open connection of UDP.
func askOn(c net.Conn) (string, error) {
	buf := make([]byte, 2048)
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("?")); err != nil {
		return "", why(err)
	}
	n, err := c.Read(buf)
	if err != nil {
		return "", why(err)
	}
	return strings.TrimSpace(string(buf[:n])), nil
}

// echo sends a server many bytes and reads them back.
func echo(addr, bytes string) error {
	n, err := strconv.ParseInt(bytes, 10, 64)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return why(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(berthtest.Limit)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil { // who the client is
		return err
	}
	var sent sync.WaitGroup
	sent.Go(func() { _, err = io.CopyN(c, zeros{}, n) })
	got, readErr := io.CopyN(io.Discard, r, n)
	sent.Wait()
	fmt.Println(got, "bytes")
	return errors.Join(err, readErr)
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
