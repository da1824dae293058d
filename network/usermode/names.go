package usermode

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	maxResolvConf  = 64 << 10
	maxNameServers = 3               // as many as resolv.conf(5) allows
	answerLimit    = 2 * time.Second // how long one name server may take
	maxQuestions   = 16              // of one client's port at a time
)

// nameServers are the host's, read at each use.
func nameServers(path string) (all []netip.AddrPort) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(io.LimitReader(f, maxResolvConf)); lines.Scan() && len(all) < maxNameServers; {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			all = append(all, netip.AddrPortFrom(a.Unmap(), dnsPort))
		}
	}
	return all
}

// answerNames passes each question that the inside sends to the gateway to the
// host's name servers, one after the other until one answers. They may be at the host's
// loopback address.
func (s *side) answerNames(inside net.Conn, port uint16) {
	stop := context.AfterFunc(s.ctx, func() { _ = inside.Close() })
	defer stop()
	defer inside.Close()
	if port != dnsPort {
		return
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	places := make(chan struct{}, maxQuestions)
	b := make([]byte, maxDatagram)
	for inside.SetReadDeadline(time.Now().Add(flowIdle)) == nil {
		n, err := inside.Read(b)
		if err != nil {
			return
		}
		if !enter(places) {
			continue // it is asked again
		}
		question := append([]byte(nil), b[:n]...)
		asking.Go(func() {
			defer func() { <-places }()
			if answer := s.ask(question); answer != nil {
				_, _ = inside.Write(answer) // else it is asked again
			}
		})
	}
}

func (s *side) ask(question []byte) []byte {
	for _, server := range nameServers(s.conf) {
		if answer := s.askOne(server, question); answer != nil {
			return answer
		}
	}
	return nil
}

func (s *side) askOne(server netip.AddrPort, question []byte) []byte {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return nil
	}
	defer c.Close()
	stop := context.AfterFunc(s.ctx, func() { _ = c.Close() })
	defer stop()
	if c.SetDeadline(time.Now().Add(answerLimit)) != nil {
		return nil
	}
	if _, err := c.Write(question); err != nil {
		return nil
	}
	b := make([]byte, maxDatagram)
	for {
		n, err := c.Read(b)
		if err != nil {
			return nil
		}
		if n >= 2 && len(question) >= 2 && b[0] == question[0] && b[1] == question[1] { // the id (RFC 1035)
			return b[:n]
		}
	}
}
