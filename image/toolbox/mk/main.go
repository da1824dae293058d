// Command mk builds the toolbox image from Go modules.
//
// Level: L5.
// Owns: which programs the image holds and how its archive is written.
// May import: the standard library.
// Must not know: any other berth package.
//
// Three static programs make up the image: sh (the shell), tool (small and
// quick to start: what people type most) and uroot (u-root's commands joined
// into one binary by gobusybox). Every command is a symbolic link to one of
// them. The same source gives the same archive.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// The commands of each program, as names under /bin.
var (
	shCommands   = strings.Fields("sh gosh")
	toolCommands = strings.Fields("cat clear echo env false head hostname id ip ls mount nproc ps sleep stty tail true whoami")
	// All of the commands that make sense in a container; where tool has one of
	// the name, this one does what tool leaves to it.
	urootCommands = strings.Fields(`base64 basename chmod chroot cmp comm cp cpio date dd df dirname dmesg du find free
		grep gzip head hexdump ip kill ln losetup md5sum mkdir mkfifo mknod mktemp more mv netcat netstat nohup pidof ping
		printenv pwd readlink realpath rm seq shasum sort strace strings sync tail tar tee time timeout touch tr truncate
		tty umount uname uniq unshare uptime wc wget which xargs yes`)
)

// linked leaves out of the u-root commands those that tool answers for.
func linked() []string {
	var names []string
	for _, c := range urootCommands {
		if !slices.Contains(toolCommands, c) {
			names = append(names, c)
		}
	}
	return names
}

func main() {
	src := flag.String("src", "image/toolbox/src", "directory of the programs' Go module")
	out := flag.String("o", "", "archive to write")
	arch := flag.String("arch", "", "GOARCH of the programs (default: go env GOARCH)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *src, *out, *arch); err != nil {
		fmt.Fprintf(os.Stderr, "mk: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, src, out, arch string) (err error) {
	if out == "" {
		return errors.New("give the archive to write with -o")
	}
	if arch == "" {
		b, err := exec.CommandContext(ctx, "go", "env", "GOARCH").Output()
		if err != nil {
			return fmt.Errorf("ask go for GOARCH: %w", err)
		}
		arch = strings.TrimSpace(string(b))
	}
	tmp, err := os.MkdirTemp("", "berth-toolbox-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	b := builder{src: src, tmp: tmp, arch: arch}
	if err := b.programs(ctx); err != nil {
		return err
	}
	return writeArchive(out, tmp, arch)
}

// builder compiles the image's programs into tmp.
type builder struct {
	src, tmp, arch string
}

func (b builder) programs(ctx context.Context) error {
	for _, name := range []string{"sh", "tool"} {
		if _, err := b.goRun(ctx, b.src, b.arch, "build", "-trimpath", "-ldflags", "-s -w -buildid=",
			"-o", filepath.Join(b.tmp, name), "./cmd/"+name); err != nil {
			return err
		}
	}
	return b.uroot(ctx)
}

// uroot builds u-root's commands. makebb runs on this machine and reads them
// where the module cache has them.
func (b builder) uroot(ctx context.Context) error {
	makebb := filepath.Join(b.tmp, "makebb")
	if _, err := b.goRun(ctx, b.src, "", "build", "-o", makebb, "github.com/u-root/gobusybox/src/cmd/makebb"); err != nil {
		return err
	}
	if _, err := b.goRun(ctx, b.src, "", "mod", "download", "github.com/u-root/u-root"); err != nil {
		return err
	}
	dir, err := b.goRun(ctx, b.src, "", "list", "-m", "-f", "{{.Dir}}", "github.com/u-root/u-root")
	if err != nil {
		return err
	}
	args := []string{"-o", filepath.Join(b.tmp, "uroot")}
	for _, c := range urootCommands {
		args = append(args, "./cmds/core/"+c)
	}
	cmd := exec.CommandContext(ctx, makebb, args...)
	cmd.Dir = strings.TrimSpace(dir)
	cmd.Env = goEnv(b.arch)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build u-root's commands: %w\n%s", err, text)
	}
	return nil
}

func (b builder) goRun(ctx context.Context, dir, arch string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = goEnv(arch)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w", strings.Join(args, " "), dir, err)
	}
	return string(out), nil
}

// goEnv is the environment of go commands: static programs, nothing of the
// machine in them. An empty arch builds for this machine.
func goEnv(arch string) []string {
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if arch == "" {
		return append(env, "GOARCH=")
	}
	return append(env, "GOARCH="+arch)
}
