package linux

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MinKernel is the oldest kernel that berth supports: Debian 12's.
const MinKernel = "6.1"

// KernelError says that the running kernel lacks something.
type KernelError struct {
	Release string // uname -r
	Needs   string // the oldest kernel that has it
}

// Error says what to do.
func (e *KernelError) Error() string {
	return fmt.Sprintf("kernel %s is too old: berth needs Linux %s or later; upgrade the kernel", e.Release, e.Needs)
}

// CheckKernel fails with a *KernelError if the kernel is older than MinKernel.
func CheckKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	return checkRelease(unix.ByteSliceToString(u.Release[:]))
}

func checkRelease(release string) error {
	have, err := version(release)
	if err != nil {
		return err
	}
	want, err := version(MinKernel)
	if err != nil {
		return err
	}
	if have[0] < want[0] || have[0] == want[0] && have[1] < want[1] {
		return &KernelError{Release: release, Needs: MinKernel}
	}
	return nil
}

// version reads the first two numbers of a release such as "6.1.0-28-amd64".
func version(release string) (v [2]int, err error) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return v, fmt.Errorf("kernel release %q has no version", release)
	}
	for i := range v {
		digits, _, _ := strings.Cut(parts[i], "-")
		if v[i], err = strconv.Atoi(digits); err != nil {
			return v, fmt.Errorf("kernel release %q has no version: %w", release, err)
		}
	}
	return v, nil
}
