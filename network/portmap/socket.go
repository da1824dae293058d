package portmap

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/moby/api/types/network"
)

// taken is an error of bind about a port that others have.
type taken struct {
	error
	proto network.IPProtocol
	port  uint16
}

// Unwrap returns the errno.
func (t taken) Unwrap() error { return t.error }

// ByWhom implements Taker.
func (t taken) ByWhom() string { return ByWhom(t.proto, t.port) }

// bind holds a port of this process's network namespace.
func bind(proto network.IPProtocol, at netip.AddrPort) (Held, error) {
	f, port, err := bindSocket(proto, at)
	if err != nil {
		return Held{}, taken{err, proto, at.Port()}
	}
	return Held{Closer: f, Port: port}, nil
}

// bindSocket makes the socket that holds a port. It is not reusable, so that nobody
// else can bind the port either.
func bindSocket(proto network.IPProtocol, at netip.AddrPort) (_ *os.File, port uint16, err error) {
	domain, typ, number := syscall.AF_INET, syscall.SOCK_STREAM, 0
	if at.Addr().Is6() {
		domain = syscall.AF_INET6
	}
	switch proto {
	case network.UDP:
		typ = syscall.SOCK_DGRAM
	case network.SCTP:
		number = syscall.IPPROTO_SCTP
	}
	fd, err := syscall.Socket(domain, typ|syscall.SOCK_CLOEXEC, number)
	if err != nil {
		return nil, 0, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "port "+at.String())
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	var sa syscall.Sockaddr = &syscall.SockaddrInet4{Port: int(at.Port()), Addr: as4(at.Addr())}
	if domain == syscall.AF_INET6 {
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1); err != nil {
			return nil, 0, os.NewSyscallError("setsockopt", err)
		}
		sa = &syscall.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	if err := bindTo(fd, sa, proto == network.TCP); err != nil {
		return nil, 0, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, 0, os.NewSyscallError("getsockname", err)
	}
	switch name := name.(type) {
	case *syscall.SockaddrInet4:
		port = uint16(name.Port)
	case *syscall.SockaddrInet6:
		port = uint16(name.Port)
	}
	return f, port, nil
}

// bindTo binds a socket. Connections of a server that has just ended keep its port
// for a minute (TIME_WAIT): with timeWait set they do not count, and listening makes
// sure that nobody else has the port.
func bindTo(fd int, sa syscall.Sockaddr, timeWait bool) error {
	err := syscall.Bind(fd, sa)
	if !errors.Is(err, syscall.EADDRINUSE) || !timeWait {
		return err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := syscall.Bind(fd, sa); err != nil {
		return err
	}
	return syscall.Listen(fd, 0)
}

// backlog is how many connections wait until they are accepted.
const backlog = 128

// listen makes a socket of TCP accept connections, and reads of all never wait. Connections
// inherit SO_REUSEADDR, without which the port could not be bound for a minute after their end; nobody
// else gets it, as this one listens.
func listen(socket *os.File, proto network.IPProtocol) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = os.NewSyscallError("fcntl", syscall.SetNonblock(int(fd), true)); failed != nil || proto != network.TCP {
			return
		}
		failed = errors.Join(
			os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)),
			os.NewSyscallError("listen", syscall.Listen(int(fd), backlog)))
	})
	return errors.Join(err, failed)
}

func as4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}

// ByWhom says " by NAME (process N)" if a process that has the port is found. It
// is only for an error's text: what cannot be read is left out.
func ByWhom(proto network.IPProtocol, port uint16) string {
	for _, name := range []string{string(proto), string(proto) + "6"} {
		inode := inodeOf("/proc/net/"+name, port)
		if inode == "" {
			continue
		}
		if pid := processWith("socket:[" + inode + "]"); pid != "" {
			comm, _ := os.ReadFile("/proc/" + pid + "/comm") // it may just have ended
			return fmt.Sprintf(" by %s (process %s)", strings.TrimSpace(string(comm)), pid)
		}
	}
	return ""
}

// inodeOf finds the socket that is bound to a port in a table of proc_pid_net(5).
func inodeOf(table string, port uint16) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	want := fmt.Sprintf("%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		_, local, _ := strings.Cut(fields[1], ":")
		_, remote, _ := strings.Cut(fields[2], ":")
		if local == want && remote == "0000" { // not the connections of a server
			return fields[9]
		}
	}
	return ""
}

// processWith finds a process that has a file open.
func processWith(target string) string {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == target {
			pid := strings.Split(fd, "/")[2]
			if _, err := strconv.Atoi(pid); err == nil {
				return pid
			}
		}
	}
	return ""
}
