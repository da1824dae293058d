package usermode

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// The two sides have a pair of sockets that keep messages apart (SOCK_SEQPACKET).
// Each request is one message, with the socket on which its answer is awaited, and
// further files:
//
//	link    the device       ->  the plan of addresses, the host's subnets
//	dial    host and port    ->  the connected socket
//	open    a port           ->  its number; it is open as long as the socket of the answer is
//
// A side that ends closes what it has, and with it everything that the other
// awaits or holds of it.

// maxMessage bounds a message: the host's subnets are the largest.
const maxMessage = 64 << 10

// maxFiles is how many files a message carries.
const maxFiles = 2

type request struct {
	Verb     string
	Protocol string         `json:",omitempty"`
	Address  string         `json:",omitempty"`
	At       netip.AddrPort `json:",omitzero"`
	Arrives  netip.AddrPort `json:",omitzero"`
}

const (
	verbLink = "link"
	verbDial = "dial"
	verbOpen = "open"
)

type answer struct {
	Error string        `json:",omitempty"`
	Errno syscall.Errno `json:",omitempty"`
	By    string        `json:",omitempty"`
	Port  uint16        `json:",omitempty"`
	Plan  Plan          `json:",omitzero"`
	Used  []netip.Prefix
}

// remote is an error of the other side's.
type remote struct{ answer }

// Error returns the other side's words.
func (r remote) Error() string { return r.answer.Error }

// Unwrap returns the errno, if there was one.
func (r remote) Unwrap() error {
	if r.Errno == 0 {
		return nil
	}
	return r.Errno
}

// ByWhom says who has a port that is in use.
func (r remote) ByWhom() string { return r.By }

// Pair makes the sockets of the two sides.
func Pair() (outside, inside *os.File, err error) {
	p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(p[0]), "outside"), os.NewFile(uintptr(p[1]), "inside"), nil
}

// connOf makes a connection of a socket, whose file is closed.
func connOf(f *os.File) (*net.UnixConn, error) {
	c, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s is no unix socket", f.Name()), c.Close())
	}
	return u, nil
}

func send(c *net.UnixConn, message any, files ...*os.File) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(data, rights, nil)
	return err
}

// receive reads a message and the files that came with it.
func receive(c *net.UnixConn, message any) (files []*os.File, err error) {
	data, rights := make([]byte, maxMessage), make([]byte, syscall.CmsgSpace(4*maxFiles))
	n, nrights, flags, _, err := c.ReadMsgUnix(data, rights)
	if err != nil {
		return nil, err
	}
	controls, cerr := syscall.ParseSocketControlMessage(rights[:nrights])
	for _, m := range controls {
		fds, ferr := syscall.ParseUnixRights(&m)
		cerr = errors.Join(cerr, ferr)
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			cerr = errors.Join(cerr, syscall.SetNonblock(fd, true))
			files = append(files, os.NewFile(uintptr(fd), "file of the other side"))
		}
	}
	switch {
	case cerr != nil:
	case n == 0:
		cerr = net.ErrClosed
	case flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0:
		cerr = fmt.Errorf("a message of more than %d bytes or %d files", maxMessage, maxFiles)
	default:
		cerr = json.Unmarshal(data[:n], message)
	}
	if cerr != nil {
		return nil, errors.Join(cerr, closeAll(files))
	}
	return files, nil
}

func closeAll(files []*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}
