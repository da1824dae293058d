package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Where CRIU works, a container goes to disk and comes back; where it does not,
// the error says why, and the container runs on. Debian 12's does not work on
// kernels that are much newer.
func TestCheckpoint(t *testing.T) {
	b := newBox(t, "", "cd /dev/shm; n=0; while :; do n=$((n+1)); echo $n > n; sleep 0.1; done")
	id, images := b.id("checkpoint"), b.root+".images"
	start := func(args ...string) (stderr string, code int) {
		in, inside, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		out, outside, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = inside.Close(), out.Close() })
		cmd := b.command(args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, outside, outside
		err = cmd.Run()
		_, _ = in.Close(), outside.Close()
		if err != nil {
			buf := make([]byte, 4096)
			n, _ := out.Read(buf)
			return string(buf[:n]), cmd.ProcessState.ExitCode()
		}
		return "", 0
	}
	if errs, code := start("run", "--detach", id); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	code, _, errs := b.run("checkpoint", "--image-path", images, id)
	works := exec.Command("criu", "check").Run() == nil
	if !works {
		if code != 1 || !strings.Contains(errs, "criu") && !strings.Contains(errs, "CRIU") || b.status(id) != "running" {
			t.Errorf("without a CRIU that works: exit code %d, %s, %s", code, b.status(id), errs)
		}
		return
	}
	if code != 0 {
		t.Fatalf("checkpoint: exit code %d: %s", code, errs)
	}
	if list := b.must("list", "-q"); strings.Contains(list, id) {
		t.Errorf("it is still there: %s", list)
	}
	other := b.id("other")
	if errs, code := start("restore", "--image-path", images, "--detach", other); code != 1 || !strings.Contains(errs, "the checkpoint is of cgroup") {
		t.Errorf("restore by another name: exit code %d: %s", code, errs)
	}
	if errs, code := start("restore", "--image-path", images, "--detach", id); code != 0 {
		t.Fatalf("restore: exit code %d: %s", code, errs)
	}
	first := b.must("exec", id, "cat", "/dev/shm/n")
	if first == "" || first == "1\n" {
		t.Errorf("it did not go on counting: %q", first)
	}
	b.await("counting", func() bool { return b.must("exec", id, "cat", "/dev/shm/n") != first })
	b.must("delete", "--force", id)
}

func TestCheckpointRefuses(t *testing.T) {
	b := newBox(t, "", forever)
	id := b.id("refuse")
	if code, _, errs := b.run("checkpoint", id); code != 1 || !strings.Contains(errs, "does not exist") {
		t.Errorf("no container: exit code %d, %s", code, errs)
	}
	b.must("create", id)
	images := b.root + ".images"
	if code, _, errs := b.run("checkpoint", "--image-path", images, id); code != 1 || !strings.Contains(errs, "it is created, not running") {
		t.Errorf("a created one: exit code %d, %s", code, errs)
	}
	b.must("start", id)
	if code, _, errs := b.run("--criu", "/no/criu", "checkpoint", "--image-path", images, id); code != 1 || !strings.Contains(errs, "install the package criu") {
		t.Errorf("no program: exit code %d, %s", code, errs)
	}
	if code, _, errs := b.run("restore", "--image-path", b.root+".nothing", b.id("nothing")); code != 1 || !strings.Contains(errs, "holds no checkpoint") {
		t.Errorf("no images: exit code %d, %s", code, errs)
	}
}
