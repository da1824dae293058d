package layer_test

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/layer"
)

// FuzzApply unpacks foreign bytes: nothing outside changes, and the limits hold.
func FuzzApply(f *testing.F) {
	testutil.RequireRoot(f)
	for _, entries := range [][]entry{
		{},
		{dirEntry("a", 0o755), file("a/b", "content"), hardlink("c", "a/b"), symlink("d", "a"), file("d/e", "x")},
		{symlink("x", "../outside"), file("x/file", "x")},
		{symlink("x", "../outside/file"), hardlink("y", "x"), file("y", "x"), file("x", "x")},
		{file("a/.wh.b", ""), file("a/.wh..wh..opq", ""), dirEntry("a/b", 0o700), file(".wh..", "")},
		{dirEntry("a", 0o755), file("a/b", ""), symlink("a", "../outside"), file("a/file", "x")},
		{file("../outside/file", "x"), file("/outside/file", "x")},
	} {
		f.Add(archive(f, entries...))
	}
	f.Add(paxWithRawRecords(f, map[string]string{"SCHILY.xattr.user.a": "b", "path": "../outside/file"}))
	f.Add(paxWithRawRecords(f, map[string]string{
		"GNU.sparse.major": "0", "GNU.sparse.minor": "1",
		"GNU.sparse.size": "8192", "GNU.sparse.map": "4096,0", "GNU.sparse.numblocks": "1",
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, path := rootInMemory(t)
		out := newOutside(t, path)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		res, err := layer.Apply(ctx, dir, bytes.NewReader(data), layer.Options{MaxEntries: 100, MaxSize: 1 << 20})
		out.check(t)
		if ctx.Err() != nil {
			t.Fatal("takes more than 10 seconds")
		}
		if err == nil && (res.Entries > 100 || res.Size > 1<<20) {
			t.Fatalf("limits do not hold: %+v", res)
		}
		// What was made can be removed, whatever it is.
		parent, err := os.Open(path + "/..")
		if err != nil {
			t.Fatal(err)
		}
		defer parent.Close()
		if err := linux.RemoveTreeAt(parent, "layer"); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDecompress never fails other than by an error, and ends.
func FuzzDecompress(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add(gzipped(f, []byte("content")))
	f.Add(zstded(f, []byte("content")))
	f.Fuzz(func(_ *testing.T, data []byte) {
		r, _, err := layer.Decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer r.Close()
		buf := make([]byte, 64<<10)
		for range 1000 {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	})
}
