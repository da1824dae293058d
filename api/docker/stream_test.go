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
	// As every client does, this one waits for the answer before it ends its input: an
	// end that comes before is that of the request to net/http.
	answer := make([]byte, len("HTTP/1.1 101 "))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 101 " {
		t.Fatalf("answer %q, %v", answer, err)
	}
	if _, err := io.WriteString(conn, "late"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	output, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(output), "\r\n\r\noutput") {
		t.Errorf("output = %q, %v", output, err)
	}
}
