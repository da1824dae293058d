package measure

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestSeries(t *testing.T) {
	ms := time.Millisecond
	s := Series{{9 * ms, 1 * ms}, {1 * ms, 2 * ms}, {3 * ms, 3 * ms}, {5 * ms, 6 * ms}}
	if got := s.Median(); got != 4*ms {
		t.Errorf("median = %v, want 4ms", got)
	}
	if got := s[:3].Median(); got != 3*ms {
		t.Errorf("median of three = %v, want 3ms", got)
	}
	if got := s.Min(); got != ms {
		t.Errorf("min = %v, want 1ms", got)
	}
	if got := s.MeanCPU(); got != 3*ms {
		t.Errorf("cpu = %v, want 3ms", got)
	}
}

func TestRunCountsWhatIsLeftBehind(t *testing.T) {
	m, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	// The shell exits at once; its orphan goes on and burns time.
	s, err := m.Run(exec.Command("sh", "-c", "(i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done) & exit 0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.CPU < 5*time.Millisecond {
		t.Errorf("cpu = %v: the orphan's time is missing", s.CPU)
	}
	if got := children(); len(got) != 0 {
		t.Errorf("children left: %v", got)
	}
}

func TestRunReportsFailure(t *testing.T) {
	m, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, err = m.Run(exec.Command("sh", "-c", "echo words; exit 3"), Options{})
	if err == nil || !strings.Contains(err.Error(), "words") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("err = %v, want the status and the last line", err)
	}
}

func TestMemoryAndParentOfThisProcess(t *testing.T) {
	mem, err := MemoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if mem.PSS <= 0 || mem.RSS < mem.PSS {
		t.Errorf("memory = %+v", mem)
	}
	ppid, name, err := Parent(os.Getpid())
	if err != nil || ppid != os.Getppid() || name == "" {
		t.Errorf("parent = %d %q, %v; want %d", ppid, name, err, os.Getppid())
	}
}
