package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// What a client's first byte asks of the server.
const (
	wantSink = 's' // take what comes, and answer with one byte at its end
	wantEcho = 'e' // send back what comes
)

// sendFor is how long one measurement of throughput sends.
const sendFor = 700 * time.Millisecond

// roundTrips are how many messages of 64 bytes go there and back in one measurement.
const roundTrips = 2000

// serve answers clients until the process is killed.
func serve(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go answer(conn.(*net.TCPConn)) // ends with its client
	}
}

func answer(conn *net.TCPConn) {
	defer conn.Close()
	var want [1]byte
	if _, err := io.ReadFull(conn, want[:]); err != nil {
		return
	}
	buf := make([]byte, 128<<10)
	for {
		n, err := conn.Read(buf)
		if want[0] == wantEcho && n > 0 {
			_, _ = conn.Write(buf[:n]) // a failure shows at the next read
		}
		if err != nil {
			break
		}
	}
	_, _ = conn.Write(want[:]) // the client may be gone
}

func dial(address string, want byte) (*net.TCPConn, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	if _, err := tcp.Write([]byte{want}); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return tcp, nil
}

// send measures throughput in Gbit/s.
func send(address string) (float64, error) {
	conn, err := dial(address, wantSink)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	buf := make([]byte, 128<<10)
	total, start := 0, time.Now()
	for time.Since(start) < sendFor {
		n, err := conn.Write(buf)
		if err != nil {
			return 0, err
		}
		total += n
	}
	if err := conn.CloseWrite(); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(conn, buf[:1]); err != nil { // all has arrived
		return 0, fmt.Errorf("wait for the last byte: %w", err)
	}
	return float64(total) * 8 / time.Since(start).Seconds() / 1e9, nil
}

// roundTrip measures the median time of a message of 64 bytes there and back, in us.
func roundTrip(address string) (float64, error) {
	conn, err := dial(address, wantEcho)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	var times []float64
	buf := make([]byte, 64)
	for range roundTrips {
		start := time.Now()
		if _, err := conn.Write(buf); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return 0, err
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1e3)
	}
	return median(times), nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
