package state

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"berth/ociruntime/cgroups"
	"berth/ociruntime/program"

	"github.com/google/go-cmp/cmp"
)

// fill sets every field, so that one that is not written or not read shows.
func fill(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case v.Kind() == reflect.String:
		v.SetString("text \"" + string(rune('a'+*n%26)))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(int64(*n))
	case v.CanUint():
		v.SetUint(1<<63 + uint64(*n))
	default:
		panic("cannot fill a " + v.Kind().String())
	}
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	var full Record
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	empty := Record{Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Later: []program.Later{}, Cgroup: cgroups.Record{Controllers: []string{}, V1: []cgroups.V1Record{}}}
	for _, want := range []Record{full, empty} {
		data := want.encode()
		if !json.Valid(data) {
			t.Errorf("no JSON: %s", data)
		}
		got, err := decodeRecord(data)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%v\n%s\n%s", err, data, d)
		}
	}
}

func TestDamagedRecords(t *testing.T) {
	for _, data := range []string{"", "{", `{"created":"yesterday"}`, `{"version":"1"}`, `{"later":[{"address":-1}]}`, `{"cgroup":[]}`} {
		if r, err := decodeRecord([]byte(data)); err == nil {
			t.Errorf("%q is accepted: %+v", data, r)
		}
	}
	for _, data := range []string{"", "{", `{"pid":"1"}`} {
		if rec, err := decodeInit([]byte(data)); err == nil {
			t.Errorf("%q is accepted: %+v", data, rec)
		}
	}
}
