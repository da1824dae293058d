package pull

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/content"
	"berth/image"
	"berth/internal/testutil/testregistry"
	"berth/layer"
	"berth/registry"
	"berth/snapshot/overlay"

	"github.com/klauspost/compress/gzip"
)

const (
	layers    = 6
	layerSize = 85 << 20
)

func BenchmarkPull(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Fatal("run it as root: it unpacks files of other owners")
	}
	reg := testregistry.Start(b, testregistry.Options{})
	push(b, reg)
	ref := reg.Host + "/bench:1"
	b.Run("berth", func(b *testing.B) { benchBerth(b, ref) })
	b.Run("skopeo-to-layout-not-unpacked", func(b *testing.B) { benchSkopeo(b, ref) })
	b.Run("containerd", func(b *testing.B) { benchContainerd(b, ref) })
}

// measure runs pull b.N times and reports the processor time of this process,
// its children that ended, and the process pid (0: none). clean, if not nil,
// undoes a pull, and is not counted.
func measure(b *testing.B, pid int, pull func(dir string), clean func()) {
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		dir, err := os.MkdirTemp("", "berth-bench-*")
		if err != nil {
			b.Fatal(err)
		}
		before := spent(b, pid)
		b.StartTimer()
		pull(dir)
		b.StopTimer()
		cpu += spent(b, pid) - before
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		if clean != nil {
			clean()
		}
		b.StartTimer()
	}
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s")
}

func spent(b *testing.B, pid int) time.Duration {
	b.Helper()
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	if pid != 0 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
		for _, i := range []int{12, 13, 14, 15} { // utime stime cutime cstime, in 1/100 s (proc(5))
			n, err := strconv.Atoi(f[i])
			if err != nil {
				b.Fatal(err)
			}
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total
}

func benchBerth(b *testing.B, ref string) {
	parsed, err := image.ParseReference(ref)
	if err != nil {
		b.Fatal(err)
	}
	measure(b, 0, func(dir string) {
		c, err := content.Open(filepath.Join(dir, "content"))
		if err != nil {
			b.Fatal(err)
		}
		l, err := overlay.Open(dir, layer.Unpack)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := image.New(c, l, registry.New(registry.Config{})).Pull(b.Context(), parsed, image.PullOptions{}); err != nil {
			b.Fatal(err)
		}
	}, nil)
}

func program(b *testing.B, name, pkg string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		b.Skipf("%s is not installed: apt-get install %s", name, pkg)
	}
	return path
}

func run(b *testing.B, cmd *exec.Cmd) {
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v: %s", cmd, err, out)
	}
}

func benchSkopeo(b *testing.B, ref string) {
	skopeo := program(b, "skopeo", "skopeo")
	measure(b, 0, func(dir string) {
		run(b, exec.CommandContext(b.Context(), skopeo, "copy", "--quiet", "--src-tls-verify=false", "docker://"+ref, "oci:"+dir+"/layout:x"))
	}, nil)
}

func benchContainerd(b *testing.B, ref string) {
	containerd, ctr := program(b, "containerd", "containerd"), program(b, "ctr", "containerd")
	dir := b.TempDir()
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n", dir+"/root", dir+"/state", dir+"/sock")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(containerd, "--config", config)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it serves nobody else
		_ = cmd.Wait()
	}()
	ask := func(args ...string) *exec.Cmd {
		return exec.CommandContext(b.Context(), ctr, append([]string{"--address", dir + "/sock"}, args...)...)
	}
	deadline := time.Now().Add(30 * time.Second)
	for ask("version").Run() != nil {
		if time.Now().After(deadline) {
			b.Fatal("containerd did not start")
		}
	}
	measure(b, cmd.Process.Pid, func(string) {
		run(b, ask("images", "pull", "--plain-http", ref))
	}, func() {
		run(b, ask("images", "rm", "--sync", ref)) // sync: its layers too
	})
}

// push makes the image of files of this machine and uploads it.
func push(b *testing.B, reg *testregistry.Registry) {
	b.Helper()
	type object = map[string]any
	var diffs []string
	var descs []object
	add := func(plain []byte) {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		if _, err := w.Write(plain); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		diffs = append(diffs, fmt.Sprintf("sha256:%x", sha256.Sum256(plain)))
		descs = append(descs, object{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": reg.Blob("bench", buf.Bytes()), "size": buf.Len()})
	}
	tars(b, add)
	upload := func(v any) (digest string, size int, data []byte) {
		data, err := json.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		return reg.Blob("bench", data), len(data), data
	}
	digest, size, _ := upload(object{"os": "linux", "architecture": runtime.GOARCH, "rootfs": object{"type": "layers", "diff_ids": diffs}})
	config := object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size}
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(object{"schemaVersion": 2, "mediaType": mediaType, "config": config, "layers": descs})
	if err != nil {
		b.Fatal(err)
	}
	reg.Manifest("bench", "1", mediaType, manifest)
}

var errEnough = errors.New("enough")

// tars calls add with the plain tar of each layer.
func tars(b *testing.B, add func([]byte)) {
	b.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	done, files := 0, 0
	flush := func() {
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		add(buf.Bytes())
		buf.Reset()
		w = tar.NewWriter(&buf)
		done++
	}
	for _, root := range []string{"/usr", "/var"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() && !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil || info.Size() > layerSize/2 {
				return err
			}
			hdr, err := tar.FileInfoHeader(info, "")
			if err != nil {
				return err
			}
			hdr.Name = strings.TrimPrefix(path, "/")
			if err := w.WriteHeader(hdr); err != nil {
				return err
			}
			if d.Type().IsRegular() {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
					return err
				}
				files++
			}
			if buf.Len() > layerSize {
				flush()
			}
			if done == layers {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			b.Logf("%d files in %d layers", files, layers)
			return
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Fatal("this machine has too few files for the image")
}
