package docker

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A client that ends its input (docker run -i < file) still wants the output.
func TestHijackedConnectionOutlivesItsInput(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := hijack(w, r, true)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		input, err := io.ReadAll(conn.in)
		if err != nil || string(input) != "early, late" {
			t.Errorf("input = %q, %v", input, err)
		}
		if err := r.Context().Err(); err != nil {
			t.Errorf("the end of input ended the request: %v", err)
		}
		if _, err := io.WriteString(conn, "output"); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// What comes with the request's header is read ahead by the server.
	if _, err := io.WriteString(conn, "POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly, "); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "late"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	output, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(output), "HTTP/1.1 101 ") || !strings.HasSuffix(string(output), "\r\n\r\noutput") {
		t.Errorf("output = %q, %v", output, err)
	}
}
