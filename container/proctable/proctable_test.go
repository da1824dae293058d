package proctable

import (
	"os"
	"strconv"
	"testing"
)

func TestRowsOfThisProcess(t *testing.T) {
	rows := Rows([]int{os.Getpid(), 1 << 30})
	if len(rows) != 1 || len(rows[0]) != len(Titles()) {
		t.Fatalf("rows %q", rows)
	}
	r := rows[0]
	if r[0] != strconv.Itoa(os.Geteuid()) || r[1] != strconv.Itoa(os.Getpid()) || r[2] != strconv.Itoa(os.Getppid()) || r[7] == "" {
		t.Errorf("row %q", r)
	}
}

func TestTotal(t *testing.T) {
	boot, total, cpus := Total()
	if boot == 0 || total == 0 || cpus == 0 {
		t.Errorf("boot %d, total %d, cpus %d", boot, total, cpus)
	}
}

func TestTTYName(t *testing.T) {
	for nr, want := range map[int64]string{0: "?", 136<<8 | 3: "pts/3", 137<<8 | 1: "pts/257", 4<<8 | 1: "?"} {
		if got := ttyName(nr); got != want {
			t.Errorf("ttyName(%#x) = %q, want %q", nr, got, want)
		}
	}
}
