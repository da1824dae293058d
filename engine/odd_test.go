package engine

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"berth/container"
	"berth/container/hostfiles"
	"berth/engine/bundle"
	"berth/spec"

	mcontainer "github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fill sets v to something odd that JSON can say: nulls in lists, negative
// numbers, empty names.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	words := []string{"", "/", "..", "a", "a:b:c", "=", "container:", "host", "\x00", "-1", "/a/../b", "none", "8.8.8.8", "x=y"}
	switch v.Kind() {
	case reflect.String:
		v.SetString(words[r.IntN(len(words))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt([]int64{0, 1, -1, 7, -1 << 63, 1<<63 - 1}[r.IntN(6)])
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint([]uint64{0, 1, 100, 1<<64 - 1}[r.IntN(4)])
	case reflect.Pointer:
		if depth > 0 && r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if n := r.IntN(3); n > 0 && depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(r, v.Index(i), depth-1)
			}
		}
	case reflect.Map:
		if depth == 0 || r.IntN(2) == 0 {
			return
		}
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(r, k, depth-1)
		fill(r, e, depth-1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(k, e)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && r.IntN(4) == 0 {
				fill(r, v.Field(i), depth-1)
			}
		}
	}
}

// Whatever a client sends, a request is taken or refused; nothing panics.
func TestOddRequestsDoNotPanic(t *testing.T) {
	b := &bundle.Builder{Host: func() (spec.Host, error) { return spec.Host{}, nil }}
	dir := t.TempDir()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := mcontainer.Config{Image: "i", Cmd: []string{"true"}}
		h := mcontainer.HostConfig{NetworkMode: "none"}
		// One odd field each: more would only be refused for the first of them.
		for _, v := range []reflect.Value{reflect.ValueOf(&c).Elem(), reflect.ValueOf(&h).Elem()} {
			fill(r, v.Field(r.IntN(v.NumField())), 4)
			if res := v.FieldByName("Resources"); res.IsValid() {
				fill(r, res.Field(r.IntN(res.NumField())), 4)
			}
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("seed %d: %v\n%+v\n%+v", seed, p, c, h)
					panic(p)
				}
			}()
			merged := spec.Merge(ocispec.ImageConfig{}, c)
			if _, err := checkRequest(&merged, &h); err != nil {
				return
			}
			rec := container.Record{ID: string(make([]byte, 64)), Config: &merged, HostConfig: &h, Created: time.Now()}
			_ = hostfiles.Write(dir, rec.ID, &merged, &h, hostfiles.Network{})
			_, _ = b.Spec(&rec, spec.User{}, bundle.Places{Dry: true})
		}()
	}
}
