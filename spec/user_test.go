package spec

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

const testPasswd = `# a comment
root:x:0:0:root:/root:/bin/bash
+nis::::::
broken
bad:x:zero:0::/:
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
1000:x:0:0:a name made of digits:/evil:
alice:x:1000:1000:Alice:/home/alice:/bin/sh
relative:x:1001:1001::home:/bin/sh
negative:x:-1:-1::/:
`

const testGroup = `root:x:0:
daemon:x:1:
1001:x:0:alice
audio:x:29:pulse,alice
wheel:x:10:alice
alice:x:1000:
bad:x:ten:alice
`

func TestResolveUser(t *testing.T) {
	for _, c := range []struct {
		user     string
		groupAdd []string
		want     User
	}{
		{"", nil, User{0, 0, []uint32{0}, "/root"}},
		{"root", nil, User{0, 0, []uint32{0}, "/root"}},
		{"0", nil, User{0, 0, []uint32{0}, "/root"}},
		{"1", nil, User{1, 1, []uint32{1}, "/usr/sbin"}},
		{"alice", nil, User{1000, 1000, []uint32{1000, 0, 10, 29}, "/home/alice"}},
		{"1000", nil, User{1000, 1000, []uint32{1000, 0, 10, 29}, "/home/alice"}},
		{"alice:wheel", nil, User{1000, 10, []uint32{10}, "/home/alice"}},
		{"alice:4000", nil, User{1000, 4000, []uint32{4000}, "/home/alice"}},
		{"alice:", nil, User{1000, 1000, []uint32{1000, 0, 10, 29}, "/home/alice"}},
		{"alice:1001", nil, User{1000, 1001, []uint32{1001}, "/home/alice"}},
		{":audio", nil, User{0, 29, []uint32{29}, "/root"}},
		{"5000", nil, User{5000, 0, []uint32{0}, "/"}},
		{"5000:5001", nil, User{5000, 5001, []uint32{5001}, "/"}},
		{"relative", nil, User{1001, 1001, []uint32{1001}, "/"}},
		{"5000", []string{"audio", "77", "77"}, User{5000, 0, []uint32{0, 29, 77}, "/"}},
		{"alice:wheel", []string{"root"}, User{1000, 10, []uint32{10, 0}, "/home/alice"}},
		{"2147483647", nil, User{2147483647, 0, []uint32{0}, "/"}},
	} {
		t.Run(c.user, func(t *testing.T) {
			got, err := ResolveUser(c.user, c.groupAdd, strings.NewReader(testPasswd), strings.NewReader(testGroup))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResolveUserWithoutFiles(t *testing.T) {
	got, err := ResolveUser("7:8", nil, nil, nil)
	if err != nil || !cmp.Equal(got, User{7, 8, []uint32{8}, "/"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ResolveUser("alice", nil, nil, nil); err == nil || !strings.Contains(err.Error(), `unknown user "alice"`) {
		t.Errorf("got %v", err)
	}
}

// TestSecurity26Users: what is not plainly a number is never taken for one, and
// a number is never a name.
func TestSecurity26Users(t *testing.T) {
	for spec, want := range map[string]string{
		"01":                   `invalid user "01"`,
		"00":                   `invalid user "00"`,
		"0x1":                  `unknown user "0x1"`,
		"1 ":                   `unknown user "1 "`,
		" 1":                   `unknown user " 1"`,
		"-1":                   `unknown user "-1"`,
		"+1":                   `unknown user "+1"`,
		"1e0":                  `unknown user "1e0"`,
		"٣":                    `unknown user "٣"`,
		"2147483648":           `invalid user "2147483648"`,
		"4294967295":           `invalid user "4294967295"`,
		"4294967296":           `invalid user "4294967296"`,
		"18446744073709551617": `invalid user "18446744073709551617"`,
		"1\n":                  `unknown user "1\n"`,
		"bad":                  `unknown user "bad"`,
		"negative":             `unknown user "negative"`,
		"root:01":              `invalid group "01"`,
		"root:4294967296":      `invalid group "4294967296"`,
		"root:0x1":             `unknown group "0x1"`,
		"root:staff":           `unknown group "staff"`,
		"root:wheel:1":         `unknown group "wheel:1"`,
		"+nis":                 `unknown user "+nis"`,
		"# a comment":          `unknown user "# a comment"`,
	} {
		u, err := ResolveUser(spec, nil, strings.NewReader(testPasswd), strings.NewReader(testGroup))
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%q: got %+v, %v, want %s", spec, u, err, want)
		}
	}
	// The user who is called 1000 has uid 0.
	if u, err := ResolveUser("1000", nil, strings.NewReader(testPasswd), nil); err != nil || u.UID != 1000 {
		t.Errorf("1000: got %+v, %v", u, err)
	}
	if _, err := ResolveUser("root", []string{"nobody"}, nil, strings.NewReader(testGroup)); err == nil {
		t.Error("an unknown group to add: no error")
	}
}

// TestSecurity17Groups: the groups are the image's, the primary among them, and
// reach the spec as they are.
func TestSecurity17Groups(t *testing.T) {
	u, err := ResolveUser("alice", nil, strings.NewReader(testPasswd), strings.NewReader(testGroup))
	if err != nil {
		t.Fatal(err)
	}
	in := testInput()
	in.User = u
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Process.User.AdditionalGids; !cmp.Equal(got, []uint32{1000, 0, 10, 29}) {
		t.Errorf("got %v", got)
	}
}

// TestSecurity38UserFiles: files that are too long are refused, and no more is read.
func TestSecurity38UserFiles(t *testing.T) {
	long := func(line string) io.Reader { return &endless{line: line} }
	for name, r := range map[string]io.Reader{
		"lines":    long("x:x:5:5::/:\n"),
		"one line": long("x"),
		"empty":    long("\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ResolveUser("alice", nil, r, nil); err == nil {
				t.Error("passwd: no error")
			}
			if _, err := ResolveUser("0", nil, nil, r); err == nil {
				t.Error("group: no error")
			}
			if n := r.(*endless).n; n > 3*maxUserFile {
				t.Errorf("%d bytes were read", n)
			}
		})
	}
}

// endless repeats a line for ever.
type endless struct {
	line string
	n    int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.line[e.n%len(e.line)]
		e.n++
	}
	return len(p), nil
}

// FuzzResolveUser: whatever an image's files hold, a user is found only if a
// line says so, and never with another id.
func FuzzResolveUser(f *testing.F) {
	f.Add("alice:wheel", testPasswd, testGroup)
	f.Add("1000", "1000:x:0:0::/:\n", "g:x:1:1000,\n")
	f.Fuzz(func(t *testing.T, spec, passwd, group string) {
		u, err := ResolveUser(spec, nil, strings.NewReader(passwd), strings.NewReader(group))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q has several lines", err)
			}
			return
		}
		if u.UID > maxID || u.GID > maxID || len(u.AdditionalGids) == 0 || u.AdditionalGids[0] != u.GID || !strings.HasPrefix(u.Home, "/") {
			t.Errorf("got %+v", u)
		}
		name, _, _ := strings.Cut(spec, ":")
		if id, numeric, _ := parseID(name); numeric && id != u.UID {
			t.Errorf("%q became uid %d", spec, u.UID)
		}
		if name != "" && strings.Trim(name, "0123456789") != "" && !strings.Contains(passwd, name+":") {
			t.Errorf("%q is not in the file", name)
		}
	})
}
