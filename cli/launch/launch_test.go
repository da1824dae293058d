package launch

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/cli/client"
	"berth/internal/places"
	"berth/internal/testutil"
)

// TestMain lets the test's executable be the daemon that is started.
func TestMain(m *testing.M) {
	switch os.Getenv("BERTH_TEST_DAEMON") {
	case "listen":
		os.Exit(listen(os.Args[1:]))
	case "fail":
		os.Stderr.WriteString("first line\nberthd: the data root is on a file system without overlay\n")
		os.Exit(1)
	case "silent":
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// listen is a daemon: it notes that it runs, listens, and ends when its run
// directory's file "stop" appears or the directory is gone with the test.
func listen(args []string) int {
	run := args[slices.Index(args, "--run")+1]
	f, err := os.OpenFile(filepath.Join(run, "starts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	if _, err := f.WriteString(strings.Join(args, " ") + "\n"); err != nil {
		return 1
	}
	l, err := net.Listen("unix", filepath.Join(run, "berth.sock"))
	if err != nil {
		return 1
	}
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	for range time.NewTicker(5 * time.Millisecond).C {
		_, stop := os.Stat(filepath.Join(run, "stop"))
		if _, gone := os.Stat(run); stop == nil || gone != nil {
			return 0
		}
	}
	return 1
}

// install puts a berthd in PATH that behaves as said.
func install(t *testing.T, behaviour string) Settings {
	t.Helper()
	testutil.RequireRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "berthd")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("BERTH_TEST_DAEMON", behaviour)
	s := Settings{Root: filepath.Join(dir, "root"), Run: filepath.Join(dir, "run")}
	t.Cleanup(func() { _ = os.WriteFile(filepath.Join(s.Run, "stop"), nil, 0o600) })
	return s
}

func TestEnsureStartsOneDaemonForRacingCommands(t *testing.T) {
	s := install(t, "listen")
	errs := make([]error, 8)
	var work sync.WaitGroup
	for i := range errs {
		work.Go(func() {
			api := client.New(s.Socket(), "test")
			errs[i] = errors.Join(Ensure(t.Context(), api, s), api.Close())
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	starts, err := os.ReadFile(filepath.Join(s.Run, "starts"))
	if want := "--on-demand --root " + s.Root + " --run " + s.Run + " --log " + filepath.Join(s.Run, "berthd.log") + "\n"; err != nil || string(starts) != want {
		t.Errorf("daemons were started with %q, %v, want once %q", starts, err, want)
	}
	if st, err := os.Stat(s.Run); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the run directory has %v, %v, want mode 0700", st.Mode(), err)
	}
}

func TestEnsureReplacesADeadSocket(t *testing.T) {
	s := install(t, "listen")
	if err := os.MkdirAll(s.Run, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.Socket()})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BERTH_TEST_DAEMON", "fail")
	err = Ensure(t.Context(), client.New(s.Socket(), "test"), s)
	if err == nil || !strings.Contains(err.Error(), "without overlay") {
		t.Errorf("error %v: a socket that nobody listens at must lead to a start", err)
	}
}

func TestEnsureTellsWhyTheDaemonEnded(t *testing.T) {
	for behaviour, want := range map[string]string{
		"fail":   "berthd did not start: the data root is on a file system without overlay",
		"silent": "berthd did not start (exit status 3) and said nothing: see ",
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := install(t, behaviour)
			err := Ensure(t.Context(), client.New(s.Socket(), "test"), s)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestEnsureEmptiesALongLog(t *testing.T) {
	s := install(t, "fail")
	if err := os.MkdirAll(s.Run, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Run, "berthd.log")
	if err := os.WriteFile(path, make([]byte, maxLog+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Ensure(t.Context(), client.New(s.Socket(), "test"), s); err == nil || !strings.Contains(err.Error(), "without overlay") {
		t.Errorf("error %v, want the daemon's words", err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 1000 {
		t.Errorf("the log has %d bytes (%v), want only the last start's", st.Size(), err)
	}
}

func TestEnsureWithoutADaemon(t *testing.T) {
	s := install(t, "listen")
	t.Setenv("PATH", t.TempDir())
	err := Ensure(t.Context(), client.New(s.Socket(), "test"), s)
	if err == nil || !strings.Contains(err.Error(), "berthd is not installed") {
		t.Errorf("error %v, want that berthd is not installed", err)
	}
	s.Host = "unix://" + s.Socket()
	err = Ensure(t.Context(), client.New(s.Socket(), "test"), s)
	if err == nil || !strings.Contains(err.Error(), "no berthd listens at "+s.Socket()) {
		t.Errorf("error %v, want that nobody listens", err)
	}
}

func TestAgainWaitsForANamedDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	s := Settings{Host: "unix://" + socket}
	api := client.New(socket, "test")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := Again(ctx, api, s); err == nil {
		t.Error("Again reached a daemon that does not exist")
	}
	var work sync.WaitGroup
	work.Go(func() {
		if err := Again(t.Context(), api, s); err != nil {
			t.Error(err)
		}
	})
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	work.Wait()
	if err := errors.Join(api.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestSettings(t *testing.T) {
	env := map[string]string{"BERTH_RUN": "/r", "HOME": "/h"}
	data, err := places.Data(os.Geteuid(), func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	s := FromEnv(func(k string) string { return env[k] })
	if err := s.Check(); err != nil || s.Socket() != "/r/berth.sock" || s.Root != data {
		t.Errorf("settings %+v, socket %s, %v", s, s.Socket(), err)
	}
	bad := Settings{Host: "tcp://x", Root: "/a", Run: "/b"}
	if err := bad.Check(); err == nil {
		t.Error("a TCP address was taken")
	}
	long := Settings{Root: "/a", Run: "/" + strings.Repeat("x", 120)}
	if err := long.Check(); err == nil || !strings.Contains(err.Error(), "shorter --run") {
		t.Errorf("a socket path that is too long gives %v", err)
	}
}
