package request

import (
	"encoding/json"
	"testing"
)

func TestPortsOfUpdate(t *testing.T) {
	for text, want := range map[string]string{
		"8080":             `{"HostIP":"","HostPort":"8080","Protocol":"tcp"}`,
		"8080/UDP":         `{"HostIP":"","HostPort":"8080","Protocol":"udp"}`,
		"127.0.0.1:80-90":  `{"HostIP":"127.0.0.1","HostPort":"80-90","Protocol":"tcp"}`,
		"[::1]:53/udp":     `{"HostIP":"::1","HostPort":"53","Protocol":"udp"}`,
		":80":              `{"HostIP":"","ContainerPort":80,"Protocol":"tcp"}`,
		"":                 "",
		":":                "",
		"0":                "",
		"80:81":            "",
		"70000":            "",
		"90-80":            "",
		"80/icmp":          "",
		":80-81":           "",
		"localhost:80":     "",
		"[127.0.0.1]:80":   "",
		"127.0.0.1:80:80 ": "",
	} {
		u, err := Ports(nil, []string{text})
		if want == "" {
			if err == nil {
				t.Errorf("%q: %+v; want an error", text, u)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got, err := json.Marshal(u.UnpublishPorts[0])
		if err != nil || string(got) != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
}
