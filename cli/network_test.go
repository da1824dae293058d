package cli

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// body answers with a text and keeps the request's body.
func body(status int, text string, to *string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		*to = strings.TrimSpace(string(data))
		answer(status, text)(w, r)
	}
}

func TestNetworkCreate(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"plain", "back", `{"Name":"back","Driver":"bridge","Scope":"","IPAM":{"Driver":"default","Options":null,"Config":null},"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":null,"Labels":null}`},
		{
			"all", "-d bridge --subnet 172.30.0.0/16 --subnet fd00:30::/64 --ip-range 172.30.5.0/24 --gateway fd00:30::1 --gateway 172.30.0.1 --aux-address a=172.30.0.2 --internal --attachable --ipv4=false --ipv6 -o a=b --opt c --label x=y --label z back",
			`{"Name":"back","Driver":"bridge","Scope":"","EnableIPv4":false,"EnableIPv6":true,"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.30.0.0/16","IPRange":"172.30.5.0/24","Gateway":"172.30.0.1","AuxiliaryAddresses":{"a":"172.30.0.2"}},{"Subnet":"fd00:30::/64","Gateway":"fd00:30::1"}]},"Internal":true,"Attachable":true,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{"a":"b","c":""},"Labels":{"x":"y","z":""}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			var got string
			f.routes["POST /networks/create"] = body(201, `{"Id":"`+id+`","Warning":"mind the gap"}`, &got)
			f.run("", append([]string{"network", "create"}, strings.Fields(tt.line)...)...).check(t, 0, id+"\n", "berth: mind the gap\n")
			if got != tt.want {
				t.Errorf("network create %s sends\n%s\nwant\n%s", tt.line, got, tt.want)
			}
		})
	}
	f := newFake(t)
	f.routes["POST /networks/create"] = answer(409, `{"message":"network back exists already"}`)
	f.run("", "network", "create", "back").check(t, 1, "", "berth: network back exists already\n")
}

func TestNetworkCreateRefuses(t *testing.T) {
	f := newFake(t)
	for line, want := range map[string]string{
		"--subnet 10.0.0.0/33":                                                 `invalid --subnet "10.0.0.0/33"`,
		"--subnet 10.0.0.0/8 --subnet 10.1.0.0/16":                             "it overlaps with 10.0.0.0/8",
		"--subnet 10.0.0.0/24 --ip-range 10.0.1.0/24":                          `invalid --ip-range "10.0.1.0/24": it is in no --subnet`,
		"--subnet 10.0.0.0/24 --ip-range 10.0.0.0/16":                          "it is in no --subnet",
		"--subnet 10.0.0.0/24 --ip-range x":                                    `invalid --ip-range "x"`,
		"--subnet 10.0.0.0/24 --ip-range 10.0.0.0/26 --ip-range 10.0.0.128/26": "has the range 10.0.0.0/26 already",
		"--subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2":           "has the gateway 10.0.0.1 already",
		"--subnet 10.0.0.0/24 --gateway x":                                     `"x" is no IP address`,
		"--subnet 10.0.0.0/24 --aux-address 10.0.0.2":                          `invalid --aux-address "10.0.0.2": write NAME=IP`,
		"--subnet 10.0.0.0/24 --aux-address a=b":                               `"b" is no IP address`,
		"--subnet fd00::/64 --aux-address a=10.0.0.1":                          "it is in no --subnet",
		"--label =x": `invalid --label "=x"`,
		"-o =x":      `invalid --opt "=x"`,
	} {
		got := f.run("", append(append([]string{"network", "create"}, strings.Fields(line)...), "a")...)
		got.check(t, 125, "", want)
		if strings.Count(got.err, "\n") != 1 {
			t.Errorf("%q is not one line", got.err)
		}
	}
	if len(f.requests) > 0 {
		t.Errorf("wrong usage reached the daemon: %q", f.requests)
	}
}

func TestNetworkList(t *testing.T) {
	f := newFake(t)
	f.routes["GET /networks"] = answer(200, `[{"Name":"none","Id":"ab`+id[2:]+`","Driver":"null","Scope":"local"},
		{"Name":"back","Id":"`+id+`","Driver":"bridge","Scope":"local","EnableIPv4":true,"Internal":true,"Labels":{"b":"2","a":"1"},"Created":"2026-01-02T03:04:05Z"}]`)
	f.run("", "network", "ls").check(t, 0, `NETWORK ID     NAME   DRIVER   SCOPE
0123456789ab   back   bridge   local
ab23456789ab   none   null     local
`, "")
	f.run("", "network", "list", "-q").check(t, 0, "0123456789ab\nab23456789ab\n", "")
	f.run("", "network", "ls", "-q", "--no-trunc", "-f", "type=custom").check(t, 0, id+"\nab"+id[2:]+"\n", "")
	if !f.saw("GET /networks?filters=%7B%22type%22%3A%7B%22custom%22%3Atrue%7D%7D") {
		t.Errorf("the filter is missing in %q", f.requests)
	}
	f.run("", "network", "ls", "--format", `{{.Name}} {{.IPv4}} {{.IPv6}} {{.Internal}} {{.Labels}} {{.Label "a"}} {{.CreatedAt}}`).check(t, 0,
		"back true false true a=1,b=2 1 2026-01-02 03:04:05 +0000 UTC\nnone false false false   0001-01-01 00:00:00 +0000 UTC\n", "")
}

func TestNetworkInspect(t *testing.T) {
	f := newFake(t)
	f.routes["GET /networks/back"] = answer(200, `{"Name":"back","Id":"x","IPAM":{"Config":[{"Subnet":"10.0.0.0/24"}]}}`)
	f.routes["GET /networks/gone"] = answer(404, `{"message":"network gone not found"}`)
	f.run("", "network", "inspect", "-v", "back", "gone").check(t, 1, `[
    {
        "Name": "back",
        "Id": "x",
        "IPAM": {
            "Config": [
                {
                    "Subnet": "10.0.0.0/24"
                }
            ]
        }
    }
]
`, "berth: network gone not found\n")
	f.run("", "network", "inspect", "-f", "{{.ID}} {{range .IPAM.Config}}{{.Subnet}}{{end}}", "back").check(t, 0, "x 10.0.0.0/24\n", "")
	f.run("", "network", "inspect", "gone").check(t, 1, "[]\n", "berth: network gone not found\n")
}

func TestNetworkConnect(t *testing.T) {
	f := newFake(t)
	var got string
	f.routes["POST /networks/back/connect"] = body(200, "", &got)
	f.run("", "network", "connect", "--ip", "10.0.0.5", "--ip6", "fd00::5", "--alias", "a,b", "--driver-opt", "x=y", "--gw-priority", "-5", "--mac-address", "02:42:ac:11:00:02", "back", "web").check(t, 0, "", "")
	for _, want := range []string{
		`"Container":"web"`, `"IPv4Address":"10.0.0.5","IPv6Address":"fd00::5"`, `"Aliases":["a","b"]`, `"x":"y"`, `"GwPriority":-5`, `"02:42:ac:11:00:02"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the request %s lacks %s", got, want)
		}
	}
	f.run("", "network", "connect", "gone", "web").check(t, 1, "", "POST /networks/gone/connect")

	f.routes["POST /networks/back/disconnect"] = body(200, "", &got)
	f.run("", "network", "disconnect", "-f", "back", "web").check(t, 0, "", "")
	if got != `{"Container":"web","Force":true}` {
		t.Errorf("disconnect sends %s", got)
	}
}

