package layer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
	"berth/layer"
)

// BenchmarkApply unpacks a tree of many small files (BERTH_BENCH_TREE, default
// /usr/share) with Apply and with GNU tar in turns, and reports the ratio of
// the CPU times (user and system).
func BenchmarkApply(b *testing.B) {
	testutil.RequireRoot(b)
	tree := os.Getenv("BERTH_BENCH_TREE")
	if tree == "" {
		tree = "/usr/share"
	}
	archive := filepath.Join(b.TempDir(), "tree.tar")
	if out, err := exec.Command("tar", "-C", tree, "--xattrs", "-cf", archive, ".").CombinedOutput(); err != nil {
		b.Fatalf("tar -c: %v: %s", err, out)
	}
	var ours, theirs time.Duration
	entries := int64(0)
	for b.Loop() {
		dir := b.TempDir()
		before := cpuTime(b, syscall.RUSAGE_SELF)
		entries = applyFile(b, archive, dir)
		ours += cpuTime(b, syscall.RUSAGE_SELF) - before

		dir = b.TempDir()
		before = cpuTime(b, syscall.RUSAGE_CHILDREN)
		if out, err := exec.Command("tar", "-C", dir, "--xattrs", "--numeric-owner", "-xpf", archive).CombinedOutput(); err != nil {
			b.Fatalf("tar -x: %v: %s", err, out)
		}
		theirs += cpuTime(b, syscall.RUSAGE_CHILDREN) - before
	}
	n := time.Duration(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(entries), "entries")
	b.ReportMetric((ours/n).Seconds()*1000, "berth-cpu-ms")
	b.ReportMetric((theirs/n).Seconds()*1000, "tar-cpu-ms")
	b.ReportMetric(float64(ours)/float64(theirs), "berth/tar")
}

func applyFile(b *testing.B, archive, dir string) int64 {
	f, err := os.Open(archive)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	d, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	tar, _, err := layer.Decompress(f)
	if err != nil {
		b.Fatal(err)
	}
	defer tar.Close()
	res, err := layer.Apply(b.Context(), d, tar, layer.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return res.Entries
}

func cpuTime(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
