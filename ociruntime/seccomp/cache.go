package seccomp

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cacheSize bounds a cache: a machine has few profiles, but each set of
// capabilities makes another one of the default. A filter takes 3 kB.
const cacheSize = 32

// Cache compiles each profile once. The zero value is ready; it is safe for
// concurrent use.
type Cache struct {
	mu sync.Mutex
	// +checklocks:mu
	filters []cached // the last used at the end
}

type cached struct {
	key    [sha256.Size]byte
	filter Filter
}

// Compile returns what [Compile] does.
func (c *Cache) Compile(p *specs.LinuxSeccomp, goarch string) (Filter, error) {
	key := digest(p, goarch)
	if f, ok := c.find(key); ok {
		return f, nil
	}
	f, err := Compile(p, goarch)
	if err != nil {
		return Filter{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.filters) >= cacheSize {
		c.filters = slices.Delete(c.filters, 0, 1)
	}
	c.filters = append(c.filters, cached{key, f})
	return f, nil
}

func (c *Cache) find(key [sha256.Size]byte) (Filter, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.filters {
		if e.key == key {
			c.filters = append(slices.Delete(c.filters, i, i+1), e)
			return e.filter, true
		}
	}
	return Filter{}, false
}

// digest hashes all of a profile that a filter depends on. Every string and
// list is preceded by its length, so that no two profiles are written alike.
func digest(p *specs.LinuxSeccomp, goarch string) (key [sha256.Size]byte) {
	d := digester{sha256.New(), make([]byte, 0, 4096)}
	d.text(goarch)
	d.text(string(p.DefaultAction))
	d.optional(p.DefaultErrnoRet)
	d.number(uint64(len(p.Architectures)))
	for _, a := range p.Architectures {
		d.text(string(a))
	}
	if p.Flags == nil { // not the same as none: it means runc's default
		d.number(1 << 32)
	}
	d.number(uint64(len(p.Flags)))
	for _, f := range p.Flags {
		d.text(string(f))
	}
	d.text(p.ListenerPath)
	for _, c := range p.Syscalls {
		d.number(uint64(len(c.Names)))
		for _, name := range c.Names {
			d.text(name)
		}
		d.text(string(c.Action))
		d.optional(c.ErrnoRet)
		d.number(uint64(len(c.Args)))
		for _, a := range c.Args {
			d.text(string(a.Op))
			d.number(uint64(a.Index))
			d.number(a.Value)
			d.number(a.ValueTwo)
		}
	}
	d.flush()
	d.Sum(key[:0])
	return key
}

type digester struct {
	hash.Hash
	buf []byte
}

func (d *digester) flush() {
	d.Write(d.buf) // a hash takes everything
	d.buf = d.buf[:0]
}

func (d *digester) number(n uint64) {
	if len(d.buf) > cap(d.buf)/2 {
		d.flush()
	}
	d.buf = binary.LittleEndian.AppendUint64(d.buf, n)
}

func (d *digester) text(s string) {
	d.number(uint64(len(s)))
	d.buf = append(d.buf, s...)
}

func (d *digester) optional(n *uint) {
	if n == nil {
		d.text("")
		return
	}
	d.text("=")
	d.number(uint64(*n))
}
