// Package testregistry runs a real image registry, CNCF distribution, on
// loopback, and puts images into it.
//
// Level: L0, imported by tests only.
// Owns: a docker-registry process per call of Start.
// May import: the standard library, internal/testutil.
// Must not know: how berth pulls; it speaks HTTP by itself.
package testregistry

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The login of a registry that was started with Options.Auth.
const (
	User   = "user"
	Secret = "secret"
	// secretHash is bcrypt of Secret, the only hash the registry takes.
	secretHash = "$2a$04$dGq3iU9SRmvyXSB7BtUKN.KucyR5vH.LOyBOChrfQQ9ByGsNaN26u"
)

// Options of a registry.
type Options struct {
	// Auth asks for User and Secret (basic authentication).
	Auth bool
	// AuthConfig is the auth section of the registry's configuration instead,
	// for a token server, and Authorization the header to upload with.
	AuthConfig, Authorization string
	// Dir keeps its data. Empty: a temporary directory of the test.
	Dir string
}

// Registry is a running registry.
type Registry struct {
	// Host is 127.0.0.1:port.
	Host          string
	authorization string
	t             testing.TB
}

// Start starts a registry that ends with the test. It fails the test if
// docker-registry is not installed.
func Start(t testing.TB, o Options) *Registry {
	t.Helper()
	bin, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatal("docker-registry is not installed: apt-get install docker-registry (make test does)")
	}
	dir := t.TempDir()
	if o.Dir == "" {
		o.Dir = filepath.Join(dir, "data")
	}
	config := "version: 0.1\nlog: {level: info, formatter: text}\nstorage: {filesystem: {rootdirectory: '" + o.Dir + "'}, delete: {enabled: true}}\nhttp: {addr: '127.0.0.1:0'}\n"
	switch {
	case o.AuthConfig != "":
		config += "auth: " + o.AuthConfig + "\n"
	case o.Auth:
		passwd := filepath.Join(dir, "htpasswd")
		write(t, passwd, User+":"+secretHash+"\n")
		config += "auth: {htpasswd: {realm: test, path: '" + passwd + "'}}\n"
		o.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(User+":"+Secret))
	}
	configPath := filepath.Join(dir, "config.yml")
	write(t, configPath, config)
	return &Registry{Host: run(t, exec.Command(bin, "serve", configPath)), authorization: o.Authorization, t: t}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts the registry and returns its address, which its log tells.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	err = cmd.Start()
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	drained := make(chan struct{})
	go func() { // ends with the process: the cleanup below joins it
		defer close(drained)
		defer close(address)
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			if _, port, ok := strings.Cut(lines.Text(), "listening on 127.0.0.1:"); ok {
				port, _, _ = strings.Cut(strings.ReplaceAll(port, `"`, " "), " ")
				address <- "127.0.0.1:" + port
				break
			}
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()
		<-drained
		_ = r.Close()
	})
	select {
	case host, ok := <-address:
		if !ok {
			t.Fatal("docker-registry ended at once")
		}
		return host
	case <-time.After(30 * time.Second):
		t.Fatal("docker-registry did not start in 30 s")
	}
	return ""
}

// Blob uploads a blob and returns its digest.
func (r *Registry) Blob(repo string, data []byte) string {
	r.t.Helper()
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	location := r.do(http.MethodPost, "http://"+r.Host+"/v2/"+repo+"/blobs/uploads/", "", nil).Get("Location")
	sep := "?"
	if strings.Contains(location, "?") {
		sep = "&"
	}
	r.do(http.MethodPut, location+sep+"digest="+digest, "application/octet-stream", data)
	return digest
}

// Manifest uploads a manifest or index as repo:tag.
func (r *Registry) Manifest(repo, tag, mediaType string, data []byte) {
	r.t.Helper()
	r.do(http.MethodPut, "http://"+r.Host+"/v2/"+repo+"/manifests/"+tag, mediaType, data)
}

func (r *Registry) do(method, url, mediaType string, data []byte) http.Header {
	r.t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(data))
	if err != nil {
		r.t.Fatal(err)
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		msg, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		r.t.Fatalf("%s %s: %s: %s", method, url, resp.Status, msg)
	}
	return resp.Header
}

// PushArchive puts the one image of a docker archive (docker save) into the
// registry as repo:tag, its layers compressed, and returns the full name.
func (r *Registry) PushArchive(archive, repo, tag string) string {
	r.t.Helper()
	files := r.readArchive(archive)
	var images []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &images); err != nil || len(images) != 1 {
		r.t.Fatalf("%s: manifest.json has not one image: %v", archive, err)
	}
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	put := func(mediaType string, data []byte) descriptor {
		return descriptor{mediaType, r.Blob(repo, data), len(data)}
	}
	const types = "application/vnd.oci.image."
	manifest := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{SchemaVersion: 2, MediaType: types + "manifest.v1+json", Config: put(types+"config.v1+json", files[images[0].Config])}
	for _, l := range images[0].Layers {
		var buf bytes.Buffer
		w, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
		if err == nil {
			_, err = w.Write(files[l])
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			r.t.Fatal(err)
		}
		manifest.Layers = append(manifest.Layers, put(types+"layer.v1.tar+gzip", buf.Bytes()))
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Manifest(repo, tag, manifest.MediaType, data)
	return r.Host + "/" + repo + ":" + tag
}

func (r *Registry) readArchive(path string) map[string][]byte {
	r.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	files := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err == nil {
			files[hdr.Name], err = io.ReadAll(tr)
		}
		if err != nil {
			r.t.Fatalf("%s: %v", path, err)
		}
	}
}
