package runc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/api/runc/command"
	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The flags of runc 1.5, and those that only older versions have.
var runcFlags = map[string]string{
	"create":     "bundle= b= console-socket= pidfd-socket= pid-file= no-pivot no-new-keyring preserve-fds=1",
	"run":        "bundle= b= console-socket= pidfd-socket= detach d keep pid-file= no-subreaper no-pivot no-new-keyring preserve-fds=1",
	"start":      "",
	"exec":       "console-socket= pidfd-socket= cwd=/ env=A=b e=A=b tty t user=0 u=0 additional-gids=1 g=1 process= p= detach d pid-file= process-label= apparmor= no-new-privs cap=CAP_KILL c=CAP_KILL preserve-fds=1 cgroup=x ignore-paused",
	"state":      "",
	"kill":       "all a",
	"delete":     "force f",
	"ps":         "format=json f=json",
	"pause":      "",
	"resume":     "",
	"update":     "resources= r= blkio-weight=10 cpu-period=1 cpu-quota=1 cpu-burst=1 cpu-share=2 cpu-rt-period=1 cpu-rt-runtime=1 cpuset-cpus=0 cpuset-mems=0 kernel-memory=1 kernel-memory-tcp=1 memory=1 cpu-idle=1 memory-reservation=1 memory-swap=1 pids-limit=1 l3-cache-schema= mem-bw-schema=",
	"events":     "interval=1s stats",
	"list":       "format=json f=json quiet q",
	"spec":       "bundle= b= rootless",
	"features":   "",
	"checkpoint": "image-path= work-path= parent-path= leave-running tcp-established tcp-skip-in-flight link-remap ext-unix-sk shell-job lazy-pages status-fd=3 page-server= file-locks pre-dump manage-cgroups-mode=soft empty-ns=network auto-dedup",
	"restore":    "console-socket= image-path= work-path= tcp-established ext-unix-sk shell-job file-locks manage-cgroups-mode=soft bundle= b= detach d pid-file= no-subreaper no-pivot empty-ns=network auto-dedup lazy-pages lsm-profile= lsm-mount-context=",
}

func TestFlagsAreRuncs(t *testing.T) {
	for name, list := range runcFlags {
		cmd := find(name)
		if cmd == nil {
			t.Errorf("no command %s", name)
			continue
		}
		for f := range strings.FieldsSeq(list) {
			flag, value, has := strings.Cut(f, "=")
			for _, dashes := range []string{"-", "--"} {
				flags := &command.Flags{}
				cmd.Setup(flags)
				args := []string{dashes + flag}
				if has {
					args = append(args, value)
				}
				if rest, err := flags.Parse(args, cmd.ArgsEndFlags); err != nil || len(rest) > 0 {
					t.Errorf("%s %q: %v, rest %q", name, args, err, rest)
				}
				if has {
					flags = &command.Flags{}
					cmd.Setup(flags)
					if _, err := flags.Parse([]string{dashes + flag + "=" + value}, false); err != nil {
						t.Errorf("%s %s%s=%s: %v", name, dashes, flag, value, err)
					}
				}
			}
		}
	}
}

func TestEachCommandHasHelp(t *testing.T) {
	var all strings.Builder
	for _, make := range commands() {
		cmd := make()
		var s session
		if code := s.run(cmd.Name, "--help"); code != 0 || s.err.Len() > 0 {
			t.Errorf("%s --help: exit code %d, %s", cmd.Name, code, &s.err)
		}
		var h session
		if h.run("help", cmd.Name); h.out.String() != s.out.String() {
			t.Errorf("help %s differs from %s --help", cmd.Name, cmd.Name)
		}
		fmt.Fprintf(&all, "==> %s\n%s\n", cmd.Name, &s.out)
		if len(cmd.Examples) == 0 && cmd.Name != "help" {
			t.Errorf("%s has no example", cmd.Name)
		}
	}
	golden(t, "help.txt", all.String())
	var s, h session
	if s.run(); !strings.HasPrefix(s.out.String(), "Usage: berth-oci") {
		t.Errorf("no command: %s", &s.out)
	}
	golden(t, "overview.txt", s.out.String())
	if h.run("-h"); h.out.String() != s.out.String() {
		t.Errorf("-h: %s", &h.out)
	}
}

