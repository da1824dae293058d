package spec

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestMounts(t *testing.T) {
	for _, c := range []struct {
		name    string
		h       container.HostConfig
		volumes []string
		want    []Mount
	}{
		{"none", container.HostConfig{}, nil, []Mount{}},
		{"bind", container.HostConfig{Binds: []string{"/a/../b/:/x/"}}, nil, []Mount{{Type: "bind", Source: "/b", Target: "/x", CreateSource: true}}},
		{"bind with options", container.HostConfig{Binds: []string{"/a:/x:ro,z,rslave"}}, nil, []Mount{{Type: "bind", Source: "/a", Target: "/x", CreateSource: true, ReadOnly: true, Propagation: "rslave"}}},
		{"volume", container.HostConfig{Binds: []string{"data:/x:nocopy"}}, nil, []Mount{{Type: "volume", Name: "data", Target: "/x", NoCopy: true}}},
		{"anonymous volume", container.HostConfig{Binds: []string{"/x"}}, nil, []Mount{{Type: "volume", Target: "/x"}}},
		{"image's volumes", container.HostConfig{Binds: []string{"/a:/v1"}}, []string{"/v1/", "/v2"}, []Mount{{Type: "bind", Source: "/a", Target: "/v1", CreateSource: true}, {Type: "volume", Target: "/v2"}}},
		{
			"mount bind",
			container.HostConfig{Mounts: []mount.Mount{{Type: "bind", Source: "/a", Target: "/x", ReadOnly: true, BindOptions: &mount.BindOptions{Propagation: "shared", NonRecursive: true, CreateMountpoint: true}}}},
			nil,
			[]Mount{{Type: "bind", Source: "/a", Target: "/x", ReadOnly: true, Propagation: "shared", NonRecursive: true, CreateSource: true}},
		},
		{
			"mount volume",
			container.HostConfig{Mounts: []mount.Mount{{Type: "volume", Source: "data", Target: "/x", VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: map[string]string{"a": "b"}, DriverConfig: &mount.Driver{Name: "local", Options: map[string]string{"type": "nfs"}}}}}},
			nil,
			[]Mount{{Type: "volume", Name: "data", Target: "/x", NoCopy: true, Labels: map[string]string{"a": "b"}, Options: map[string]string{"type": "nfs"}}},
		},
		{
			"tmpfs",
			container.HostConfig{Tmpfs: map[string]string{"/b": "", "/a": "exec,size=10%,mode=0700,mode=1777,uid=1"}},
			nil,
			[]Mount{{Type: "tmpfs", Target: "/a", TmpfsOptions: []string{"nosuid", "nodev", "exec", "size=10%", "mode=1777", "uid=1"}}, {Type: "tmpfs", Target: "/b", TmpfsOptions: []string{"noexec", "nosuid", "nodev"}}},
		},
		{
			"mount tmpfs",
			container.HostConfig{Mounts: []mount.Mount{{Type: "tmpfs", Target: "/a", ReadOnly: true, TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 5, Mode: 0o1777, Options: [][]string{{"exec"}, {"uid", "5"}}}}}},
			nil,
			[]Mount{{Type: "tmpfs", Target: "/a", ReadOnly: true, TmpfsOptions: []string{"nosuid", "nodev", "ro", "size=5", "mode=1777", "exec", "uid=5"}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := container.Config{Volumes: map[string]struct{}{}}
			for _, v := range c.volumes {
				cfg.Volumes[v] = struct{}{}
			}
			got, err := Mounts(cfg, &c.h)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMountsRefuses(t *testing.T) {
	bind := func(s string) container.HostConfig { return container.HostConfig{Binds: []string{s}} }
	one := func(m mount.Mount) container.HostConfig { return container.HostConfig{Mounts: []mount.Mount{m}} }
	tmpfs := func(o string) container.HostConfig { return container.HostConfig{Tmpfs: map[string]string{"/x": o}} }
	many := container.HostConfig{}
	for i := range maxMounts + 1 {
		many.Binds = append(many.Binds, "/a:/x"+strconv.Itoa(i))
	}
	for name, h := range map[string]container.HostConfig{
		"empty": bind(""), "relative": bind("x"), "empty source": bind(":/x"), "empty target": bind("/a:"),
		"four parts": bind("/a:/b:ro:x"), "dot": bind(".:/x"), "dots": bind("..:/x"), "home": bind("~/a:/x"), "one letter": bind("a:/x"),
		"slash in a name": bind("a/b:/x"), "NUL": bind("/a:/x\x00"), "NUL in source": bind("/a\x00:/x"), "root": bind("/a:/./"), "root by dots": bind("/a:/x/.."),
		"nocopy of a bind": bind("/a:/x:nocopy"), "shared volume": bind("data:/x:shared"), "two propagations": bind("/a:/x:shared,slave"), "empty option": bind("/a:/x:ro,"),
		"mount without source": one(mount.Mount{Type: "bind", Target: "/x"}), "relative source": one(mount.Mount{Type: "bind", Source: "a", Target: "/x"}),
		"relative target": one(mount.Mount{Type: "tmpfs", Target: "x"}), "volume path": one(mount.Mount{Type: "volume", Source: "../x", Target: "/x"}),
		"image": one(mount.Mount{Type: "image", Source: "x", Target: "/x"}), "no type": one(mount.Mount{Target: "/x"}),
		"subpath":        one(mount.Mount{Type: "volume", Source: "data", Target: "/x", VolumeOptions: &mount.VolumeOptions{Subpath: "../.."}}),
		"driver":         one(mount.Mount{Type: "volume", Source: "data", Target: "/x", VolumeOptions: &mount.VolumeOptions{DriverConfig: &mount.Driver{Name: "x"}}}),
		"tmpfs source":   one(mount.Mount{Type: "tmpfs", Source: "/a", Target: "/x"}),
		"negative size":  one(mount.Mount{Type: "tmpfs", Target: "/x", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: -1}}),
		"writable below": one(mount.Mount{Type: "bind", Source: "/a", Target: "/x", ReadOnly: true, BindOptions: &mount.BindOptions{ReadOnlyNonRecursive: true}}),
		"mode":           tmpfs("mode=9"), "mode too high": tmpfs("mode=17777"), "no size": tmpfs("size="), "size sign": tmpfs("size=-1"), "units": tmpfs("size=1kk"),
		"inodes percent": tmpfs("nr_inodes=5%"), "uid": tmpfs("uid=root"), "injected": tmpfs("size=1\nx"), "propagation": tmpfs("shared"), "value of a flag": tmpfs("noexec=1"),
		"too many": many,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Mounts(container.Config{}, &h)
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("got %+v, %v, want invalid argument", got, err)
			}
		})
	}
	if _, err := Mounts(container.Config{Volumes: map[string]struct{}{"rel": {}}}, &container.HostConfig{}); err == nil {
		t.Error("a relative volume of the image: no error")
	}
}

