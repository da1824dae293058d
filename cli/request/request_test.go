package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/cli/command"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the golden files anew")

// build parses a line as run does.
func build(line []string, detach bool) ([]byte, error) {
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	fs.SetInterspersed(false)
	f := Define(fs)
	if err := fs.Parse(line); err != nil {
		return nil, err
	}
	r, _, err := f.Build(fs.Args(), detach)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(r, "", "  ")
}

// goldens are lines whose request is in testdata/NAME.json. FILE stands for a
// file of the test.
var goldens = []struct {
	name   string
	line   string
	detach bool
}{
	{"plain", "toolbox", false},
	{"command", "toolbox sh -c ls", false},
	{"detached", "-i toolbox", true},
	{"interactive", "-it --rm toolbox sh", false},
	{"attach", "-a stdout -a STDIN -i toolbox", false},
	{"process", "-u 1000:games -w /srv --name c --hostname h --domainname d --entrypoint /bin/x --stop-signal INT --stop-timeout 0 --init --group-add audio --group-add 44 toolbox arg", false},
	{"entrypoint-cleared", "--entrypoint= toolbox", false},
	{"environment", "-e A=1 -e BERTH_TEST_SET -e BERTH_TEST_UNSET -e B= --env-file ENVFILE toolbox", false},
	{"labels", "-l a=b -l c --label-file ENVFILE --annotation x=y=z toolbox", false},
	{"privileges", "--cap-add NET_ADMIN --cap-add ALL --cap-drop MKNOD --privileged --userns host --pid host --ipc container:c --uts host --cgroupns host --cgroup-parent /p toolbox", false},
	{"security", "--security-opt no-new-privileges --security-opt seccomp=PROFILE --security-opt label:disable toolbox", false},
	{"systempaths", "--security-opt systempaths=unconfined --security-opt seccomp=unconfined toolbox", false},
	{"memory", "-m 512m --memory-swap -1 --memory-reservation 1g --memory-swappiness 0 --oom-kill-disable --oom-score-adj -500 --shm-size 128m toolbox", false},
	{"cpu", "--cpus 1.5 -c 512 --cpuset-cpus 0-1 --cpuset-mems 0 --pids-limit -1 toolbox", false},
	{"cpu-quota", "--cpu-quota 50000 --cpu-period 100000 toolbox", false},
	{"blkio", "--blkio-weight 300 --blkio-weight-device /dev/sda:200 --device-read-bps /dev/sda:10mb --device-write-bps /dev/sda:1k --device-read-iops /dev/sda:100 --device-write-iops /dev/sda:50 toolbox", false},
	{"devices", "--device /dev/fuse --device /dev/kvm:rw --device /dev/sda:/dev/xvda:r --ulimit nofile=1024:2048 --ulimit core=-1 toolbox", false},
	{"volumes", "-v /a:/b -v /c:/d:ro,rslave -v name:/e -v /anonymous --tmpfs /t --tmpfs /u:size=1m,mode=700 --read-only toolbox", false},
	{"mounts", "--mount type=bind,source=/a,target=/b,readonly,bind-propagation=rslave --mount type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770 --mount type=volume,src=v,dst=/v,volume-nocopy toolbox", false},
	{"network", "--network none --add-host a:1.2.3.4 --add-host b=::1 --add-host c:[::2] --dns 9.9.9.9 --dns ::1 --dns-search x.org --dns-option ndots:1 toolbox", false},
	{"networks", "--network name=front,alias=web,alias=www,ip=172.30.0.5,ip6=fd00::5,mac-address=02:42:AC:11:00:02,driver-opt=a=b,gw-priority=-1 --net back -e X=1 toolbox", false},
	{"network-first", "--network app --net-alias db --network-alias sql --ip 172.30.0.6 --ip6 fd00:0::6 --mac-address 02-42-ac-11-00-03 toolbox", false},
	{"network-named", "--network app toolbox", false},
	{"network-default", "--ip 172.17.0.9 toolbox", false},
	{"network-container", "--network container:web toolbox", false},
	{"ports", "-p 8080:80 -p 127.0.0.1::53/UDP -p [::1]:8443:443 -p 80/sctp -p 9000-9001:7000-7001 -p 6000-6010:600 -p 8081:80 -P --expose 90 --expose 95-96/udp toolbox", false},
	{"ports-longer", "-p target=80,published=8080 -p target=53,protocol=udp --publish published=0,target=1 toolbox", false},
	{"hosts", "--add-host h:host-gateway toolbox", false},
	{"sysctl", "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=65536 toolbox", false},
	{"restart", "--restart on-failure:3 toolbox", false},
}

