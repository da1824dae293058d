package linux

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func connected(t *testing.T) (client, server *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func TestPeerUID(t *testing.T) {
	_, server := connected(t)
	if uid, err := PeerUID(server); err != nil || int(uid) != os.Getuid() {
		t.Errorf("uid %d, %v; want %d", uid, err, os.Getuid())
	}
}

func TestHangup(t *testing.T) {
	client, server := connected(t)
	h, err := NewHangup(server)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	gone := make(chan error, 1)
	go func() { gone <- h.Wait() }()
	if _, err := client.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-gone:
		t.Fatalf("Wait returned after a half close: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Wait does not see the peer's close")
	}
}

func TestHangupClose(t *testing.T) {
	_, server := connected(t)
	h, err := NewHangup(server)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- h.Wait() }()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-gone:
		if err == nil {
			t.Error("Wait after Close: nil, want an error")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close does not wake Wait")
	}
}
