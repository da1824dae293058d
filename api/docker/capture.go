package docker

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"berth/engine/networks"
)

// The trailers of a capture: how many packets it has, and for how many there was no room.
const (
	captured = "Berth-Captured"
	dropped  = "Berth-Dropped"
)

// captureOptions reads network, count, snaplen, duration (as 1m30s), protocol, host and port.
func captureOptions(r *http.Request) (networks.CaptureOptions, error) {
	q := queryOf(r)
	o := networks.CaptureOptions{Network: q.text("network")}
	o.Snaplen = q.number("snaplen", 0)
	o.Filter.Protocol = q.text("protocol")
	count, port := q.number("count", 0), q.number("port", 0)
	if count < 0 || port < 0 || port > 65535 {
		return o, invalid("count %d is at least 0, and port %d at most 65535", count, port)
	}
	o.Count, o.Filter.Port = uint64(count), uint16(port)
	var err error
	if s := q.text("duration"); s != "" {
		if o.Duration, err = time.ParseDuration(s); err != nil || o.Duration <= 0 {
			q.fail("duration")
		}
	}
	if s := q.text("host"); s != "" {
		if o.Filter.Host, err = netip.ParseAddr(s); err != nil || o.Filter.Host.Zone() != "" {
			q.fail("host")
		}
	}
	return o, q.err
}

// containerCapture streams a pcap file. It ends with the request: also when the client ends
// its half of the connection, so that it gets the trailers.
func (s *Server) containerCapture(w http.ResponseWriter, r *http.Request, v vars) error {
	o, err := captureOptions(r)
	if err != nil {
		return err
	}
	begun := false
	stats, err := s.backend.NetworkCapture(r.Context(), v["id"], o, func() io.Writer {
		begun = true
		w.Header().Set("Content-Type", "application/vnd.tcpdump.pcap")
		w.Header().Set("Trailer", captured+", "+dropped)
		return newFlusher(w)
	})
	if !begun {
		return err
	}
	w.Header().Set(captured, strconv.FormatUint(stats.Captured, 10))
	w.Header().Set(dropped, strconv.FormatUint(stats.Dropped, 10))
	return nil // what follows the file's beginning ends it
}
