package bundle

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"berth/internal/jsonscan"
	"berth/internal/linux"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fill sets every field of v to something, so that a field that is not read shows.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); !elsewhere(f) {
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, n)
		v.SetMapIndex(reflect.ValueOf("some name"), e)
	case reflect.String:
		v.SetString("text " + strings.Repeat("x", *n%7))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*n))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		panic("cannot fill a " + v.Kind().String())
	}
}

// elsewhere says that a field is for other platforms, or no field of Linux's.
func elsewhere(f reflect.StructField) bool {
	p := f.Tag.Get("platform")
	return p != "" && !strings.Contains(p, "linux") && f.Name != "Username"
}

func TestEveryFieldIsRead(t *testing.T) {
	var want specs.Spec
	n := 0
	fill(reflect.ValueOf(&want).Elem(), &n)
	data, err := json.MarshalIndent(want, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	var got specs.Spec
	r := jsonscan.New(data)
	readSpec(r, &got)
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-encoding/json, +ours)\n%s", d)
	}
}

// names collects the properties of a type.
func names(v reflect.Type, into map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		names(v.Elem(), into)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if elsewhere(f) {
				continue
			}
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				into[name] = true
			}
			names(f.Type, into)
		}
	}
}

func TestPropertiesAreTheSpecifications(t *testing.T) {
	want := map[string]bool{}
	names(reflect.TypeFor[specs.Spec](), want)
	var all []string
	for name := range want {
		all = append(all, name)
	}
	slices.Sort(all)
	if d := cmp.Diff(all, properties); d != "" {
		t.Errorf("(-specification, +properties)\n%s", d)
	}
}

func TestPodmansConfig(t *testing.T) {
	data, err := os.ReadFile("testdata/podman.json")
	if err != nil {
		t.Fatal(err)
	}
	var want specs.Spec
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	b, err := Parse(data, "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, b.Spec); d != "" || len(b.Warnings) > 0 {
		t.Errorf("warnings %q, (-encoding/json, +ours)\n%s", b.Warnings, d)
	}
}

func FuzzConfig(f *testing.F) {
	data, err := os.ReadFile("testdata/podman.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(minimal))
	for _, c := range badConfigs {
		f.Add([]byte(c.config()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Parse(data, "/bundle")
		if err != nil {
			return
		}
		checkAccepted(t, data, b.Spec)
	})
}

// checkAccepted tests what may be relied on after Parse.
func checkAccepted(t *testing.T, data []byte, s *specs.Spec) {
	if !json.Valid(data) {
		t.Errorf("accepted, but no JSON: %q", data)
	}
	if s.Linux == nil || s.Process == nil || s.Root == nil || len(s.Process.Args) == 0 || s.Process.User.UID == noID {
		t.Errorf("accepted, but not checked: %q", data)
	}
	if s.Root.Path[0] != '/' || s.Process.Cwd[0] != '/' {
		t.Errorf("not absolute: root %q, cwd %q", s.Root.Path, s.Process.Cwd)
	}
	for _, m := range s.Mounts {
		if m.Destination[0] != '/' {
			t.Errorf("not absolute: destination %q", m.Destination)
		}
	}
	for name := range s.Linux.Sysctl {
		if parts := sysctlPath(name); slices.Contains(parts, "..") || slices.Contains(parts, "") {
			t.Errorf("sysctl %q leads elsewhere", name)
		}
	}
}

func FuzzProcess(f *testing.F) {
	f.Add([]byte(`{"args":["sh"],"cwd":"/","user":{"uid":1,"additionalGids":[2]},"capabilities":{"bounding":["CAP_KILL","CAP_X"]}}`))
	f.Add([]byte(`{"terminal":true,"consoleSize":{"height":24,"width":80},"args":["a"],"env":["A=b"],"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","hard":2,"soft":1}]}`))
	f.Add([]byte(`{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_FIFO","priority":1,"flags":[]},"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, _, err := parseProcess(data)
		if err != nil {
			return
		}
		if !json.Valid(data) || len(p.Args) == 0 || p.Cwd[0] != '/' || p.User.UID == noID {
			t.Errorf("accepted: %q", data)
		}
		for _, c := range []*specs.LinuxCapabilities{p.Capabilities} {
			if c != nil && slices.ContainsFunc(c.Bounding, func(n string) bool { return !slices.Contains(linux.Capabilities(), n) }) {
				t.Errorf("unknown capability in %q", c.Bounding)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile("testdata/podman.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data, "/bundle"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestParseKnowing: a known profile is not read, all else as without.
func TestParseKnowing(t *testing.T) {
	const profile = "{\n\"defaultAction\": \"SCMP_ACT_ALLOW\",\n\"x\": \"}]\\\"\" }"
	config := func(profile, more string) string {
		return `{"ociVersion":"1.2.0","root":{"path":"/"},"process":{"args":["a"],"cwd":"/"},` + "\n" +
			`"linux":{"namespaces":[{"type":"mount"}],"seccomp": ` + profile + `,"maskedPaths":["/proc/kcore"]` + more + "}}"
	}
	for name, c := range map[string]struct {
		profile, more string
		known         bool
		asked         string
		read          bool
		err           string
	}{
		"known":             {profile, "", true, " " + profile, false, ""},
		"unknown":           {profile, "", false, " " + profile, true, ""},
		"wrong, known":      {`{"defaultAction":"X"}`, "", true, ` {"defaultAction":"X"}`, false, ""},
		"wrong, unknown":    {`{"defaultAction":"X"}`, "", false, ` {"defaultAction":"X"}`, false, `"X" is unknown`},
		"null":              {"null", "", true, " null", false, ""},
		"no JSON":           {`{"defaultAction":}`, "", true, "", false, "line 2: linux.seccomp.defaultAction"},
		"twice":             {profile, `,"seccomp":{}`, true, "", false, `line 4: linux: "seccomp" is there twice`},
		"other letters too": {profile, `,"Seccomp":{}`, true, " " + profile, false, "line 4: linux.Seccomp: unknown property"},
		"wrong elsewhere":   {profile, `,"sysctl":1`, true, " " + profile, false, "line 4: linux.sysctl"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := ""
			b, err := ParseKnowing([]byte(config(c.profile, c.more)), "/b", func(p []byte) bool {
				asked = string(p)
				return c.known
			})
			if asked != c.asked {
				t.Errorf("asked for %q, want %q", asked, c.asked)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Spec.Linux.Seccomp != nil; got != c.read || len(b.Spec.Linux.MaskedPaths) != 1 || string(b.Config) != config(c.profile, c.more) {
				t.Errorf("read: %t, want %t; %+v", got, c.read, b.Spec.Linux)
			}
		})
	}
}
