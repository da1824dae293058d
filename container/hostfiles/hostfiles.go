// Package hostfiles writes the files that are bound over an image's: hostname,
// hosts and resolv.conf.
//
// Level: L2, a subroom of container.
// Owns: their content.
// May import: moby/moby/api.
// Must not know: how they are mounted.
package hostfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
)

// hostGateway stands for the host's address in --add-host.
const hostGateway = "host-gateway"

// maxHostFile bounds what is copied of the host's /etc/hosts and resolv.conf.
const maxHostFile = 64 << 10

// Network is what a container knows of its networks, once it has joined them.
type Network struct {
	// Addresses are the container's own.
	Addresses []netip.Addr
	// Servers are the networks' name servers, which stand for all others.
	Servers []netip.Addr
	// Gateway is the host's address there.
	Gateway netip.Addr
	// HostServers, if there are any, are what to ask instead of the host's name servers.
	HostServers []netip.Addr
}

// Write writes the three files into dir, the directory of container id.
func Write(dir, id string, c *mcontainer.Config, h *mcontainer.HostConfig, n Network) error {
	files, err := contents(id, c, h, n)
	if err != nil {
		return err
	}
	for file, data := range files {
		if err := put(dir, file, data); err != nil {
			return err
		}
	}
	return nil
}

// Update changes the files of a running container whose networks were before and
// are now n. One that the container itself has changed stays.
func Update(dir, id string, c *mcontainer.Config, h *mcontainer.HostConfig, before, n Network) error {
	was, err := contents(id, c, h, before)
	if err != nil {
		return err
	}
	files, err := contents(id, c, h, n)
	if err != nil {
		return err
	}
	for file, data := range files {
		there, err := readHostFile(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		if bytes.Equal(there, was[file]) && !bytes.Equal(there, data) {
			if err := put(dir, file, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// put keeps the inode of a file that is there: the container has it mounted.
func put(dir, file string, data []byte) error {
	if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// contents are the files by name.
func contents(id string, c *mcontainer.Config, h *mcontainer.HostConfig, n Network) (map[string][]byte, error) {
	name := c.Hostname
	if name == "" {
		name = id[:12]
		if h.NetworkMode.IsHost() || h.UTSMode.IsHost() {
			if host, err := os.Hostname(); err == nil {
				name = host
			}
		}
	}
	hosts, err := hostsFile(name, c.Domainname, h, n)
	if err != nil {
		return nil, err
	}
	resolv, err := resolvFile(h, n)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"hostname": []byte(name + "\n"), "hosts": hosts, "resolv.conf": resolv}, nil
}

func hostsFile(name, domain string, h *mcontainer.HostConfig, n Network) ([]byte, error) {
	var b bytes.Buffer
	if h.NetworkMode.IsHost() {
		data, err := readHostFile("/etc/hosts")
		if err != nil {
			return nil, err
		}
		b.Write(data)
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
		if domain != "" {
			name = name + "." + domain + " " + name
		}
		own := n.Addresses
		if len(own) == 0 { // as in Debian, while it has none
			own = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 1, 1})}
		}
		for _, a := range own {
			b.WriteString(a.String() + "\t" + name + "\n")
		}
	}
	for _, extra := range h.ExtraHosts {
		// Docker's form is NAME:ADDRESS; its client also sends NAME=ADDRESS.
		host, addr, ok := strings.Cut(extra, ":")
		if n, a, eq := strings.Cut(extra, "="); eq {
			host, addr, ok = n, a, true
		}
		ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
		if addr == hostGateway {
			if ip, err = n.Gateway, nil; !ip.IsValid() {
				continue // it is known when the container starts, if it has one
			}
		}
		if !ok || err != nil || host == "" || strings.ContainsAny(host, " \t\r\n#") {
			return nil, invalid("invalid --add-host %q: it is NAME:ADDRESS", extra)
		}
		fmt.Fprintf(&b, "%s\t%s\n", ip, host)
	}
	return b.Bytes(), nil
}

func resolvFile(h *mcontainer.HostConfig, n Network) ([]byte, error) {
	host, err := readHostFile("/etc/resolv.conf")
	if err != nil {
		return nil, err
	}
	for _, s := range append(append([]string{}, h.DNSSearch...), h.DNSOptions...) {
		if s == "" || strings.ContainsAny(s, " \t\r\n#;") {
			return nil, invalid("invalid DNS search domain or option %q", s)
		}
	}
	servers := h.DNS
	switch {
	case len(n.Servers) > 0:
		servers = n.Servers // they ask those of the request
	case len(servers) == 0:
		servers = n.HostServers
	}
	// What the request gives replaces the host's lines of that kind.
	replaced := map[string]bool{
		"nameserver": len(servers) > 0, "options": len(h.DNSOptions) > 0,
		"search": len(h.DNSSearch) > 0, "domain": len(h.DNSSearch) > 0,
	}
	var b strings.Builder
	for line := range strings.Lines(string(host)) {
		if f := strings.Fields(line); len(f) > 0 && !replaced[f[0]] {
			b.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	for _, ip := range servers {
		b.WriteString("nameserver " + ip.String() + "\n")
	}
	if len(h.DNSSearch) > 0 && h.DNSSearch[0] != "." {
		b.WriteString("search " + strings.Join(h.DNSSearch, " ") + "\n")
	}
	if len(h.DNSOptions) > 0 {
		b.WriteString("options " + strings.Join(h.DNSOptions, " ") + "\n")
	}
	return []byte(b.String()), nil
}

// readHostFile reads a file of the host; a missing one is empty.
func readHostFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxHostFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
