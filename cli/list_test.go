package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPs(t *testing.T) {
	f := newFake(t)
	f.routes["GET /containers/json"] = answer(200, fmt.Sprintf(`[{"Id":%q,"Names":["/web"],"Image":"debian:12",
		"Command":"sh -c 'a long command line'","Created":%d,"State":"running","Status":"Up 2 hours","Labels":{"b":"2","a":"1"},
		"Ports":[{"PrivatePort":80,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":53,"PublicPort":5353,"Type":"udp"}],
		"Mounts":[{"Source":"/src"}],"NetworkSettings":{"Networks":{"none":{}}}}]`, id, time.Now().Add(-2*time.Hour).Unix()))
	f.run("", "ps").check(t, 0, `CONTAINER ID   IMAGE       COMMAND                  CREATED       STATUS       PORTS                          NAMES
0123456789ab   debian:12   "sh -c 'a long comma…"   2 hours ago   Up 2 hours   80/tcp, 0.0.0.0:5353->53/udp   web
`, "")
	f.run("", "ps", "-q", "--no-trunc").check(t, 0, id+"\n", "")
	f.run("", "ps", "--format", `{{.Names}} {{.Labels}} {{.Label "a"}} {{.Mounts}} {{.Networks}} {{.State}}`).check(t, 0, "web a=1,b=2 1 /src none running\n", "")
	f.run("", "container", "ls", "-n", "1", "-f", "status=exited")
	if !f.saw("GET /containers/json?all=1&filters=%7B%22status%22%3A%7B%22exited%22%3Atrue%7D%7D&limit=1") {
		t.Errorf("the filter is missing in %q", f.requests)
	}
}

func TestPsPorts(t *testing.T) {
	tests := []struct{ name, ports, want string }{
		{"none", `[]`, ""},
		{"exposed", `[{"PrivatePort":81,"Type":"tcp"},{"IP":"","PrivatePort":80,"Type":"tcp"},{"PrivatePort":80,"Type":"udp"}]`, "80-81/tcp, 80/udp"},
		{"published", `[{"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}]`, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"},
		{"a range under the same numbers", `[{"IP":"0.0.0.0","PrivatePort":9001,"PublicPort":9001,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":9000,"PublicPort":9000,"Type":"tcp"},
			{"IP":"::","PrivatePort":9000,"PublicPort":9000,"Type":"tcp"},{"IP":"::","PrivatePort":9001,"PublicPort":9001,"Type":"tcp"}]`, "0.0.0.0:9000-9001->9000-9001/tcp, [::]:9000-9001->9000-9001/tcp"},
		{"a gap", `[{"PrivatePort":1,"Type":"tcp"},{"PrivatePort":2,"Type":"tcp"},{"PrivatePort":4,"Type":"tcp"},{"PrivatePort":3,"Type":"udp"}]`, "1-2/tcp, 4/tcp, 3/udp"},
		{"mapped after exposed", `[{"IP":"127.0.0.1","PrivatePort":1,"PublicPort":5,"Type":"tcp"},{"PrivatePort":9,"Type":"tcp"}]`, "9/tcp, 127.0.0.1:5->1/tcp"},
		{"the last port", `[{"PrivatePort":65535,"Type":"tcp"},{"PrivatePort":65534,"Type":"tcp"}]`, "65534-65535/tcp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.routes["GET /containers/json"] = answer(200, `[{"Id":"x","Ports":`+tt.ports+`}]`)
			f.run("", "ps", "--format", "{{.Ports}}").check(t, 0, tt.want+"\n", "")
		})
	}
}

func TestPort(t *testing.T) {
	f := newFake(t)
	f.routes["GET /containers/web/json"] = answer(200, `{"NetworkSettings":{"Ports":{"443/tcp":null,"80/tcp":[{"HostIp":"::","HostPort":"8080"},
		{"HostIp":"0.0.0.0","HostPort":"10080"},{"HostIp":"0.0.0.0","HostPort":"8080"}],"53/udp":[{"HostIp":"127.0.0.1","HostPort":"53"}]}}}`)
	f.run("", "port", "web").check(t, 0, `53/udp -> 127.0.0.1:53
80/tcp -> 0.0.0.0:8080
80/tcp -> 0.0.0.0:10080
80/tcp -> [::]:8080
`, "")
	f.run("", "port", "web", "53/UDP").check(t, 0, "127.0.0.1:53\n", "")
	f.run("", "container", "port", "web", "80").check(t, 0, "0.0.0.0:8080\n0.0.0.0:10080\n[::]:8080\n", "")
	f.run("", "port", "web", "443").check(t, 1, "", "container web does not publish port 443/tcp: 'berth port web'")
	f.run("", "port", "gone").check(t, 1, "", "GET /containers/gone/json")
	f.routes["GET /containers/quiet/json"] = answer(200, `{"NetworkSettings":{"Ports":{}}}`)
	f.run("", "port", "quiet").check(t, 0, "", "")
}

