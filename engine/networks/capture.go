package networks

import (
	"context"
	"io"
	"time"

	"berth/network/capture"
)

// CaptureOptions say what is captured.
type CaptureOptions struct {
	capture.Options
	Network  string        // empty: that of the default route
	Duration time.Duration // after which it ends; zero: no bound
}

// CaptureStats are what was captured, and what there was no room for.
type CaptureStats = capture.Stats

// NetworkCapture writes the packets of a container's interface, as a pcap file, to what begin
// returns, until the container ends, or ctx, or what o says. begin is called once
// packets are captured; an error before that has no other effect.
func (v *Verbs) NetworkCapture(ctx context.Context, ref string, o CaptureOptions, begin func() io.Writer) (CaptureStats, error) {
	c, unlock, err := v.c.Lock(ctx, ref)
	if err != nil {
		return CaptureStats{}, err
	}
	socket, err := v.c.Networks.Capture(c.ID(), o.Network, o.Options)
	unlock()
	if err != nil {
		return CaptureStats{}, err
	}
	defer socket.Close()
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	return socket.Copy(ctx, begin())
}
