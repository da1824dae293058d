package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// maxOutput bounds what a plugin may print, in bytes.
const maxOutput = 1 << 20

// maxError bounds what of it is told to the user.
const maxError = 500

// pluginPath is the PATH of plugins: some run iptables.
const pluginPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// outputLimit is how long after a plugin's end its own children may hold its output.
const outputLimit = 5 * time.Second

// runner runs plugins for libcni.
type runner struct {
	version.PluginDecoder
	log *slog.Logger
}

// FindInPath finds a plugin's program.
func (*runner) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// ExecPlugin runs a plugin. Its children are in its process group and end with it
// when ctx does or it prints too much.
func (r *runner) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	// The signal of this daemon's end is that of its thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdout, stderr := &bounded{cancel: cancel}, &bounded{cancel: cancel}
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir, cmd.Env = "/", []string{pluginPath}
	for _, e := range environ { // libcni adds the daemon's own
		if strings.HasPrefix(e, "CNI_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputLimit
	err := cmd.Run()
	if cause := context.Cause(ctx); errors.Is(cause, errTooMuch) {
		return nil, cause
	}
	if err != nil {
		return nil, explain(ctx, err, stdout.kept.Bytes(), stderr.kept.Bytes())
	}
	if stderr.kept.Len() > 0 {
		r.log.Debug("CNI plugin", "path", path, "stderr", clip(stderr.kept.String()))
	}
	return stdout.kept.Bytes(), nil
}

// explain makes an error of what a plugin printed when it failed: an object with a
// message, if it is a good one. The plugin's own exit code goes no further: it is not
// a container's.
func explain(ctx context.Context, err error, stdout, stderr []byte) error {
	var told types.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case json.Unmarshal(stdout, &told) == nil && told.Msg != "":
		return &told
	case len(bytes.TrimSpace(stderr)) > 0:
		return fmt.Errorf("%v: %s", err, clip(string(stderr))) //nolint:errorlint // see above
	}
	return fmt.Errorf("%v: %s", err, clip(string(stdout))) //nolint:errorlint // see above
}

var errTooMuch = fmt.Errorf("it prints more than %d bytes", maxOutput)

// bounded keeps what is written to it, up to maxOutput. It has no other way in, as
// bytes.Buffer has.
type bounded struct {
	kept   bytes.Buffer
	cancel context.CancelCauseFunc
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > maxOutput {
		b.cancel(errTooMuch)
		return 0, errTooMuch
	}
	return b.kept.Write(p)
}

// oneLine is an error whose text, in part a plugin's, is one bounded line.
type oneLine struct{ err error }

func (e *oneLine) Error() string { return clip(e.err.Error()) }
func (e *oneLine) Unwrap() error { return e.err }

// clip makes one printable line of what a plugin wrote.
func clip(s string) string {
	if len(s) > maxError {
		s = s[:maxError] + "..."
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
