package firewall

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/nftables"
)

const (
	// socketBuffer holds a batch of some 50,000 ports and the kernel's answers. The
	// usual 208 kB end at 3,000, with ENOBUFS.
	socketBuffer = 8 << 20
	// answerTime bounds the wait for the kernel, which answers at once. The library
	// waits for one answer per message, but a kernel that refuses the batch as
	// such sends only one.
	answerTime = 30 * time.Second
	// perMessage elements of a set are sent in one message: an attribute of netlink
	// has at most 64 kB, and the largest element has 64 bytes.
	perMessage = 500
)

// socketOptions is what is used of the library's netlink connection; its own
// package is not imported for that.
type socketOptions interface {
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
	SetDeadline(time.Time) error
}

func configureSocket[C socketOptions](c C) error {
	return errors.Join(
		c.SetWriteBuffer(socketBuffer), c.SetReadBuffer(socketBuffer), c.SetDeadline(time.Now().Add(answerTime)),
	)
}

// connect returns a connection to nftables in the table's namespace. A new
// one each time: one that has seen an error may still have answers in it.
func (t *Table) connect(options ...nftables.ConnOption) (*nftables.Conn, error) {
	return nftables.New(append(options,
		nftables.WithNetNSFd(int(t.netns.Fd())), nftables.WithSockOptions(configureSocket))...)
}

func (t *Table) table() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: nftables.TableFamilyINet}
}

// batch collects what fill asks for and does it in one atomic change.
func (t *Table) batch(fill func(*nftables.Conn, *nftables.Table) error) error {
	c, err := t.connect()
	if err != nil {
		return err
	}
	if err := fill(c, t.table()); err != nil {
		return err
	}
	return c.Flush()
}

type operation func(elements, *nftables.Conn, *nftables.Table) error

// change does an operation with all of the elements or with none.
func (t *Table) change(e elements, do operation) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changeLocked(e, do)
}

func (t *Table) changeLocked(e elements, do operation) error {
	err := t.batch(func(c *nftables.Conn, table *nftables.Table) error { return do(e, c, table) })
	if errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("%w (%w)", errdefs.ErrFailedPrecondition.WithMessage(
			"the table is not there, or somebody deleted a part of it: restart berthd, which writes it anew",
		), err)
	}
	return taken(err)
}

// taken says what it means that an element exists already. The kernel does not say which.
func taken(err error) error {
	if errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%w (%w)", errdefs.ErrAlreadyExists.WithMessage(
			"a port leads to another container already, or a subnet overlaps with that of another network",
		), err)
	}
	return err
}

// remove deletes elements. The kernel refuses a batch with an element that is
// not there, and 6.1 has no other way to ask; then they are deleted one by one.
func (t *Table) remove(e elements) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.removeLocked(e)
}

func (t *Table) removeLocked(e elements) error {
	err := t.changeLocked(e, elements.remove)
	if !errors.Is(err, syscall.ENOENT) {
		return err
	}
	err = nil
	for _, one := range e.each() {
		if e := t.changeLocked(one, elements.remove); !errors.Is(e, syscall.ENOENT) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// exists asks for the table.
func (t *Table) exists() (bool, error) {
	c, err := t.connect()
	if err != nil {
		return false, err
	}
	table, err := c.ListTableOfFamily(t.name, nftables.TableFamilyINet)
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	return err == nil && table.Flags == 0, err // the only flag is dormant: no rule works
}

// noNftables says what the kernel lacks, if it lacks something. The errno differs: no netlink
// protocol, no subsystem, no family, no expression of a rule.
func noNftables(err error) error {
	for _, errno := range []syscall.Errno{
		syscall.EPROTONOSUPPORT, syscall.EOPNOTSUPP, syscall.EAFNOSUPPORT, syscall.EINVAL, syscall.ENOENT,
	} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w (%w)", errdefs.ErrNotImplemented.WithMessage(
				"the kernel has no nftables, or not all that bridge networks need: load or build in "+
					"nf_tables, nft_ct, nft_nat, nft_masq, nft_fib_inet, or run containers with --network host or none",
			), err)
		}
	}
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w (%w)", errdefs.ErrPermissionDenied.WithMessage(
			"bridge networks need the capability CAP_NET_ADMIN: run berthd as root",
		), err)
	}
	return err
}

// Intact says whether the table is as Reset has written it. It is not if
// somebody deleted or flushed it, a chain or a rule, or put in rules of their own; then
// Reset is to be called. Elements of sets are not compared.
func (t *Table) Intact() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.written {
		return false, nil
	}
	if ok, err := t.exists(); !ok || err != nil {
		return false, t.lookError(err)
	}
	c, err := t.connect(nftables.AsLasting())
	if err != nil {
		return false, t.lookError(err)
	}
	defer func() { _ = c.CloseLasting() }() // it was read from
	for _, chain := range chains() {
		got, err := c.GetRules(t.table(), &nftables.Chain{Name: chain.name})
		if err != nil {
			return false, t.lookError(err)
		}
		if !sameRules(got, chain.rules()) {
			return false, nil
		}
	}
	return true, nil
}

func (t *Table) lookError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("look at nftables table %s: %w", t.name, err)
}