// FuzzBinds: what is taken has an absolute target that is not the root, and a
// source that is absolute or a plain name.
func FuzzBinds(f *testing.F) {
	for _, s := range []string{"/a:/b", "data:/b:nocopy", "/x", "/a:/b:ro,rslave", ":/x", "/a:/x/.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseBind(s)
		if err != nil {
			return
		}
		if !strings.HasPrefix(m.Target, "/") || m.Target == "/" || strings.Contains(m.Target, "/../") || strings.ContainsRune(m.Target, 0) {
			t.Errorf("%q: target %q", s, m.Target)
		}
		if m.Type == "bind" && !strings.HasPrefix(m.Source, "/") || strings.Contains(m.Name, "/") || strings.HasPrefix(m.Name, ".") {
			t.Errorf("%q: %+v", s, m)
		}
	})
}

// TestVolumes: a volume's directory is the caller's to fill in.
func TestVolumes(t *testing.T) {
	in := testInput()
	in.HostConfig.Binds = []string{"data:/data"}
	if _, err := Build(in); err == nil {
		t.Error("a volume without a directory: no error")
	}
	var err error
	if in.Mounts, err = Mounts(*in.Config, in.HostConfig); err != nil {
		t.Fatal(err)
	}
	in.Mounts[0].Source = "/var/lib/berth/volumes/data"
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	got := s.Mounts[len(s.Mounts)-1]
	want := specs.Mount{
		Destination: "/data", Type: "bind", Source: "/var/lib/berth/volumes/data", Options: []string{"rbind", "rprivate", "idmap"},
		UIDMappings: s.Linux.UIDMappings, GIDMappings: s.Linux.GIDMappings,
	}
	for _, m := range s.Mounts {
		if m.Destination == "/data" {
			got = m
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
