package hostfiles

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func write(t *testing.T, c mcontainer.Config, h mcontainer.HostConfig) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := Write(dir, id, &c, &h, Network{}); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(data)
	}
	return files
}

func TestWrite(t *testing.T) {
	got := write(t, mcontainer.Config{}, mcontainer.HostConfig{NetworkMode: "none"})
	if got["hostname"] != id[:12]+"\n" || !strings.Contains(got["hosts"], "127.0.0.1\tlocalhost\n") || !strings.Contains(got["hosts"], "\t"+id[:12]+"\n") {
		t.Errorf("defaults: %q", got)
	}
	got = write(t, mcontainer.Config{Hostname: "web", Domainname: "example"}, mcontainer.HostConfig{
		NetworkMode: "none", ExtraHosts: []string{"db:10.0.0.1", "six:::1", "eq=10.0.0.2"},
		DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, DNSSearch: []string{"a.example"}, DNSOptions: []string{"ndots:2"},
	})
	for _, want := range []string{"\tweb.example web\n", "10.0.0.1\tdb\n", "::1\tsix\n", "10.0.0.2\teq\n"} {
		if !strings.Contains(got["hosts"], want) {
			t.Errorf("hosts lacks %q: %q", want, got["hosts"])
		}
	}
	if r := got["resolv.conf"]; strings.Count(r, "nameserver ") != 1 || !strings.Contains(r, "nameserver 9.9.9.9\n") ||
		!strings.Contains(r, "search a.example\n") || !strings.Contains(r, "options ndots:2\n") {
		t.Errorf("resolv.conf: %q", r)
	}
}

// A value with a line end would write lines of its own.
func TestSecurity32LinesCannotBeInjected(t *testing.T) {
	for name, h := range map[string]mcontainer.HostConfig{
		"host":   {ExtraHosts: []string{"a\n1.2.3.4 evil:10.0.0.1"}},
		"addr":   {ExtraHosts: []string{"a:10.0.0.1\n1.2.3.4 evil"}},
		"none":   {ExtraHosts: []string{"a"}},
		"search": {DNSSearch: []string{"a\nnameserver 6.6.6.6"}},
		"option": {DNSOptions: []string{"a\nnameserver 6.6.6.6"}},
	} {
		h.NetworkMode = "none"
		if err := Write(t.TempDir(), id, &mcontainer.Config{}, &h, Network{}); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
