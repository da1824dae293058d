package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Berth starts bin/berthd with everything below d.
func Berth(ctx context.Context, bin string, d Dirs) (*Engine, error) {
	e := &Engine{Name: "berth", Ours: true, Image: "toolbox"}
	e.argv = []string{filepath.Join(bin, "berth")}
	e.env = []string{"BERTH_ROOT=" + filepath.Join(d.Store, "root"), "BERTH_RUN=" + filepath.Join(d.Run, "run")}
	if _, err := e.daemon(d.Store, exec.Command(filepath.Join(bin, "berthd"))); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := waitFor(ctx, "berthd", func() error { _, err := e.Output("version"); return err }); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e.identify()
}

// Docker starts a dockerd of its own, everything below d.
func Docker(ctx context.Context, d Dirs, archive string) (*Engine, error) {
	const remedy = "apt-get install docker.io"
	// Debian's client next to Debian's daemon, if both are there.
	client := "/usr/bin/docker"
	if _, err := os.Stat(client); err != nil {
		if client, err = find("docker", remedy); err != nil {
			return nil, err
		}
	}
	dockerd, err := find("dockerd", remedy)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(d.Store, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		return nil, err
	}
	socket := "unix://" + filepath.Join(d.Run, "docker.sock")
	e := &Engine{Name: "docker"}
	e.argv = []string{client, "--host", socket}
	e.env = []string{"DOCKER_CONFIG=" + filepath.Join(d.Store, "client"), "DOCKER_CONTEXT=", "DOCKER_HOST="}
	e.leaveNoCgroup("docker")
	args := []string{
		"--config-file", config, "--host", socket,
		"--data-root", filepath.Join(d.Store, "data"), "--exec-root", filepath.Join(d.Run, "exec"),
		"--pidfile", filepath.Join(d.Run, "docker.pid"),
	}
	if !d.Networks {
		args = append(args, "--bridge", "none", "--iptables=false", "--ip6tables=false")
	}
	daemon, err := e.daemon(d.Store, exec.Command(dockerd, args...))
	if err != nil {
		return nil, err
	}
	if err := waitFor(ctx, "dockerd", func() error { _, err := e.Output("version"); return err }); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.Daemons = append(e.Daemons, childrenOf(daemon.Process.Pid)...) // its containerd
	if err := e.load(archive); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e.identify()
}

// Podman has no daemon; its stores are below d.
func Podman(_ context.Context, d Dirs, archive string) (*Engine, error) {
	program, err := find("podman", "apt-get install podman")
	if err != nil {
		return nil, err
	}
	e := &Engine{Name: "podman"}
	// Podman raises the limits of open files and processes, which not every root may.
	e.run = []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}
	e.argv = []string{
		program, "--root", filepath.Join(d.Store, "root"), "--runroot", filepath.Join(d.Run, "run"),
		"--tmpdir", filepath.Join(d.Run, "tmp"), "--cgroup-manager", "cgroupfs", "--events-backend", "file",
	}
	e.leaveNoCgroup("libpod_parent")
	e.rm = []string{"--time", "0"}
	view, err := OnlyCgroup1()
	if err != nil {
		return nil, err
	}
	e.On, e.note = view.Thread, view.Note
	e.stop = append(e.stop, func() error {
		defer view.Close()
		_, err := e.Output("rm", "--all", "--force", "--time", "0")
		return err
	})
	if err := e.load(archive); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e.identify()
}

// load takes the image and learns how the engine calls it.
func (e *Engine) load(archive string) error {
	out, err := e.Output("load", "--input", archive)
	if err != nil {
		return err
	}
	_, name, ok := strings.Cut(out, "Loaded image: ")
	if !ok {
		return fmt.Errorf("%s load: unknown answer %q", e.Name, out)
	}
	e.Image, _, _ = strings.Cut(name, "\n")
	return nil
}

// identify asks for the version.
func (e *Engine) identify() (*Engine, error) {
	v, err := e.Output("--version")
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	line, _, _ := strings.Cut(v, "\n")
	e.Version = line + e.note
	return e, nil
}
