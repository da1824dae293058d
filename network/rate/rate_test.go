package rate_test

import (
	"testing"

	"berth/network/rate"

	"github.com/containerd/errdefs"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]uint64{
		"10mbit": 10e6, "10Mbit": 10e6, " 512kbit ": 512e3, "1.5gbit": 15e8, "8000": 8000, "64kibit": 64 << 10,
		"1mbps": 8e6, "1kbps": 8e3, "2MiBps": 16 << 20, "1tbit": 1e12, "0": 0, "0mbit": 0, "20000bit": 20000, ".5mbit": 5e5,
	} {
		if got, err := rate.Parse(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "mbit", "10 mbit", "10mb", "-1mbit", "1e9", "10mbit/s", "1..5mbit", "7999", "1bit", "1001gbit", "9999999999999999999999999tbit",
		"NaN", "inf", "0x10", "1_000", "1kkbit",
	} {
		if got, err := rate.Parse(text); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q is %d, %v; want an error of class InvalidArgument", text, got, err)
		}
	}
}

func TestText(t *testing.T) {
	for bits, want := range map[uint64]string{10e6: "10mbit", 1500e6: "1.5gbit", 8000: "8kbit", 65536: "65.536kbit", 1234567: "1234.567kbit"} {
		if got := rate.Text(bits); got != want {
			t.Errorf("%d is %s, want %s", bits, got, want)
		}
		if back, err := rate.Parse(rate.Text(bits)); err != nil || back != bits {
			t.Errorf("%s is read as %d, %v", rate.Text(bits), back, err)
		}
	}
}

func TestWith(t *testing.T) {
	base := rate.Limit{In: 1e6, Out: 2e6}
	for name, v := range map[string]struct {
		options map[string]string
		want    rate.Limit
		bad     bool
	}{
		"nothing":           {nil, base, false},
		"one":               {map[string]string{rate.OptOut: "5mbit"}, rate.Limit{In: 1e6, Out: 5e6}, false},
		"both off":          {map[string]string{rate.OptOut: "0", rate.OptIn: "0"}, rate.Limit{}, false},
		"another's":         {map[string]string{"com.docker.network.x": "?"}, base, false},
		"unknown of ours":   {map[string]string{"berth.rate": "5mbit"}, base, true},
		"cannot be read":    {map[string]string{rate.OptIn: "fast"}, base, true},
		"below what is one": {map[string]string{rate.OptIn: "5"}, base, true},
	} {
		got, err := base.With(v.options)
		if errdefs.IsInvalidArgument(err) != v.bad || !v.bad && got != v.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, v.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"10mbit", "1.5gbit", "", "9e9", "512KiBps"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := rate.Parse(s); err == nil && n != 0 && (n < rate.Min || n > rate.Max) {
			t.Errorf("%q is %d", s, n)
		}
	})
}
