package cni

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/network/portmap"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types/create"
	mnetwork "github.com/moby/moby/api/types/network"
)

const id = "0123456789abcdef"

// lab has a network "lan" of one plugin "p", a script.
func lab(t *testing.T, conf, script string) *Networks {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"p": "#!/bin/sh\n" + script + "\n", "10-lan.conflist": conf} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n := New(t.Context(), Config{ConfDirs: []string{filepath.Join(dir, "none"), dir}, BinDirs: []string{dir}, Dir: filepath.Join(dir, "records"), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(n.Close)
	return n
}

const lan = `{"cniVersion":"1.1.0","name":"lan","plugins":[{"type":"p","capabilities":{"portMappings":true}}]}`

// namespace stands for one: a script does not look.
func namespace(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What plugins are given, in which order, and what is recorded.
func TestAddAndDelete(t *testing.T) {
	t.Setenv("BERTH_SECRET", "1")
	calls := filepath.Join(t.TempDir(), "calls")
	n := lab(t, lan, `conf=$(cat); echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME ${CNI_NETNS%/*} $BERTH_SECRET $conf" >>`+calls+`
[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.1.0","interfaces":[{"name":"v","mac":"02:00:00:00:00:01"},{"name":"eth0","mac":"02:00:00:00:00:02","sandbox":"s"}],"ips":[{"address":"10.0.0.2/24","gateway":"10.0.0.1","interface":1},{"address":"10.9.9.9/24","interface":0},{"address":"fd00::2/64"}],"dns":{"domain":"d.example"}}'`)
	r := Request{Container: id, Network: "lan", Ports: []portmap.Want{{Protocol: mnetwork.TCP, Inside: 80, First: 8080, Last: 8080}}}
	got, err := n.Add(t.Context(), r, namespace(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(got)
	if want := `{"Addresses":["10.0.0.2/24","fd00::2/64"],"Gateways":["10.0.0.1"],"MAC":"02:00:00:00:00:02","Servers":null,"Search":["d.example"],"Options":null}`; err != nil || string(data) != want {
		t.Errorf("result %s, %v; want %s", data, err, want)
	}
	// The next daemon, when the list and the container are gone.
	if err := os.Remove(filepath.Join(n.c.ConfDirs[1], "10-lan.conflist")); err != nil {
		t.Fatal(err)
	}
	other := New(t.Context(), n.c) // it still runs
	if err := errors.Join(other.Restore(id, namespace(t)), other.Sweep()); err != nil || other.Attached(id) == nil {
		t.Fatalf("restore: %v, %v", err, other.Attached(id))
	}
	other.Close()
	next := New(t.Context(), n.c)
	if err := next.Sweep(); err != nil {
		t.Fatal(err)
	}
	if err := next.Delete(t.Context(), id); err != nil { // waits for it
		t.Fatal(err)
	}
	next.Close()
	log, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(log)) {
		f := strings.Fields(line)
		commands = append(commands, f[0])
		if f[0] != "STATUS" && (f[1] != id || f[2] != "eth0" || !strings.Contains(line, `"portMappings":[{"containerPort":80,"hostPort":8080,"protocol":"tcp"}]`)) {
			t.Errorf("call %s", line)
		}
		if netns := strings.Contains(line, " /proc/"); f[0] == "ADD" != netns || f[0] == "DEL" != strings.Contains(line, "prevResult") || strings.Contains(line, " 1 {") {
			t.Errorf("call %s", line)
		}
	}
	if got := strings.Join(commands, " "); got != "STATUS ADD DEL" {
		t.Errorf("calls %s", got)
	}
	if left, err := next.records(); err != nil || len(left) > 0 {
		t.Errorf("records %v, %v", left, err)
	}
}

// A deletion that fails is repeated, and there is no second start before it works.
func TestDeleteAgain(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	n := lab(t, lan, `cat >/dev/null; [ $CNI_COMMAND != DEL ] || [ ! -e `+broken+` ] || { echo '{"code":7,"msg":"not now"}'; exit 3; }; echo '{"cniVersion":"1.1.0"}'`)
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := Request{Container: id, Network: "lan"}
	if _, err := n.Add(t.Context(), r, namespace(t)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Delete(t.Context(), id); err == nil || !strings.Contains(err.Error(), "not now") {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := n.Add(t.Context(), r, namespace(t)); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("add: %v", err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Add(t.Context(), r, namespace(t)); err != nil {
		t.Error(err)
	}
	if n.Attached(id) == nil {
		t.Error("nothing is attached")
	}
	for range 2 {
		if err := n.Delete(t.Context(), id); err != nil || n.Attached(id) != nil {
			t.Errorf("delete: %v, %v", err, n.Attached(id))
		}
	}
}

// STATUS comes before ADD; a network that is not ready makes nothing.
func TestNotReady(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	n := lab(t, lan, `echo $CNI_COMMAND >>`+calls+`; cat >/dev/null; [ $CNI_COMMAND != STATUS ] || { echo '{"code":50,"msg":"no controller"}'; exit 1; }`)
	_, err := n.Add(t.Context(), Request{Container: id, Network: "lan"}, namespace(t))
	if err == nil || !strings.Contains(err.Error(), "not ready") || !strings.Contains(err.Error(), "no controller") {
		t.Errorf("add: %v", err)
	}
	if data, err := os.ReadFile(calls); err != nil || strings.Contains(string(data), "ADD") {
		t.Errorf("calls %q, %v", data, err)
	}
}

func TestCheck(t *testing.T) {
	port := portmap.Want{Protocol: mnetwork.TCP, Inside: 80, First: 8080, Last: 8080}
	for _, c := range []struct {
		conf, network string
		request       Request
		class         error
		want          string
	}{
		{lan, "lan", Request{Ports: []portmap.Want{port}}, nil, ""},
		{lan, "lan", Request{Ports: []portmap.Want{{Inside: 80}}}, errdefs.ErrInvalidArgument, "name one"},
		{lan, "lan", Request{MAC: "02:00:00:00:00:01"}, errdefs.ErrInvalidArgument, "--mac-address"},
		{lan, "wan", Request{}, errdefs.ErrNotFound, "wan not found"},
		{lan, "../lan", Request{}, errdefs.ErrInvalidArgument, "invalid CNI network name"},
		{`{"name":"lan"}`, "lan", Request{}, errdefs.ErrNotFound, "no plugins"},
		{`{`, "lan", Request{}, errdefs.ErrNotFound, "cannot be read"},
		{`{"name":"lan","plugins":[{"type":"../p"}]}`, "lan", Request{}, errdefs.ErrInvalidArgument, "is not in"},
		{strings.Repeat(" ", maxConf) + lan, "lan", Request{}, errdefs.ErrNotFound, "more than"},
	} {
		n := lab(t, c.conf, "")
		c.request.Network = c.network
		err := n.Check(c.request)
		if c.class == nil && err != nil || c.class != nil && (!errors.Is(err, c.class) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.80s, %+v: %v; want %v with %q", c.conf, c.request, err, c.class, c.want)
		}
	}
}

// FuzzResult: whatever a plugin prints is an error or a result that makes sense.
func FuzzResult(f *testing.F) {
	for _, s := range []string{
		`{"cniVersion":"1.0.0","interfaces":[null],"ips":[null]}`,
		`{"cniVersion":"0.4.0","interfaces":[null],"ips":[null],"routes":[null]}`,
		`{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/8","routes":[{"dst":"0.0.0.0/0"}]}}`,
		`{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.1/24","interface":-1,"gateway":"x"}],"dns":{"nameservers":["::1"]}}`,
		`null`,
	} {
		f.Add(s)
	}
	n := New(f.Context(), Config{})
	f.Fuzz(func(t *testing.T, s string) {
		var r *Result
		err := n.call(t.Context(), DefaultTimeout, "lan", "read", func(context.Context) error {
			made, err := create.CreateFromBytes([]byte(s))
			if err == nil {
				r, err = read(made)
			}
			return err
		})
		if err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\n\x1b") || len(text) > maxError+100 {
				t.Errorf("error %q", text)
			}
			return
		}
		for _, a := range r.Addresses {
			if !a.IsValid() {
				t.Errorf("%s: an address is not valid", s)
			}
		}
	})
}