func TestImages(t *testing.T) {
	f := newFake(t)
	f.routes["GET /images/json"] = answer(200, fmt.Sprintf(`[
		{"Id":"sha256:%s","RepoTags":["localhost:5000/a:1","a:2"],"RepoDigests":["a@sha256:ff"],"Created":%d,"Size":117000000},
		{"Id":"sha256:ab%s","Created":0,"Size":5}]`, id, time.Now().Add(-3*24*time.Hour).Unix(), id[2:]))
	f.run("", "images").check(t, 0, `REPOSITORY         TAG      IMAGE ID       CREATED      SIZE
localhost:5000/a   1        0123456789ab   3 days ago   117MB
a                  2        0123456789ab   3 days ago   117MB
<none>             <none>   ab23456789ab   N/A          5B
`, "")
	f.run("", "images", "-q").check(t, 0, "0123456789ab\nab23456789ab\n", "")
	f.run("", "images", "--digests", "--format", "{{.Repository}} {{.Digest}}").check(t, 0, "localhost:5000/a <none>\na sha256:ff\n<none> <none>\n", "")
	f.run("", "image", "ls", "debian")
	if !f.saw("GET /images/json?filters=%7B%22reference%22%3A%7B%22debian%22%3Atrue%7D%7D") {
		t.Errorf("the repository is missing in %q", f.requests)
	}
}

func TestStats(t *testing.T) {
	f := newFake(t)
	f.routes["GET /containers/web/stats"] = answer(200, fmt.Sprintf(`{"id":%q,"name":"/web",
		"cpu_stats":{"cpu_usage":{"total_usage":600000000},"system_cpu_usage":12000000000,"online_cpus":2},
		"precpu_stats":{"cpu_usage":{"total_usage":100000000},"system_cpu_usage":10000000000,"online_cpus":2},
		"memory_stats":{"usage":20971520,"limit":67108864,"stats":{"inactive_file":4194304}},
		"blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":1000},{"op":"write","value":2000},{"op":"Total","value":3000}]},
		"networks":{"eth0":{"rx_bytes":5000,"tx_bytes":7000}},"pids_stats":{"current":3}}`, id))
	f.run("", "stats", "--no-stream", "web").check(t, 0, `CONTAINER ID   NAME   CPU %    MEM USAGE / LIMIT   MEM %    NET I/O     BLOCK I/O   PIDS
0123456789ab   web    50.00%   16MiB / 64MiB       25.00%   5kB / 7kB   1kB / 2kB   3
`, "")
	f.run("", "stats", "--no-stream", "gone").check(t, 1, "", "GET /containers/gone/stats")
}

func TestInspect(t *testing.T) {
	f := newFake(t)
	f.routes["GET /containers/web/json"] = answer(200, `{"Id":"x","State":{"ExitCode":3},"Name":"/web"}`)
	f.routes["GET /images/debian/json"] = answer(200, `{"Id":"sha256:y"}`)
	f.run("", "inspect", "web", "debian").check(t, 0, `[
    {
        "Id": "x",
        "State": {
            "ExitCode": 3
        },
        "Name": "/web"
    },
    {
        "Id": "sha256:y"
    }
]
`, "")
	f.run("", "inspect", "-f", "{{.ID}} {{.State.ExitCode}}", "web").check(t, 0, "x 3\n", "")
	f.run("", "inspect", "-f", "{{.Nope}}", "web").check(t, 125, "", "Nope")
	f.run("", "inspect", "none").check(t, 1, "[]\n", `no container and no image is called "none"`)
	f.run("", "image", "inspect", "-f", "{{.Id}}", "debian").check(t, 0, "sha256:y\n", "")
	f.run("", "inspect", "--type", "container", "debian").check(t, 1, "[]\n", "berth: ")
}

func TestLogs(t *testing.T) {
	f := newFake(t)
	f.routes["GET /containers/web/json"] = answer(200, `{"Id":"`+id+`","Config":{"Tty":false}}`)
	f.routes["GET /containers/"+id+"/logs"] = answer(200, frame(1, "out\n")+frame(2, "err\n"))
	f.run("", "logs", "-n", "5", "-t", "--since", "2026-01-02T03:04:05Z", "web").check(t, 0, "out\n", "err\n")
	if !f.saw("GET /containers/" + id + "/logs?since=1767323045.000000000&stderr=1&stdout=1&tail=5&timestamps=1") {
		t.Errorf("the request was %q", f.requests[len(f.requests)-1])
	}
}

func TestRemoveSeveral(t *testing.T) {
	f := newFake(t)
	f.routes["DELETE /containers/a1"] = answer(204, "")
	f.routes["DELETE /containers/a3"] = answer(409, `{"message":"container a3 is running: stop it or use --force"}`)
	got := f.run("", "rm", "a1", "a2", "a3")
	got.check(t, 1, "a1\n", "container a3 is running")
	if n := strings.Count(got.err, "\n"); n != 2 {
		t.Errorf("%d lines of errors, want 2: %q", n, got.err)
	}
	f.run("", "rm", "-f", "a1", "a2").check(t, 0, "a1\n", "DELETE /containers/a2")
}
