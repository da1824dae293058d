package mountoption

import (
	"slices"
	"strings"
	"testing"

	"berth/internal/linux"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const atime = linux.MountAttrAtimeMask
	tests := map[string]Options{
		"":                                {},
		"defaults":                        {},
		"bind":                            {Bind: true},
		"rbind":                           {Bind: true, Recursive: true},
		"bind rbind":                      {Bind: true, Recursive: true},
		"ro":                              {Attr: Change{Set: linux.MountAttrRdonly}},
		"ro rw":                           {Attr: Change{Clear: linux.MountAttrRdonly}},
		"rw ro":                           {Attr: Change{Set: linux.MountAttrRdonly}},
		"rro":                             {RecAttr: Change{Set: linux.MountAttrRdonly}},
		"rrw nosuid":                      {RecAttr: Change{Clear: linux.MountAttrRdonly}, Attr: Change{Set: linux.MountAttrNosuid}},
		"nosuid nodev noexec":             {Attr: Change{Set: linux.MountAttrNosuid | linux.MountAttrNodev | linux.MountAttrNoexec}},
		"noatime":                         {Attr: Change{Set: linux.MountAttrNoatime, Clear: atime}},
		"noatime strictatime":             {Attr: Change{Set: linux.MountAttrStrict, Clear: atime}},
		"noatime relatime":                {Attr: Change{Clear: atime}},
		"strictatime norelatime":          {Attr: Change{Set: linux.MountAttrStrict, Clear: atime}},
		"rstrictatime":                    {RecAttr: Change{Set: linux.MountAttrStrict, Clear: atime}},
		"nodiratime nosymfollow":          {Attr: Change{Set: linux.MountAttrNodiratim | linux.MountAttrNosymf}},
		"rslave rshared":                  {Propagations: []Propagation{{linux.MsSlave, true}, {linux.MsShared, true}}},
		"unbindable":                      {Propagations: []Propagation{{linux.MsUnbindable, false}}},
		"sync lazytime":                   {Super: []string{"sync", "lazytime"}},
		"sync async":                      {Super: []string{"async"}},
		"mand nomand mand":                {Super: []string{"mand"}},
		"silent loud iversion noiversion": {},
		"idmap":                           {IDMap: true},
		"ridmap":                          {IDMap: true, RecIDMap: true},
		"tmpcopyup size=1m acl":           {CopyUp: true, Data: []string{"size=1m", "acl"}},
		"remount ro":                      {Remount: true, Attr: Change{Set: linux.MountAttrRdonly}},
		"size=1m,mode=755,":               {Data: []string{"size=1m", "mode=755"}},
		`context="a:b,c",size=1`:          {Data: []string{"context=a:b,c", "size=1"}},
		"raw":                             {Data: []string{"raw"}},
	}
	for options, want := range tests {
		t.Run(options, func(t *testing.T) {
			if diff := cmp.Diff(want, Parse(strings.Fields(options))); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

// The names that the OCI runtime spec 1.3 requires or recommends.
func TestKnown(t *testing.T) {
	const spec = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev
		nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime
		rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid
		rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared
		silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap rnodev`
	known := Known()
	for _, name := range known {
		if o := Parse([]string{name}); len(o.Data) > 0 {
			t.Errorf("%s is passed on to the file system", name)
		}
	}
	for _, name := range strings.Fields(spec) {
		if !slices.Contains(known, name) {
			t.Errorf("option %s of the spec is unknown", name)
		}
	}
	if n := len(strings.Fields(spec)); n != len(known) {
		t.Errorf("%d options are known, the spec has %d: %v", len(known), n, known)
	}
}

func TestHas(t *testing.T) {
	o := Parse([]string{"mode=755", "model=x"})
	if !o.Has("mode") || o.Has("mod") || o.Has("size") {
		t.Errorf("Has is wrong of %v", o.Data)
	}
}
