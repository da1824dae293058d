package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"berth/bench/peer"
	"berth/bench/table"
	"berth/internal/linux/netns"
)

// served is an engine's containers: one that serves, published, and its clients.
type served struct {
	*peer.Engine
	port    string
	inside  string // the server's address in its network
	gateway string
}

// traffic compares throughput and round trips on every way.
func (b *bench) traffic() (err error) {
	go serve(":5999") //nolint:errcheck // the host's own server lives as long as the program
	var all []*served
	for i, e := range b.engines {
		s := &served{Engine: e, port: strconv.Itoa(8080 + i)}
		if err := s.up(b.self); err != nil {
			b.missing = append(b.missing, err)
			continue
		}
		defer func() { _ = s.Remove("server") }() // the engine's end would do it too
		all = append(all, s)
	}
	type way struct {
		name    string
		measure func(s *served) (rate, trip float64, err error)
	}
	ways := []way{
		{"container to container", func(s *served) (float64, float64, error) { return s.fromContainer(b.self, s.inside+":5000") }},
		{"container to host", func(s *served) (float64, float64, error) { return s.fromContainer(b.self, s.gateway+":5999") }},
		{"host to container", func(s *served) (float64, float64, error) { return both(s.inside + ":5000") }},
		{"published, from outside", func(s *served) (rate, trip float64, err error) {
			err = netns.Do(b.outside, func() error { rate, trip, err = both(hostAddress + ":" + s.port); return err })
			return rate, trip, err
		}},
		{"published, 127.0.0.1", func(s *served) (float64, float64, error) { return both("127.0.0.1:" + s.port) }},
	}
	for _, w := range ways {
		rates, trips := map[string][]float64{}, map[string][]float64{}
		for range b.rounds {
			for _, s := range all {
				rate, trip, err := w.measure(s)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.Name, w.name, err)
				}
				rates[s.Name], trips[s.Name] = append(rates[s.Name], rate), append(trips[s.Name], trip)
			}
		}
		fmt.Printf("\n## %s\n\n| | Gbit/s | berth is | round trip us | berth is |\n|---|---|---|---|---|\n", w.name)
		for _, s := range all {
			r, t := median(rates[s.Name]), median(trips[s.Name])
			row := fmt.Sprintf("| %s | %.2f | %.2f x |", table.Cell(s.Version), r, median(rates["berth"])/r)
			if t > 0 {
				row += fmt.Sprintf(" %.1f | %.2f x |", t, median(trips["berth"])/t)
			} else {
				row += " | |"
			}
			fmt.Println(row)
		}
	}
	table.Missing(os.Stdout, b.missing)
	return nil
}

// up starts the server and learns its addresses.
func (s *served) up(self string) error {
	args := s.RunArgs("-d", "--name", "server", "-p", s.port+":5000", "-v", self+":/bench:ro", s.Image, "/bench", "serve", ":5000")
	if _, err := s.Output(args...); err != nil {
		return err
	}
	for what, to := range map[string]*string{"IPAddress": &s.inside, "Gateway": &s.gateway} {
		out, err := s.Output("inspect", "--format", "{{range .NetworkSettings.Networks}}{{."+what+"}}{{end}}", "server")
		if err != nil {
			return err
		}
		*to = out
	}
	return nil
}

// fromContainer measures throughput from a container of the engine's.
func (s *served) fromContainer(self, address string) (rate, trip float64, err error) {
	out, err := s.Output(s.RunArgs("--rm", "-v", self+":/bench:ro", s.Image, "/bench", "send", address)...)
	if err != nil {
		return 0, 0, err
	}
	rate, err = strconv.ParseFloat(strings.TrimSpace(out), 64)
	return rate, 0, err
}

func both(address string) (rate, trip float64, err error) {
	if err := reachable(address); err != nil {
		return 0, 0, err
	}
	if rate, err = send(address); err == nil {
		trip, err = roundTrip(address)
	}
	return rate, trip, err
}

// reachable waits until a server that has just been started answers.
func reachable(address string) error {
	var err error
	for range 50 {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", address, time.Second); err == nil {
			return conn.Close()
		}
		<-time.After(20 * time.Millisecond)
	}
	return err
}

// starts compares `run --rm true` with and without a network.
func (b *bench) starts() error {
	fmt.Printf("\n## `run --rm toolbox true`\n\n| | none ms | bridge ms | the network adds ms |\n|---|---|---|---|\n")
	times := map[string][]float64{}
	for i := range 3*b.rounds + 1 {
		for _, e := range b.engines {
			for _, network := range []string{"none", "bridge"} {
				args := e.RunArgs("--rm", "--network", network, e.Image, "true")
				if e.Name == "podman" && network == "bridge" {
					args = e.RunArgs("--rm", e.Image, "true")
				}
				start := time.Now()
				if _, err := e.Output(args...); err != nil {
					return err
				}
				if i > 0 { // the first warms up
					times[e.Name+network] = append(times[e.Name+network], float64(time.Since(start).Microseconds())/1e3)
				}
			}
		}
	}
	for _, e := range b.engines {
		none, bridge := median(times[e.Name+"none"]), median(times[e.Name+"bridge"])
		fmt.Printf("| %s | %.1f | %.1f | %.1f |\n", table.Cell(e.Version), none, bridge, bridge-none)
	}
	return nil
}

// manyPorts compares a container that publishes 500 ports with one that publishes none.
func (b *bench) manyPorts() error {
	fmt.Printf("\n## 500 published ports, `run -d`\n\n| | without ms | with ms | the ports add ms |\n|---|---|---|---|\n")
	for _, e := range b.engines {
		without, err := b.runsWith(e)
		if err != nil {
			return err
		}
		with, err := b.runsWith(e, "-p", "20000-20499:20000-20499")
		if err != nil {
			fmt.Printf("| %s | %.0f | %s | |\n", table.Cell(e.Version), without, table.Cell(err.Error()))
			continue
		}
		fmt.Printf("| %s | %.0f | %.0f | %.0f |\n", table.Cell(e.Version), without, with, with-without)
	}
	return nil
}

// runsWith is the median time of `run -d` in ms.
func (b *bench) runsWith(e *peer.Engine, args ...string) (float64, error) {
	var times []float64
	rounds := b.rounds
	if !e.Ours { // podman takes most of a minute for 500 ports
		rounds = 2
	}
	for i := range rounds {
		all := append([]string{"-d", "--name", "many"}, args...)
		start := time.Now()
		_, err := e.Output(e.RunArgs(append(all, e.Image, "sleep", "1000")...)...)
		took := float64(time.Since(start).Microseconds()) / 1e3
		if rm := e.Remove("many"); err == nil {
			err = rm
		}
		if err != nil {
			return 0, err
		}
		if i > 0 { // the first warms up
			times = append(times, took)
		}
	}
	return median(times), nil
}