func TestVersion(t *testing.T) {
	for _, flag := range []string{"--version", "-v", "-version"} {
		var s session
		if code := s.run(flag); code != 0 {
			t.Errorf("%s: exit code %d", flag, code)
		}
		lines := strings.Split(s.out.String(), "\n")
		if lines[0] != "berth-oci version 1.2.3" || lines[1] != "commit: abc" || lines[2] != "spec: "+specs.Version || !strings.HasPrefix(lines[3], "go: go1") {
			t.Errorf("%s: %q", flag, lines)
		}
	}
}

// What engines send, as they send it.
func TestEnginesCommandLines(t *testing.T) {
	dir := t.TempDir()
	log := dir + "/log.json"
	for _, c := range []struct {
		args string
		want string
		look func(s *session) bool
	}{
		{
			"--root /run/containerd/runc/moby --log " + log + " --log-format json create --bundle /b --pid-file /b/init.pid --console-socket /tmp/pty.sock c1", "create c1",
			func(s *session) bool {
				a := s.create
				return s.opened.Root == "/run/containerd/runc/moby" && a.Bundle == "/b" && a.PidFile == "/b/init.pid" && a.ConsoleSocket == "/tmp/pty.sock" && !s.opened.SystemdCgroup
			},
		},
		{
			"--root=/r --systemd-cgroup --log-format=json --log=" + log + " create --bundle /b --pid-file /p --no-pivot --no-new-keyring --preserve-fds 2 c1", "create c1",
			func(s *session) bool {
				return s.opened.SystemdCgroup && s.create.NoPivot && s.create.NoNewKeyring && s.create.PreserveFDs == 2
			},
		},
		{"--root /r start c1", "start c1", nil},
		{"--root /r delete --force c1", "delete c1 true", nil},
		{"--root /r delete c1", "delete c1 false", nil},
		{"--root /r kill --all c1 9", "kill c1 9 true", nil},
		{"--root /r kill c1 15", "kill c1 15 false", nil},
		{"kill c1", "kill c1 15 false", nil},
		{"kill c1 SIGUSR1 -a", "kill c1 10 true", nil},
		{"kill --all=false c1 usr1", "kill c1 10 false", nil},
		{"--root /r pause c1", "pause c1", nil},
		{"--root /r resume c1", "resume c1", nil},
		{"run -d --keep -b /b c1", "run c1", func(s *session) bool { return s.create.Detach && s.create.Keep && s.create.Bundle == "/b" }},
		{"run c1 --detach --bundle /b", "run c1", func(s *session) bool { return s.create.Detach && s.create.Bundle == "/b" }},
		{"run -- -c1", "run -c1", nil},
		{"exec c1 ls -la --help", `spec c1; exec c1 ["ls" "-la" "--help"]`, func(s *session) bool {
			p := s.exec.Process
			return !p.Terminal && p.Cwd == "/home" && p.User.UID == 1 && p.NoNewPrivileges && !s.exec.Detach
		}},
		{
			"exec -t -e B=2 --env=C=3 -u 10:20 -g 4 --additional-gids 5 --cwd /tmp --cap CAP_NET_RAW --no-new-privs=false --apparmor a --process-label l c1 id", `spec c1; exec c1 ["id"]`,
			func(s *session) bool {
				p := s.exec.Process
				return p.Terminal && slices.Equal(p.Env, []string{"A=1", "B=2", "C=3"}) && p.User.UID == 10 && p.User.GID == 20 &&
					slices.Equal(p.User.AdditionalGids, []uint32{3, 4, 5}) && p.Cwd == "/tmp" && !p.NoNewPrivileges &&
					p.ApparmorProfile == "a" && p.SelinuxLabel == "l" && slices.Equal(p.Capabilities.Bounding, []string{"CAP_KILL", "CAP_NET_RAW"}) &&
					slices.Equal(p.Capabilities.Effective, []string{"CAP_NET_RAW"}) && p.Capabilities.Ambient == nil
			},
		},
		{"exec --tty --detach --console-socket /s --pid-file /p --cgroup cpu,cpuacct:a --cgroup memory:b --ignore-paused c1 sh", `spec c1; exec c1 ["sh"]`, func(s *session) bool {
			return s.exec.Detach && s.exec.IgnorePaused && s.exec.ConsoleSocket == "/s" && len(s.exec.Cgroup) == 2
		}},
		{"checkpoint --image-path " + dir + "/img --leave-running --tcp-established --file-locks --page-server [::1]:80 c1", "checkpoint c1", func(s *session) bool {
			return s.check.LeaveRunning && s.check.TCPEstablished && s.check.FileLocks && s.check.StatusFD == -1 && s.check.ImagePath == dir+"/img"
		}},
		{"restore --image-path /img --bundle /b --detach --pid-file /p --no-subreaper c1", "restore c1", func(s *session) bool {
			return s.create.Detach && s.create.Bundle == "/b" && s.check.ImagePath == "/img"
		}},
	} {
		var s session
		code := s.run(strings.Fields(c.args)...)
		if code != 0 || s.trail() != c.want || s.err.Len() > 0 {
			t.Errorf("%s\n exit code %d, calls %s\n want calls %s\n %s", c.args, code, s.trail(), c.want, &s.err)
		}
		if c.look != nil && !c.look(&s) {
			t.Errorf("%s: wrong arguments: %+v %+v %+v %+v", c.args, s.opened, s.create, s.exec, s.check)
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	dir := t.TempDir()
	for args, want := range map[string]string{
		"--nope list":                       "unknown flag --nope before the command: see 'berth-oci --help'",
		"--root":                            "--root needs a value before the command",
		"--root / list":                     "--root must not be /",
		"--log-format xml list":             `--log-format "xml" is unknown: give text or json`,
		"--rootless maybe list":             `--rootless "maybe" is unknown: give true, false or auto`,
		"--log " + dir + "/no/log list":     "open the log: open " + dir + "/no/log: no such file or directory",
		"create":                            "create needs at least 1 argument: usage: berth-oci [GLOBAL OPTIONS] create [OPTIONS] ID",
		"create a b":                        "create takes at most 1 argument, but was given 2",
		"create --bundle":                   "create: --bundle needs a value",
		"create --root /r a":                "create: unknown flag --root: see 'berth-oci create --help'; --root stands before the command",
		"create --preserve-fds x a":         `create: --preserve-fds: "x" is no whole number`,
		"run --detach=perhaps a":            `run: --detach: "perhaps" is neither true nor false`,
		"list a":                            `list takes no arguments, but was given "a"`,
		"list --format yaml":                `--format "yaml" is unknown: give table or json`,
		"list --root x":                     "list: unknown flag --root: see 'berth-oci list --help'; --root stands before the command",
		"--root " + dir + "/no list":        "list containers: stat " + dir + "/no: no such file or directory",
		"kill a 0":                          `unknown signal "0": give a name such as TERM or a number from 1 to 64`,
		"kill a SIGNOPE":                    `unknown signal "SIGNOPE"`,
		"kill a 9 b":                        "kill takes at most 2 arguments, but was given 3",
		"events --interval 0s a":            "--interval 0s is not above 0",
		"events --interval x a":             `events: --interval: "x" is no time such as 5s or 1m30s`,
		"ps --format csv a":                 `--format "csv" is unknown: give table or json`,
		"ps a aux":                          `ps: option "aux" is not known: give -ef, or -o with columns of`,
		"ps a -o pid,nope":                  `ps: column "nope" is not known: give some of`,
		"update --memory x a":               `--memory: "x" is no size such as 512m or 2g`,
		"update --cpu-period -1 a":          `--cpu-period: "-1" is no whole number that it takes`,
		"update --blkio-weight 5 a":         `--blkio-weight: 5 is not between 10 and 1000`,
		"update --resources /no/file a":     "read the resources: open /no/file: no such file or directory",
		"checkpoint --empty-ns pid a":       `--empty-ns "pid" cannot be empty: only network can`,
		"checkpoint --page-server x a":      `--page-server "x" is not ADDRESS:PORT`,
		"restore --manage-cgroups-mode x a": `--manage-cgroups-mode "x" is unknown: give soft, full, strict or ignore`,
		"completion tcsh":                   `no completion for the shell "tcsh": give bash, zsh or fish`,
		"help nope":                         `"nope" is not a command`,
	} {
		var s session
		code := s.run(strings.Fields(args)...)
		got := s.err.String()
		if code != 1 || !strings.HasPrefix(got, "berth-oci: "+want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: exit code %d\n got %swant %s", args, code, got, want)
		}
		if len(s.calls) > 0 {
			t.Errorf("%s: %s", args, s.trail())
		}
	}
	var s session
	if code := s.run("nope"); code != 3 || !strings.Contains(s.err.String(), `"nope" is not a command`) {
		t.Errorf("unknown command: exit code %d, %s", code, &s.err)
	}
}

func TestExecRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"c1":                           "exec needs a command after the id, or --process FILE",
		"-p /no/process.json c1":       "read the process document: open /no/process.json: no such file or directory",
		"--cap CAP_X c1 sh":            `--cap "CAP_X" is no capability: give one such as CAP_NET_ADMIN`,
		"--cwd tmp c1 sh":              `process.cwd "tmp" is not absolute`,
		"-e B c1 sh":                   `process.env[1] "B" is not of the form NAME=value`,
		"--cgroup a --cgroup cpu:b c1": "--cgroup a: only one path may stand without a controller",
		"--cgroup cpu,cpu:a c1":        "--cgroup cpu,cpu:a: controller cpu is there twice",
		"--cgroup ,cpu:a c1":           "--cgroup ,cpu:a: a controller's name is empty",
	} {
		var s session
		if code := s.run(append([]string{"exec"}, strings.Fields(args)...)...); code != 255 || !strings.HasPrefix(s.err.String(), "berth-oci: "+want) {
			t.Errorf("exec %s: exit code %d, %s\nwant %s", args, code, &s.err, want)
		}
	}
}

