package state

import (
	"time"

	"berth/internal/jsonscan"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/plan"
	"berth/ociruntime/program"
)

// Record is container.json.
type Record struct {
	// Version is of this format.
	Version int
	ID      string
	Bundle  string
	Created time.Time
	// Owner is the user who made it.
	Owner int
	// Cgroup says where the cgroup is, and who made it; empty if there is none.
	Cgroup cgroups.Record
	// Command is what the init executes, for errors about it.
	Command string
	// Whole: a start or an end needs the config, which names hooks or more.
	Whole bool
	// Later are the steps of the init after its wait for start.
	Later []program.Later
}

// encode writes the record as JSON. encoding/json would take a short process
// longer than all its files.
func (r Record) encode() []byte {
	w := jsonscan.Writer{Indent: "  "}
	w.Begin('{')
	w.Name("version")
	w.Int(int64(r.Version))
	w.Name("id")
	w.Text(r.ID)
	w.Name("bundle")
	w.Text(r.Bundle)
	w.Name("created")
	w.Text(r.Created.Format(time.RFC3339Nano))
	w.Name("owner")
	w.Int(int64(r.Owner))
	w.Name("cgroup")
	encodeCgroup(&w, r.Cgroup)
	w.Name("command")
	w.Text(r.Command)
	w.Name("whole")
	w.Bool(r.Whole)
	w.Name("later")
	w.Begin('[')
	for _, l := range r.Later {
		w.Begin('{')
		w.Name("address")
		w.Uint(l.Address)
		w.Name("name")
		w.Text(l.Name)
		w.Name("remedy")
		w.Text(l.Remedy)
		w.Name("exec")
		w.Bool(l.Exec)
		w.End('}')
	}
	w.End(']')
	w.End('}')
	return w.Bytes()
}

func encodeCgroup(w *jsonscan.Writer, c cgroups.Record) {
	w.Begin('{')
	for _, t := range []struct{ name, value string }{
		{"path", c.Path}, {"unified", c.Unified}, {"mount", c.Mount}, {"root", c.Root},
	} {
		w.Name(t.name)
		w.Text(t.value)
	}
	w.Name("controllers")
	w.Texts(c.Controllers)
	w.Name("v1")
	w.Begin('[')
	for _, v := range c.V1 {
		w.Begin('{')
		w.Name("dir")
		w.Text(v.Dir)
		w.Name("mount")
		w.Text(v.Mount)
		w.Name("root")
		w.Text(v.Root)
		w.Name("controllers")
		w.Texts(v.Controllers)
		w.End('}')
	}
	w.End(']')
	if u := c.Unit; u != nil {
		w.Name("unit")
		w.Begin('{')
		w.Name("slice")
		w.Text(u.Slice)
		w.Name("name")
		w.Text(u.Name)
		w.Name("user")
		w.Bool(u.User)
		w.End('}')
	}
	w.End('}')
}

func decodeRecord(data []byte) (r Record, err error) {
	s := jsonscan.New(data)
	for key := range s.Members() {
		switch key {
		case "version":
			jsonscan.Int(s, &r.Version)
		case "id":
			jsonscan.String(s, &r.ID)
		case "bundle":
			jsonscan.String(s, &r.Bundle)
		case "created":
			var text string
			jsonscan.String(s, &text)
			if r.Created, err = time.Parse(time.RFC3339Nano, text); err != nil {
				s.Fail("%v", err)
			}
		case "owner":
			jsonscan.Int(s, &r.Owner)
		case "cgroup":
			decodeCgroup(s, &r.Cgroup)
		case "command":
			jsonscan.String(s, &r.Command)
		case "whole":
			jsonscan.Bool(s, &r.Whole)
		case "later":
			jsonscan.List(s, &r.Later, decodeLater)
		default:
			s.Skip()
		}
	}
	return r, s.End()
}

func decodeLater(s *jsonscan.Reader, l *program.Later) {
	for key := range s.Members() {
		switch key {
		case "address":
			jsonscan.Uint(s, &l.Address)
		case "name":
			jsonscan.String(s, &l.Name)
		case "remedy":
			jsonscan.String(s, &l.Remedy)
		case "exec":
			jsonscan.Bool(s, &l.Exec)
		default:
			s.Skip()
		}
	}
}

func decodeCgroup(s *jsonscan.Reader, c *cgroups.Record) {
	for key := range s.Members() {
		switch key {
		case "path":
			jsonscan.String(s, &c.Path)
		case "unified":
			jsonscan.String(s, &c.Unified)
		case "mount":
			jsonscan.String(s, &c.Mount)
		case "root":
			jsonscan.String(s, &c.Root)
		case "controllers":
			jsonscan.Strings(s, &c.Controllers)
		case "v1":
			jsonscan.List(s, &c.V1, decodeV1)
		case "unit":
			jsonscan.Ptr(s, &c.Unit, decodeUnit)
		default:
			s.Skip()
		}
	}
}

func decodeV1(s *jsonscan.Reader, v *cgroups.V1Record) {
	for key := range s.Members() {
		switch key {
		case "dir":
			jsonscan.String(s, &v.Dir)
		case "mount":
			jsonscan.String(s, &v.Mount)
		case "root":
			jsonscan.String(s, &v.Root)
		case "controllers":
			jsonscan.Strings(s, &v.Controllers)
		default:
			s.Skip()
		}
	}
}

func decodeUnit(s *jsonscan.Reader, u *cgroups.UnitRecord) {
	for key := range s.Members() {
		switch key {
		case "slice":
			jsonscan.String(s, &u.Slice)
		case "name":
			jsonscan.String(s, &u.Name)
		case "user":
			jsonscan.Bool(s, &u.User)
		default:
			s.Skip()
		}
	}
}

// decodeInit reads what a builder wrote about the init.
func decodeInit(data []byte) (rec plan.InitRecord, err error) {
	s := jsonscan.New(data)
	for key := range s.Members() {
		switch key {
		case "pid":
			jsonscan.Int(s, &rec.Pid)
		case "seconds":
			jsonscan.Int(s, &rec.Seconds)
		case "nanoseconds":
			jsonscan.Int(s, &rec.Nanoseconds)
		default:
			s.Skip()
		}
	}
	return rec, s.End()
}
