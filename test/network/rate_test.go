package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"berth/test/berthtest"
)

// bucket is a token bucket as tc(8) shows it; Rate is in bytes a second.
type bucket struct {
	Kind       string
	Root       bool
	Bytes      uint64
	Overlimits uint64
	Options    struct{ Rate uint64 }
}

// bucketOf is the one of a device, zero if it has none.
func bucketOf(device string) (bucket, error) {
	out, err := exec.Command("tc", "-s", "-j", "qdisc", "show", "dev", device).Output()
	var all []bucket
	if err != nil || json.Unmarshal(out, &all) != nil {
		return bucket{}, fmt.Errorf("tc qdisc show dev %s: %w: %s", device, err, out)
	}
	for _, q := range all {
		if q.Root && q.Kind == "tbf" {
			return q, nil
		}
	}
	return bucket{}, nil
}

// ends are the host's end of a container in a network, and its shaper.
func (l *lab) ends(name, in string) (end, shaper string) {
	l.t.Helper()
	id := l.endpoint(name, in).EndpointID
	if len(id) < 10 {
		l.t.Fatalf("container %s has no endpoint in %s", name, in)
	}
	return "vb" + id[:10], "vi" + id[:10]
}

// wantRates waits until a container has these limits, in bits a second; zero is none.
func (l *lab) wantRates(what, name, in string, towards, from uint64) {
	l.t.Helper()
	end, shaper := l.ends(name, in)
	err := berthtest.Poll(func() error {
		got, err := bucketOf(end)
		if err != nil || got.Options.Rate*8 != towards {
			return fmt.Errorf("limit of %s is %d bit/s, %w; want %d", end, got.Options.Rate*8, err, towards)
		}
		if from == 0 {
			if left := devices(l.t, shaper); len(left) > 0 {
				return fmt.Errorf("there is %s", left)
			}
			return nil
		}
		if got, err = bucketOf(shaper); err != nil || got.Options.Rate*8 != from {
			return fmt.Errorf("limit of %s is %d bit/s, %w; want %d", shaper, got.Options.Rate*8, err, from)
		}
		out, err := exec.Command("tc", "filter", "show", "dev", end, "ingress").CombinedOutput()
		if err != nil || strings.Count(string(out), "Egress Redirect to device "+shaper) != 1 {
			return fmt.Errorf("filters of %s: %w: %s", end, err, out)
		}
		return nil
	})
	if err != nil {
		l.t.Errorf("%s: %v", what, err)
	}
}

// TestRates: what an interface may pass is limited both ways, from its first packet
// on, by the network or the container, and nothing of it stays.
func TestRates(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "-o", "berth.rate.in=24mbit", "-o", "berth.rate.out=16mbit", "n1")
	l.Must(t, "network", "create", "n2")
	l.serve("free", "--network name=n1,driver-opt=berth.rate.in=0,driver-opt=berth.rate.out=0")
	l.serve("c1", "--network n1 --cap-add NET_ADMIN")
	l.serve("c2", "--network name=n1,driver-opt=berth.rate.out=1mbps")
	l.wantRates("its own limits: none", "free", "n1", 0, 0)
	l.wantRates("limits of the network", "c1", "n1", 24e6, 16e6)
	l.wantRates("a limit of its own", "c2", "n1", 24e6, 8e6)
	if got := l.endpoint("c2", "n1").DriverOpts["berth.rate.out"]; got != "1mbps" {
		t.Errorf("inspect shows the limit %q", got)
	}

	const bytes = 1 << 20
	want(t, "a transfer under a limit", fmt.Sprint(bytes, " bytes"))(l.in("c1", "echo", at(l.addr("free", "n1"), "80"), fmt.Sprint(bytes)))
	end, shaper := l.ends("c1", "n1")
	for _, device := range []string{end, shaper} {
		if got, err := bucketOf(device); err != nil || got.Bytes < bytes || got.Overlimits == 0 {
			t.Errorf("%s has not held back a transfer of %d bytes: %+v, %v", device, bytes, got, err)
		}
	}

	shell(t, "tc qdisc del dev "+end+" root")
	l.wantRates("a removed limit towards it", "c1", "n1", 24e6, 16e6)
	shell(t, "ip link del "+shaper)
	l.wantRates("a removed limit from it", "c1", "n1", 24e6, 16e6)
	shell(t, "tc qdisc del dev "+end+" ingress")
	l.wantRates("a removed filter", "c1", "n1", 24e6, 16e6)
	want(t, "after repair", fmt.Sprint(bytes, " bytes"))(l.in("c1", "echo", at(l.addr("free", "n1"), "80"), fmt.Sprint(bytes)))

	l.Must(t, "network", "connect", "--driver-opt", "berth.rate.in=5mbit", "--driver-opt", "berth.rate.out=6mbit", "n2", "c1")
	l.wantRates("a connected network", "c1", "n2", 5e6, 6e6)
	l.Must(t, "restart", "-t", "0", "c1")
	l.serving("c1")
	l.wantRates("after restart", "c1", "n1", 24e6, 16e6)
	l.wantRates("after restart", "c1", "n2", 5e6, 6e6)
	_, gone := l.ends("c1", "n2")
	l.Must(t, "network", "disconnect", "n2", "c1")
	if left := devices(t, gone); len(left) > 0 {
		t.Errorf("left after disconnect: %s", left)
	}
	if err := l.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.wantRates("with the next daemon", "c1", "n1", 24e6, 16e6)
	l.Must(t, "rm", "-f", "c1")
	l.shapersGone("c2") // and c1's is not there

	pid := l.inspect("c2").State.Pid
	if err := errors.Join(l.Kill(syscall.SIGKILL), syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	l.Must(t, "ps")
	l.shapersGone()
}

// shapersGone waits until only containers of network n1 have shapers.
func (l *lab) shapersGone(but ...string) {
	l.t.Helper()
	err := berthtest.Poll(func() error {
		left := devices(l.t, "vi")
		for _, name := range but {
			_, shaper := l.ends(name, "n1")
			if len(left) > 0 && left[0] == shaper {
				left = left[1:]
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
	if err != nil {
		l.t.Error(err)
	}
}

// TestRateErrors: a limit that is none is refused before anything is made.
func TestRateErrors(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "n1")
	for _, v := range []struct{ args, want string }{
		{"network create -o berth.rate.in=fast n2", `rate "fast" cannot be read`},
		{"network create -o berth.rate.up=1mbit n2", "berth.rate.in"},
		{"create --network name=n1,driver-opt=berth.rate.out=10 toolbox", "out of bounds"},
		{"create --network name=n1,driver-opt=berth.rate=1mbit toolbox", `unknown option "berth.rate"`},
	} {
		_, errOut, code := l.Berth(t, args(v.args)...)
		if code == 0 || !strings.Contains(errOut, v.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("berth %s: exit code %d: %s; want %s", v.args, code, errOut, v.want)
		}
	}
}
