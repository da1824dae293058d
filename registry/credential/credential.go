// Package credential finds the user name and secret for a registry in docker's
// config.json and its credential helpers.
//
// Level: L1.
// Owns: the reading of config.json; it never writes it.
// May import: docker-credential-helpers/client, errdefs.
// Must not know: how credentials are sent.
package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
)

// maxFileSize bounds config.json.
const maxFileSize = 1 << 20

// dockerHub is the key docker login writes for docker.io.
const dockerHub = "https://index.docker.io/v1/"

// Credential is a login. The zero value means anonymous. With an empty
// Username the Secret is an identity token (OAuth2 refresh token).
type Credential struct {
	Username string
	Secret   string
}

// File is a parsed config.json.
type File struct {
	// key is what config.json says, without scheme: host[:port][/path].
	auths   map[string]entry
	helpers map[string]string
	store   string
	// helper opens the program of a credential helper.
	helper func(ctx context.Context, name string) client.ProgramFunc
}

type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
}

// Path returns docker's config.json of this user: $DOCKER_CONFIG/config.json,
// else ~/.docker/config.json.
func Path() string {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".docker", "config.json")
}

// Load reads config.json at path. A file that does not exist holds nothing.
func Load(path string) (*File, error) {
	f, err := os.Open(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return Parse([]byte("{}"))
	}
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "read credentials: %s is larger than %d bytes", path, maxFileSize)
	}
	file, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %s: %w", path, err)
	}
	return file, nil
}

// Parse reads the content of a config.json.
func Parse(data []byte) (*File, error) {
	var config struct {
		Auths       map[string]entry  `json:"auths"`
		CredHelpers map[string]string `json:"credHelpers"`
		CredsStore  string            `json:"credsStore"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "%w", err)
	}
	file := &File{auths: map[string]entry{}, helpers: map[string]string{}, store: config.CredsStore, helper: program}
	for k, v := range config.Auths {
		file.auths[normalise(k)] = v
	}
	for k, v := range config.CredHelpers {
		file.helpers[normalise(k)] = v
	}
	return file, nil
}

// normalise turns a key of config.json into host[:port][/path]: docker writes
// URLs for some registries and bare hosts for others.
func normalise(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	key = strings.TrimRight(key, "/")
	key = strings.TrimSuffix(strings.TrimSuffix(key, "/v1"), "/v2")
	host, path, _ := strings.Cut(key, "/")
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		host = "docker.io"
	}
	if path == "" {
		return host
	}
	return host + "/" + path
}

// Get returns the login for repository (without host) on host. Keys that name
// a part of the repository's path go before those that name the host alone, a
// helper for the host goes before what the file says. Nothing found is
// anonymous, no error.
func (f *File) Get(ctx context.Context, host, repository string) (Credential, error) {
	key := normalise(host)
	for scope := key + "/" + repository; len(scope) > len(key); scope = scope[:strings.LastIndexByte(scope, '/')] {
		if e, ok := f.auths[scope]; ok && !e.empty() {
			return e.credential(scope)
		}
	}
	name, server := f.helpers[key], host
	if name == "" {
		name = f.store
	}
	if key == "docker.io" {
		server = dockerHub
	}
	if name != "" {
		cred, err := f.ask(ctx, name, server)
		if err != nil || cred != (Credential{}) {
			return cred, err
		}
	}
	return f.auths[key].credential(key)
}

func (e entry) empty() bool { return e == entry{} }

func (e entry) credential(key string) (Credential, error) {
	if e.IdentityToken != "" {
		return Credential{Secret: e.IdentityToken}, nil
	}
	if e.Auth == "" {
		return Credential{Username: e.Username, Secret: e.Password}, nil
	}
	data, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		return Credential{}, fault.Errorf(errdefs.ErrInvalidArgument, "credentials for %s: auth is not base64: log in again", key)
	}
	user, secret, ok := strings.Cut(string(bytes.TrimRight(data, "\x00")), ":")
	if !ok || user == "" {
		return Credential{}, fault.Errorf(errdefs.ErrInvalidArgument, "credentials for %s: auth is not user:password: log in again", key)
	}
	return Credential{Username: user, Secret: secret}, nil
}

// ask runs docker-credential-NAME.
func (f *File) ask(ctx context.Context, name, server string) (Credential, error) {
	if name != filepath.Base(name) || name == "." || name == ".." {
		return Credential{}, fault.Errorf(errdefs.ErrInvalidArgument, "credential helper %q is not a plain name", name)
	}
	got, err := client.Get(f.helper(ctx, name), server)
	if credentials.IsErrCredentialsNotFound(err) {
		return Credential{}, nil
	}
	if err != nil {
		return Credential{}, fmt.Errorf("ask docker-credential-%s for %s: %w", name, server, err)
	}
	if got.Username == "<token>" { // docker-credential-helpers' mark of an identity token
		return Credential{Secret: got.Secret}, nil
	}
	return Credential{Username: got.Username, Secret: got.Secret}, nil
}

// program runs a helper under ctx, so that a helper that waits for a person
// does not outlive the pull.
func program(ctx context.Context, name string) client.ProgramFunc {
	return func(args ...string) client.Program {
		return command{exec.CommandContext(ctx, "docker-credential-"+name, args...)}
	}
}

type command struct{ *exec.Cmd }

// Input implements client.Program.
func (c command) Input(in io.Reader) { c.Stdin = in }
