package dns

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseResolvConf(t *testing.T) {
	tests := []struct {
		name, content string
		want          []string
		attempts      int
		rotate, noTLD bool
	}{
		{"empty", "", nil, 2, false, false},
		{"two", "nameserver 1.1.1.1\nnameserver\t2001:db8::1\n", []string{"1.1.1.1", "2001:db8::1"}, 2, false, false},
		{"zone", "nameserver fe80::1%eth0", []string{"fe80::1%eth0"}, 2, false, false},
		{"stub", "# systemd\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", []string{"127.0.0.53"}, 2, false, false},
		{"comments", "nameserver 1.1.1.1 # one\n;nameserver 2.2.2.2\n#nameserver 3.3.3.3\nnameserver 4.4.4.4;four", []string{"1.1.1.1", "4.4.4.4"}, 2, false, false},
		{"no address", "nameserver dns.example\nnameserver\nnameserver 1.1.1.1", []string{"1.1.1.1"}, 2, false, false},
		{"more than three", "nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4", []string{"1.1.1.1", "2.2.2.2", "3.3.3.3"}, 2, false, false},
		{"options", "options attempts:4 rotate timeout:x\noptions no-tld-query", nil, 4, true, true},
		{"silly options", "options attempts:1000 attempts:x rotate:1", nil, 5, true, false},
		{"carriage returns", "nameserver 1.1.1.1\r\n", []string{"1.1.1.1"}, 2, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := &hostConf{attempts: tt.attempts, rotate: tt.rotate, noSingleLabel: tt.noTLD}
			for _, a := range tt.want {
				want.servers = append(want.servers, netip.AddrPortFrom(netip.MustParseAddr(a), 53))
			}
			same := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
			if diff := cmp.Diff(want, parseResolvConf([]byte(tt.content)), cmp.AllowUnexported(hostConf{}), same); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestResolvConfIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	var log bytes.Buffer
	r := newResolvConf(path, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Now()
	expect := func(what string, generation int, want string) {
		t.Helper()
		c := r.get(now)
		got := ""
		if len(c.servers) > 0 {
			got = c.servers[0].Addr().String()
		}
		if got != want || c.generation != generation {
			t.Errorf("%s: server %q, generation %d; want %q, %d", what, got, c.generation, want, generation)
		}
	}
	expect("no file", 0, "")
	now = now.Add(time.Minute)
	expect("still none", 0, "")
	if n := strings.Count(log.String(), "no name server"); n != 1 {
		t.Errorf("%d lines in the log, want 1:\n%s", n, &log)
	}
	write(t, path, "nameserver 1.1.1.1\n")
	now = now.Add(checkEvery)
	expect("the first", 1, "1.1.1.1")
	write(t, path, "nameserver 2.2.2.2\n")
	expect("within a second nobody looks", 1, "1.1.1.1")
	now = now.Add(checkEvery)
	expect("same size, same inode", 2, "2.2.2.2")
	old := now.Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	now = now.Add(checkEvery)
	expect("touched", 2, "2.2.2.2")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(checkEvery)
	expect("gone", 3, "")
	write(t, path, strings.Repeat("#", maxResolvConf)+"\nnameserver 1.1.1.1\n")
	now = now.Add(checkEvery)
	expect("huge", 4, "")
	if n := strings.Count(log.String(), "no name server"); n != 2 {
		t.Errorf("%d lines in the log, want 2:\n%s", n, &log)
	}
}
