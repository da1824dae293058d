package request

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/network"
)

// lines writes bindings as IP HOST->PORT, sorted.
func (p *published) lines() string {
	var out []string
	for port, bindings := range p.bindings {
		for _, b := range bindings {
			ip := ""
			if b.HostIP.IsValid() {
				ip = b.HostIP.String()
			}
			out = append(out, fmt.Sprintf("%s %s->%s", ip, b.HostPort, port))
		}
	}
	sort.Strings(out)
	return strings.Join(out, "; ")
}

func TestPublish(t *testing.T) {
	tests := []struct{ text, want string }{
		{"80", " ->80/tcp"},
		{"80/udp", " ->80/udp"},
		{"80/SCTP", " ->80/sctp"},
		{":80", " ->80/tcp"},
		{"8080:80", " 8080->80/tcp"},
		{"0:80", " 0->80/tcp"},
		{"65535:65535", " 65535->65535/tcp"},
		{"080:080", " 80->80/tcp"},
		{"1.2.3.4::80", "1.2.3.4 ->80/tcp"},
		{"1.2.3.4:8080:80/udp", "1.2.3.4 8080->80/udp"},
		{"0.0.0.0:8080:80", "0.0.0.0 8080->80/tcp"},
		{"[::1]:8080:80", "::1 8080->80/tcp"},
		{"[::]::80", ":: ->80/tcp"},
		{"::1:8080:80", "::1 8080->80/tcp"},
		{"[::ffff:1.2.3.4]:1:2", "1.2.3.4 1->2/tcp"},
		{"::80", " ->80/tcp"},
		{"7000-7001", " ->7000/tcp;  ->7001/tcp"},
		{"7000-7000:80", " 7000->80/tcp"},
		{"9000-9001:7000-7001/udp", " 9000->7000/udp;  9001->7001/udp"},
		{"9000-9005:80", " 9000-9005->80/tcp"},
		{"127.0.0.1:9000-9001:80-81", "127.0.0.1 9000->80/tcp; 127.0.0.1 9001->81/tcp"},
		{"target=80,published=8080,protocol=udp,mode=host", " 8080->80/udp"},
		{"target=80", " ->80/tcp"},
		{"target=80-81,published=90-91", " 90->80/tcp;  91->81/tcp"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			var p published
			if err := p.publish(tt.text); err != nil {
				t.Fatal(err)
			}
			if got := p.lines(); got != tt.want {
				t.Errorf("--publish %s is %q, want %q", tt.text, got, tt.want)
			}
			if len(p.exposed) != len(p.bindings) {
				t.Errorf("--publish %s exposes %v", tt.text, p.exposed)
			}
		})
	}
}

func TestPublishRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "the container's port is missing"},
		{"8080:", "the container's port is missing"},
		{"/tcp", "the container's port is missing"},
		{"0", `the container's port "0" is no port`},
		{"65536", `the container's port "65536" is no port: give a number from 1 to 65535`},
		{"-80", `the container's port "" is no port`},
		{"80-", `the container's port "" is no port`},
		{"+80", `the container's port "+80" is no port`},
		{" 80", `the container's port " 80" is no port`},
		{"http", `the container's port "http" is no port`},
		{"70000:80", `the host's port "70000" is no port`},
		{"8080/tcp:80", `the host's port "8080/tcp" is no port`},
		{"80/icmp", `unknown protocol "icmp": give tcp, udp or sctp`},
		{"80/", `unknown protocol ""`},
		{"80/tcp/udp", `unknown protocol "tcp/udp"`},
		{"81-80", `the container's port range "81-80" ends before it begins`},
		{"91-90:80", `the host's port range "91-90" ends before it begins`},
		{"8000-8002:80-81", "the host's ports 8000-8002 are 3 and the container's 80-81 are 2: give ranges of the same length"},
		{"8000:80-81", "the host's ports 8000 are 1"},
		{"0-1:80-81", "begin with 0"},
		{"0:80-81", "the host's ports 0 are 1"},
		{"localhost:80:80", `"localhost" is no IP address of the host`},
		{"1.2.3:80:80", `"1.2.3" is no IP address`},
		{"[1.2.3.4]:80:80", `"[1.2.3.4]" is no IP address`},
		{"[::1:80:80", `"[::1" is no IP address`},
		{"fe80::1%eth0:80:80", "has a zone"},
		{"1:2:3:4", `"1:2" is no IP address`},
		{"1-9000", "a container can have 8192 ports at most"},
		{"target=80,foo=1", `unknown key "foo"`},
		{"target=80,published", `"published" has no value`},
		{"published=80", "the container's port is missing"},
		{"target=80,published=1.2.3.4:80", "no value of published"},
		{"target=80,mode=x", `unknown mode "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			var p published
			err := p.publish(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("--publish %q: %v, want an error with %q", tt.text, err, tt.want)
			}
			if !strings.HasPrefix(err.Error(), fmt.Sprintf("invalid --publish %q: ", tt.text)) {
				t.Errorf("the error does not name what was typed: %v", err)
			}
		})
	}
}

func TestExpose(t *testing.T) {
	for text, want := range map[string]string{
		"80": "80/tcp", "80/udp": "80/udp", "80-82/sctp": "80/sctp 81/sctp 82/sctp", "65535": "65535/tcp",
	} {
		var p published
		if err := p.expose(text); err != nil {
			t.Errorf("--expose %s: %v", text, err)
		}
		var got []string
		for port := range p.exposed {
			got = append(got, port.String())
		}
		sort.Strings(got)
		if strings.Join(got, " ") != want || p.bindings != nil {
			t.Errorf("--expose %s is %v and publishes %v, want %s", text, got, p.bindings, want)
		}
	}
	for text, want := range map[string]string{
		"": "is missing", "0": "is no port", "80:80": "use --publish", "9-8": "ends before", "1/x": "unknown protocol",
	} {
		var p published
		if err := p.expose(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--expose %q: %v, want an error with %q", text, err, want)
		}
	}
}

// FuzzPublish: what is accepted can be sent and comes back as it was, and an
// error is one line.
func FuzzPublish(f *testing.F) {
	for _, s := range []string{
		"80", "8080:80/udp", "1.2.3.4:1-2:3-4", "[::1]::80", "::1:1:2", "target=80,published=1-2", "0:80", "65535-65535", "9000-9009:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p published
		if err := p.publish(text); err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: the error has several lines: %q", text, err)
			}
			return
		}
		if len(p.bindings) == 0 || len(p.bindings) > maxPorts {
			t.Fatalf("%q publishes %d ports", text, len(p.bindings))
		}
		data, err := json.Marshal(p.bindings)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		back := published{bindings: network.PortMap{}}
		if err := json.Unmarshal(data, &back.bindings); err != nil || back.lines() != p.lines() {
			t.Errorf("%q is sent as %s and received as %s, %v", text, data, back.lines(), err)
		}
		for port := range p.bindings {
			if port.Num() == 0 {
				t.Errorf("%q publishes port 0 of the container", text)
			}
		}
	})
}