func TestSecurity26ExecUser(t *testing.T) {
	for _, user := range []string{"01", "0x1", "1 ", " 1", "+1", "-1", "root", "4294967295", "4294967296", "1:", ":1", "1:root", "1:01", "1:2:3", "1:4294967297"} {
		var s session
		if code := s.run("exec", "--user", user, "c1", "id"); code != 255 || !strings.Contains(s.err.String(), "is no id: give a number from 0 to 4294967294") {
			t.Errorf("--user %q: exit code %d, %s, ran %s", user, code, &s.err, s.trail())
		}
		if strings.Contains(user, ":") {
			continue
		}
		var g session
		if code := g.run("exec", "--additional-gids", user, "c1", "id"); code != 255 {
			t.Errorf("--additional-gids %q: exit code %d, ran %s", user, code, g.trail())
		}
	}
}

func TestSecurity23ContainerID(t *testing.T) {
	for _, cmd := range []string{"create", "run", "start", "exec", "state", "kill", "delete", "ps", "pause", "resume", "update", "events", "checkpoint", "restore"} {
		for _, id := range []string{"../x", ".", "..", "", "a/b", "a b", strings.Repeat("x", 4096)} {
			var s session
			if code := s.run(cmd, id); code != 1 || len(s.calls) > 0 || s.err.Len() > 300 {
				t.Errorf("%s %.10q: exit code %d, calls %s, %.300s", cmd, id, code, s.trail(), &s.err)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]int{"run c1": 42, "exec c1 x": 42, "restore c1": 42, "create c1": 0} {
		var s session
		s.code = 42
		if code := s.run(strings.Fields(args)...); code != want {
			t.Errorf("%s: exit code %d, want %d", args, code, want)
		}
	}
	for args, want := range map[string]int{"run c1": 1, "exec c1 x": 255, "start c1": 1, "delete c1": 1} {
		var s session
		s.fails(errors.New("no luck"))
		if code := s.run(strings.Fields(args)...); code != want || s.err.String() != "berth-oci: no luck\n" {
			t.Errorf("%s: exit code %d, want %d: %s", args, code, want, &s.err)
		}
	}
}

func (s *session) fails(err error) { s.fake.err = err }

// containerd's shim and Podman look for these words.
func TestWordsForEngines(t *testing.T) {
	missing := fault.Errorf(errdefs.ErrNotFound, "no c1")
	ended := fault.Errorf(errdefs.ErrFailedPrecondition, "c1 has ended")
	for _, c := range []struct {
		args string
		err  error
		want string
	}{
		{"state c1", missing, "container does not exist: no c1"},
		{"kill c1", missing, "container does not exist: no c1"},
		{"kill c1 9", ended, "container not running: c1 has ended"},
		{"exec c1 x", missing, "container does not exist: no c1"},
		{"ps c1", missing, "container does not exist: no c1"},
		{"state c1", fault.Errorf(errdefs.ErrNotFound, "container c1 does not exist"), "container c1 does not exist"},
		{"kill --all c1", ended, ""},
	} {
		var s session
		s.fails(c.err)
		code := s.run(strings.Fields(c.args)...)
		if got := strings.TrimSuffix(strings.TrimPrefix(s.err.String(), "berth-oci: "), "\n"); got != c.want || (code == 0) != (c.want == "") {
			t.Errorf("%s: exit code %d, %s, want %s", c.args, code, got, c.want)
		}
	}
}

func TestStateAndList(t *testing.T) {
	states := append([]string{}, "web", "database-of-the-year")
	var s session
	for i, id := range states {
		s.states = append(s.states, state(id, 1000+i, specs.StateRunning))
	}
	s.states = append(s.states, state("old", 0, specs.StateStopped))
	if code := s.run("state", "web"); code != 0 {
		t.Fatal(s.err.String())
	}
	golden(t, "state.json", s.out.String())
	for args, file := range map[string]string{"list": "list.txt", "list -q": "list-quiet.txt", "list --format json": "list.json", "list -f json": "list.json"} {
		s.out.Reset()
		if code := s.run(strings.Fields(args)...); code != 0 {
			t.Fatal(s.err.String())
		}
		golden(t, file, s.out.String())
	}
	var empty session
	if empty.run("list", "-f", "json"); empty.out.String() != "[]\n" {
		t.Errorf("no containers: %q", &empty.out)
	}
}

func TestUpdate(t *testing.T) {
	num := func(n int64) *int64 { return &n }
	unum := func(n uint64) *uint64 { return &n }
	var s session
	code := s.run(strings.Fields(`update --memory 512m --memory-swap -1 --memory-reservation 100 --cpu-period 100000 --cpu-quota -1 --cpu-share 512
		--cpu-burst 5 --cpu-idle 0 --cpuset-cpus 0-1 --cpuset-mems 0 --pids-limit -1 --blkio-weight 100 --cpu-rt-period 7 --cpu-rt-runtime 8 --kernel-memory 1m c1`)...)
	weight := uint16(100)
	want := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: num(512 << 20), Swap: num(-1), Reservation: num(100)},
		CPU: &specs.LinuxCPU{
			Shares: unum(512), Quota: num(-1), Burst: unum(5), Period: unum(100000), RealtimeRuntime: num(8), RealtimePeriod: unum(7),
			Cpus: "0-1", Mems: "0", Idle: num(0),
		},
		Pids: &specs.LinuxPids{Limit: num(-1)}, BlockIO: &specs.LinuxBlockIO{Weight: &weight},
	}
	if d := cmp.Diff(want, s.res); code != 0 || d != "" || s.trail() != "update c1" {
		t.Errorf("exit code %d, %s\n%s", code, s.trail(), d)
	}
	if got := s.err.String(); got != "berth-oci: warning: limits of kernel memory have no effect: the kernel has them no more\n" {
		t.Errorf("got %s", got)
	}
	doc := session{stdin: `{"memory":{"limit":1048576},"devices":[{"allow":true,"access":"rwm"}],"unified":{"memory.high":"1"}}`}
	code = doc.run("update", "--memory", "5m", "-r", "-", "c1")
	want = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: num(1 << 20)}, Unified: map[string]string{"memory.high": "1"}}
	if d := cmp.Diff(want, doc.res); code != 0 || d != "" {
		t.Errorf("exit code %d, %s\n%s", code, &doc.err, d)
	}
	bad := session{stdin: `{"memory":{"limit":"1"}}`}
	if code := bad.run("update", "-r", "-", "c1"); code != 1 || !strings.Contains(bad.err.String(), "read the resources: line 1: memory.limit: a number is needed, not a string") {
		t.Errorf("exit code %d, %s", code, &bad.err)
	}
}