func TestBuildGolden(t *testing.T) {
	t.Setenv("BERTH_TEST_SET", "from ours")
	dir := t.TempDir()
	envFile, profile := filepath.Join(dir, "env"), filepath.Join(dir, "profile")
	writeFile(t, envFile, "\xef\xbb\xbf# comment\n\n  F=1 2\nBERTH_TEST_SET\nG=#x\n")
	writeFile(t, profile, "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }\n")
	for _, tt := range goldens {
		t.Run(tt.name, func(t *testing.T) {
			line := strings.NewReplacer("ENVFILE", envFile, "PROFILE", profile).Replace(tt.line)
			got, err := build(strings.Fields(line), tt.detach)
			if err != nil {
				t.Fatalf("run %s: %v", line, err)
			}
			golden := filepath.Join("testdata", tt.name+".json")
			if *update {
				writeFile(t, golden, string(got)+"\n")
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("run %s makes another request than %s (-want +got):\n%s", line, golden, diff)
			}
			sameAsMoby(t, got)
		})
	}
}

// sameAsMoby decodes a request into the API's own type, which the CLI does not
// link: no field is unknown to it, and none is lost.
func sameAsMoby(t *testing.T, data []byte) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var r container.CreateRequest
	if err := d.Decode(&r); err != nil {
		t.Fatalf("the API's type refuses the request: %v", err)
	}
	again, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var sent, received map[string]any
	if err := errors.Join(json.Unmarshal(data, &sent), json.Unmarshal(again, &received)); err != nil {
		t.Fatal(err)
	}
	subset(t, "request", sent, received)
}

func subset(t *testing.T, where string, sent, received any) {
	t.Helper()
	m, ok := sent.(map[string]any)
	if !ok {
		if diff := cmp.Diff(sent, received); diff != "" {
			t.Errorf("%s changes on its way through the API's type (-sent +received):\n%s", where, diff)
		}
		return
	}
	r, ok := received.(map[string]any)
	if !ok {
		t.Errorf("%s is %v in the API's type", where, received)
		return
	}
	for k, v := range m {
		subset(t, where+"."+k, v, r[k])
	}
}

func TestBuildRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	writeFile(t, bad, "A B=1\n")
	tests := []struct{ name, line, want string }{
		{"memory", "-m 12x toolbox", `invalid --memory "12x": give a size`},
		{"negative memory", "-m -5 toolbox", `invalid --memory "-5"`},
		{"cpus", "--cpus 1e3 toolbox", `invalid --cpus "1e3"`},
		{"cpus fraction", "--cpus 1/3 toolbox", `invalid --cpus "1/3"`},
		{"cpus nothing", "--cpus 0 toolbox", `invalid --cpus "0"`},
		{"cpus too fine", "--cpus 0.0000000001 toolbox", `at most nine decimals`},
		{"cpus twice", "--cpus 1 --cpu-quota 5 toolbox", "say the same thing twice"},
		{"workdir", "-w srv toolbox", `invalid --workdir "srv"`},
		{"env without name", "-e =x toolbox", `invalid environment variable "=x"`},
		{"env file", "--env-file BAD toolbox", `line 1: "A B" is no name of a variable`},
		{"env file missing", "--env-file BAD.none toolbox", "no such file"},
		{"volume", "-v a:b toolbox", `invalid --volume "a:b"`},
		{"volume colons", "-v /a:/b:ro:x toolbox", "too many colons"},
		{"mount type", "--mount type=foo,target=/x toolbox", `unknown type "foo"`},
		{"mount key", "--mount type=bind,foo=/x toolbox", `unknown key "foo"`},
		{"mount no target", "--mount type=bind,src=/x toolbox", "has no target"},
		{"mount bind relative", "--mount type=bind,src=x,dst=/x toolbox", "source=/PATH"},
		{"tmpfs", "--tmpfs x toolbox", `invalid --tmpfs "x"`},
		{"ulimit", "--ulimit foo=1 toolbox", `invalid --ulimit "foo=1"`},
		{"device", "--device /dev/a:/dev/b:x toolbox", `invalid --device`},
		{"device rule", "--device-cgroup-rule d toolbox", `invalid --device-cgroup-rule "d"`},
		{"weight device", "--blkio-weight-device /dev/sda:5 toolbox", "weight is 10 to 1000"},
		{"rate", "--device-read-bps sda:1 toolbox", "/dev/NAME:VALUE"},
		{"iops", "--device-read-iops /dev/sda:1m toolbox", "whole number"},
		{"restart", "--restart sometimes toolbox", `invalid --restart "sometimes"`},
		{"restart and rm", "--rm --restart always toolbox", "contradict"},
		{"pull", "--pull maybe toolbox", `invalid --pull "maybe"`},
		{"pid", "--pid foo toolbox", `invalid --pid "foo"`},
		{"userns", "--userns keep-id toolbox", `invalid --userns "keep-id"`},
		{"security", "--security-opt foo toolbox", `invalid --security-opt "foo"`},
		{"seccomp file", "--security-opt seccomp=BAD toolbox", "it is not JSON"},
		{"sysctl", "--sysctl a toolbox", `invalid --sysctl "a"`},
		{"dns", "--dns a toolbox", `invalid --dns "a"`},
		{"host", "--add-host a toolbox", `invalid --add-host "a"`},
		{"host ip", "--add-host a:b toolbox", `"b" is no IP address`},
		{"network empty", "--network= toolbox", "give bridge, none, host"},
		{"network key", "--network name=a,foo=b toolbox", `unknown key "foo"`},
		{"network value", "--network name=a,alias toolbox", `"alias" has no value`},
		{"network quotes", `--network name="a toolbox`, "with quotes"},
		{"network nameless", "--network alias=a toolbox", "add name=N"},
		{"network priority", "--network name=a,gw-priority=x toolbox", `gw-priority "x"`},
		{"network ip", "--network name=a,ip=fd00::1 toolbox", `invalid ip "fd00::1" of the network a`},
		{"network ip6", "--ip6 1.2.3.4 toolbox", `invalid ip6 "1.2.3.4" of the network default`},
		{"network mac", "--mac-address 02:42 toolbox", "give six bytes"},
		{"network driver-opt", "--network name=a,driver-opt=b toolbox", `invalid --driver-opt "b"`},
		{"network alias", "--network a --network-alias a/b toolbox", `invalid alias "a/b"`},
		{"network alias twice", "--network name=a,alias=b --network-alias c toolbox", "say the same thing twice"},
		{"network ip twice", "--network name=a,ip=1.2.3.4 --ip 1.2.3.5 toolbox", "ip and --ip say the same thing twice"},
		{"network twice", "--network a --network a toolbox", "given twice"},
		{"network beside host", "--network a --network host toolbox", `invalid --network "host": it cannot be joined beside`},
		{"network beside none", "--network none --network a toolbox", `invalid --network "none": it cannot be joined beside`},
		{"link-local", "--link-local-ip 169.254.1.1 toolbox", "cannot set --link-local-ip"},
		{"publish", "-p 0 toolbox", `invalid --publish "0": the container's port "0" is no port`},
		{"expose", "--expose 80:80 toolbox", `invalid --expose "80:80"`},
		{"too many ports", "-p 1-5000 --expose 5001-10000 toolbox", "8192 ports at most"},
		{"attach", "-a foo toolbox", `invalid --attach "foo"`},
		{"swappiness", "--memory-swappiness 101 toolbox", "give 0 to 100"},
		{"oom score", "--oom-score-adj 1001 toolbox", "give -1000 to 1000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := build(strings.Fields(strings.ReplaceAll(tt.line, "BAD", bad)), false)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("run %s: error %v, want one with %q", tt.line, err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("run %s: the error has several lines: %q", tt.line, err)
			}
			var exit *command.Exit
			if !errors.As(err, &exit) || exit.Code != command.BadInput {
				t.Errorf("run %s: error %#v does not carry exit code %d", tt.line, err, command.BadInput)
			}
		})
	}
}

func FuzzBuild(f *testing.F) {
	for _, tt := range goldens {
		f.Add(tt.line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.Contains(line, "file") || strings.Contains(line, "seccomp=") {
			return // only what is typed, not files of the machine
		}
		fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
		fs.Usage = func() {}
		flags := Define(fs)
		if fs.Parse(fields) != nil || fs.NArg() == 0 {
			return
		}
		r, _, err := flags.Build(fs.Args(), false)
		if err != nil {
			return
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("run %q: %v", line, err)
		}
	})
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
