package spec

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestCommand(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"entry"}, Cmd: []string{"cmd"}}
	for _, c := range []struct {
		name       string
		entrypoint []string
		cmd        []string
		want       []string
	}{
		{"image's", nil, nil, []string{"entry", "cmd"}},
		{"command", nil, []string{"mine", "-x"}, []string{"entry", "mine", "-x"}},
		{"entrypoint leaves the command behind", []string{"sh"}, nil, []string{"sh"}},
		{"both", []string{"sh", "-c"}, []string{"ls"}, []string{"sh", "-c", "ls"}},
		{"no entrypoint", []string{""}, []string{"ls"}, []string{"ls"}},
		{"no entrypoint, no command", []string{""}, nil, nil},
		{"empty entrypoint", []string{}, nil, []string{"cmd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			merged := Merge(image, container.Config{Entrypoint: c.entrypoint, Cmd: c.cmd})
			for _, m := range []container.Config{merged, Merge(image, merged)} {
				if got := Command(m); !cmp.Equal(got, c.want, cmpopts.EquateEmpty()) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestMerge(t *testing.T) {
	image := ocispec.ImageConfig{
		User: "www", WorkingDir: "/srv", StopSignal: "SIGQUIT",
		Env: []string{"A=1", "B=2"}, Labels: map[string]string{"l": "image", "m": "image"},
		Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"80": {}, "53/udp": {}, "rubbish": {}},
	}
	request := container.Config{
		Image: "x", Env: []string{"B=3", "C=4", "A"}, Labels: map[string]string{"m": "mine"},
		ExposedPorts: network.PortSet{network.MustParsePort("8080/tcp"): {}},
	}
	got := Merge(image, request)
	want := container.Config{
		Image: "x", User: "www", WorkingDir: "/srv", StopSignal: "SIGQUIT",
		Env: []string{"A", "B=3", "C=4"}, Labels: map[string]string{"l": "image", "m": "mine"},
		Volumes: map[string]struct{}{"/data": {}},
		ExposedPorts: network.PortSet{
			network.MustParsePort("80/tcp"): {}, network.MustParsePort("53/udp"): {}, network.MustParsePort("8080/tcp"): {},
		},
	}
	opts := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, network.Port{})}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(got, Merge(image, got), opts); diff != "" {
		t.Errorf("merging again changes:\n%s", diff)
	}
	if len(request.Labels) != 1 || len(image.Labels) != 2 || len(request.ExposedPorts) != 1 {
		t.Error("Merge changed its arguments")
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		name  string
		image []string
		env   []string
		tty   bool
		home  string
		want  []string
	}{
		{"nothing", nil, nil, false, "", []string{defaultPath, "HOSTNAME=h"}},
		{"terminal", nil, nil, true, "/root", []string{defaultPath, "HOSTNAME=h", "TERM=xterm", "HOME=/root"}},
		{"image and request", []string{"PATH=/bin", "X=image"}, []string{"X=mine", "HOME=/h", "TERM=vt100"}, true, "/root", []string{"PATH=/bin", "HOSTNAME=h", "TERM=vt100", "HOME=/h", "X=mine"}},
		{"removed", []string{"X=1"}, []string{"X", "PATH", "HOME"}, false, "/root", []string{"HOSTNAME=h"}},
		{"lines", nil, []string{"X=a\nb", "X=c"}, false, "", []string{defaultPath, "HOSTNAME=h", "X=c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := testInput()
			in.Image.Env, in.User.Home = c.image, c.home
			in.Config = &container.Config{Env: c.env, Tty: c.tty, Hostname: "h"}
			s, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, s.Process.Env); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSecurity32Newline: a newline in a variable stays within it, and none can
// come from a home directory.
func TestSecurity32Newline(t *testing.T) {
	in := testInput()
	in.Config.Env = []string{"X=a\nHOME=/evil", "Y=b"}
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Process.Env[len(s.Process.Env)-2:]; !cmp.Equal(got, []string{"X=a\nHOME=/evil", "Y=b"}) || !slices.Contains(s.Process.Env, "HOME=/root") {
		t.Errorf("got %q", s.Process.Env)
	}
	u, err := ResolveUser("x", nil, strings.NewReader("x:x:1:1::/a\r\nb:x:0:0::/evil:\n"), nil)
	if err != nil || strings.ContainsAny(u.Home, "\r\n") || u.UID != 1 {
		t.Errorf("got %+v, %v", u, err)
	}
}
