package network

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDockerCLI: the stock docker CLI works with networks and ports.
func TestDockerCLI(t *testing.T) {
	cli, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal("there is no docker CLI: make test-deps installs it")
	}
	l := start(t)
	o := cable(t)
	l.Must(t, "pull", "-q", "toolbox")
	docker := l.docker(cli)
	shows := func(out string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(out, p) {
				t.Errorf("%q is missing in:\n%s", p, out)
			}
		}
	}
	docker("network", "create", "--subnet", "10.90.0.0/24", "--label", "a=b", "n1")
	docker("network", "create", "n2")
	shows(docker("network", "ls"), "n1", "n2", "bridge", "host", "none", "local")
	shows(docker("network", "inspect", "n1"), "10.90.0.0/24", `"a": "b"`)
	docker(args("run -d --name web --network n1 --network-alias www -p 8080:80", player("serve"), "toolbox /x 80")...)
	l.serving("web")
	docker(args("run -d --name c2 --network n1", player("serve"), "toolbox /x 80")...)
	l.serving("c2")
	want(t, "docker run -p", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	l.found("c2", map[string]string{"www": l.addr("web", "n1")})
	shows(docker("port", "web"), "80/tcp -> 0.0.0.0:8080")
	shows(docker("ps"), "0.0.0.0:8080->80/tcp")
	shows(docker("inspect", "-f", "{{.NetworkSettings.Networks.n1.IPAddress}} {{.NetworkSettings.Networks.n1.Gateway}}", "web"), "10.90.0.2 10.90.0.1")
	docker("network", "connect", "--alias", "other", "--ip", text(l.network("n2").IPAM.Config[0].Subnet.Addr().Next().Next().Next()), "n2", "web")
	shows(docker("network", "inspect", "n2"), `"Name": "web"`)
	docker("network", "disconnect", "n2", "web")
	docker("rm", "-f", "web", "c2")
	docker("network", "rm", "n1")
	shows(docker("network", "prune", "-f"), "n2")
	if left := docker("network", "ls", "-q", "--filter", "type=custom"); left != "" {
		t.Errorf("networks left: %s", left)
	}
}

// docker returns a function that runs the docker CLI and returns what it prints.
func (l *lab) docker(cli string) func(args ...string) string {
	config := l.t.TempDir()
	return func(args ...string) string {
		l.t.Helper()
		cmd := exec.Command(cli, args...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+filepath.Join(l.Run, "berth.sock"), "DOCKER_CONFIG="+config)
		out, err := cmd.CombinedOutput()
		if err != nil {
			l.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
}