func TestRoot(t *testing.T) {
	dir := t.TempDir()
	user := map[string]string{"XDG_RUNTIME_DIR": dir, "USER": "me"}
	asUser := sessionsRoot("me")
	for _, c := range []struct {
		args, want string
	}{
		{"start c1", map[bool]string{true: dir + "/berth-oci", false: "/run/berth-oci"}[asUser]},
		{"--root /x/../y start c1", "/y"},
	} {
		s := session{env: user}
		if s.run(strings.Fields(c.args)...); s.opened.Root != c.want {
			t.Errorf("%s: root %s, want %s", c.args, s.opened.Root, c.want)
		}
	}
	if info, err := os.Stat(dir + "/berth-oci"); asUser && (err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o700) {
		t.Errorf("%v, %v", info, err)
	}
}

func TestLogs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	fail := func(args ...string) (log, stderr string) {
		t.Helper()
		_ = os.Remove(file) // it may not be there
		var s session
		s.fails(errors.New("first \"line\" é\nsecond"))
		s.run(append(args, "start", "c1")...)
		data, err := os.ReadFile(file)
		if err != nil && slices.Contains(args, file) {
			t.Fatal(err)
		}
		return string(data), s.err.String()
	}
	log, stderr := fail("--log", file, "--log-format", "json")
	var line struct {
		Level, Msg string
		Time       string
	}
	if err := json.Unmarshal([]byte(log), &line); err != nil || line.Level != "error" || line.Msg != "first \"line\" é; second" || line.Time == "" {
		t.Errorf("%q: %+v, %v", log, line, err)
	}
	if want := "berth-oci: first \"line\" é; second\n"; stderr != want {
		t.Errorf("standard error: got %q, want %q", stderr, want)
	}
	if log, _ = fail("--log", file); !strings.HasPrefix(log, `time="`) || !strings.HasSuffix(log, ` level=error msg="first \"line\" é; second"`+"\n") {
		t.Errorf("text: %q", log)
	}
	if _, stderr = fail("--log-format", "json"); !strings.HasPrefix(stderr, `{"level":"error","msg":"first`) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("JSON without a file: %q", stderr)
	}
	if log, _ = fail("--debug", "--log", file); strings.Count(log, "\n") != 2 || !strings.Contains(log, "level=debug msg=") {
		t.Errorf("debug: %q", log)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var s session
		if code := s.run("completion", shell); code != 0 {
			t.Errorf("%s: exit code %d, %s", shell, code, &s.err)
		}
		golden(t, "completion."+shell, s.out.String())
	}
}

func TestFeaturesAndSpec(t *testing.T) {
	var s session
	if code := s.run("features"); code != 0 {
		t.Fatal(s.err.String())
	}
	golden(t, "features.json", s.out.String())
	dir := t.TempDir()
	var w session
	if code := w.run("spec", "--bundle", dir); code != 0 {
		t.Fatal(w.err.String())
	}
	var again session
	if code := again.run("spec", "-b", dir); code != 1 || !strings.Contains(again.err.String(), "config.json is there already: remove it first") {
		t.Errorf("second spec: exit code %d, %s", code, &again.err)
	}
}