func TestNetworkRemove(t *testing.T) {
	f := newFake(t)
	f.routes["DELETE /networks/a"] = answer(204, "")
	f.routes["DELETE /networks/b"] = answer(403, `{"message":"network b has endpoints: web"}`)
	got := f.run("", "network", "rm", "a", "gone", "b")
	got.check(t, 1, "a\n", "berth: network b has endpoints: web\n")
	if strings.Count(got.err, "\n") != 2 {
		t.Errorf("stderr %q has not a line for each", got.err)
	}
	f.run("", "network", "remove", "-f", "gone", "a").check(t, 0, "a\n", "DELETE /networks/gone")
}

func TestNetworkPrune(t *testing.T) {
	const question = "WARNING! This will remove all networks that no container is in.\nAre you sure you want to continue? [y/N] "
	f := newFake(t)
	f.routes["POST /networks/prune"] = answer(200, `{"NetworksDeleted":["back","front"]}`)
	for _, no := range []string{"", "n\n", "\n", "nay"} {
		f.run(no, "network", "prune").check(t, 1, question, "nothing was removed")
	}
	if f.saw("POST") {
		t.Error("no was taken for yes")
	}
	f.run("Y\n", "network", "prune").check(t, 0, question+"Deleted Networks:\nback\nfront\n\n", "")
	f.run("", "network", "prune", "-f", "--filter", "until=24h").check(t, 0, "Deleted Networks:\nback\nfront\n\n", "")
	if !f.saw("POST /networks/prune?filters=%7B%22until%22%3A%7B%2224h%22%3Atrue%7D%7D") {
		t.Errorf("the filter is missing in %q", f.requests)
	}
	f.routes["POST /networks/prune"] = answer(200, `{"NetworksDeleted":null}`)
	f.run("", "network", "prune", "-f").check(t, 0, "", "")
}
