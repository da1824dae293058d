package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/registry/credential"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// Config says how registries are reached. The zero value reaches every
// registry over TLS, anonymously.
type Config struct {
	// HostsDir holds a directory per host with a hosts.toml, as containerd's
	// certs.d. Empty or missing: none.
	HostsDir string
	// Insecure lists hosts (host, host:port, or a network 10.0.0.0/8 for hosts
	// given as addresses) that need no valid certificate, or no TLS at all.
	Insecure []string
	// Credentials finds the login for a repository on a host. Nil: anonymous.
	Credentials func(ctx context.Context, host, repository string) (credential.Credential, error)
	// UserAgent is sent with every request. Empty: "berth".
	UserAgent string
	// Stall is how long a transfer may make no progress before it is broken
	// off and tried again. Zero: a minute.
	Stall time.Duration
	// Dial makes connections, where this process's network is not the one to use. Nil:
	// it is.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client opens repositories. It is safe for concurrent use.
type Client struct {
	config Config
}

// New returns a client.
func New(c Config) *Client {
	if c.UserAgent == "" {
		c.UserAgent = "berth"
	}
	if c.Stall == 0 {
		c.Stall = time.Minute
	}
	return &Client{config: c}
}

// Open prepares the work with one repository, name being domain/path as in
// "docker.io/library/debian". cred, if not nil, is used for its registry
// instead of what Config.Credentials finds. Nothing is sent yet.
func (c *Client) Open(ctx context.Context, name string, cred *credential.Credential) (*Repository, error) {
	host, path, ok := strings.Cut(name, "/")
	if !ok || host == "" || path == "" {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "repository %q is not of the form host/path", name)
	}
	r := &Repository{name: name, host: host, stall: c.config.Stall}
	hosts, err := c.hosts(ctx, r, host, path, cred)
	if err != nil {
		return nil, err
	}
	r.resolver = docker.NewResolver(docker.ResolverOptions{
		Hosts:   func(string) ([]docker.RegistryHost, error) { return hosts, nil },
		Headers: http.Header{"User-Agent": {c.config.UserAgent}},
	})
	return r, nil
}

// hosts lists the endpoints of a registry, mirrors first, each with a client
// and an authorizer that keep its credentials to itself.
func (c *Client) hosts(ctx context.Context, r *Repository, host, path string, cred *credential.Credential) ([]docker.RegistryHost, error) {
	logger, complaint := quietLogger()
	insecure := c.insecure(host)
	opts := config.HostOptions{
		Credentials: func(endpoint string) (string, string, error) {
			login, err := c.login(ctx, host, path, endpoint, cred)
			return login.Username, login.Secret, err
		},
		AuthorizerOpts: []docker.AuthorizerOpt{docker.WithAuthHeader(http.Header{"User-Agent": {c.config.UserAgent}})},
		UpdateClient: func(client *http.Client) error {
			client.CheckRedirect = redirectPolicy(insecure || docker.IsLocalhost(host))
			if t, ok := client.Transport.(*http.Transport); ok {
				r.transports = append(r.transports, t)
				if c.config.Dial != nil {
					t.DialContext = c.config.Dial
				}
			}
			client.Transport = boundedTransport{client.Transport}
			return nil
		},
	}
	if c.config.HostsDir != "" {
		opts.HostDir = config.HostDirFromRoot(c.config.HostsDir)
	}
	if insecure {
		opts.DefaultScheme = "http"
		opts.DefaultTLS = &tls.Config{InsecureSkipVerify: true} // the administrator listed this host
	}
	hosts, err := config.ConfigureHosts(log.WithLogger(ctx, logger), opts)(host)
	if err == nil {
		err = *complaint
	}
	if err != nil {
		return nil, fmt.Errorf("configure registry %s from %s: %w", host, c.config.HostsDir, err)
	}
	for i := range hosts {
		hosts[i].Authorizer = boundAuthorizer{host: hosts[i].Host, Authorizer: hosts[i].Authorizer}
	}
	return hosts, nil
}

// login finds the credentials for one endpoint of the registry host. Those the
// caller gave are for the registry itself, never for a mirror of it.
func (c *Client) login(ctx context.Context, host, path, endpoint string, cred *credential.Credential) (credential.Credential, error) {
	own, err := docker.DefaultHost(host)
	if err != nil {
		return credential.Credential{}, err
	}
	if endpoint == own {
		if cred != nil {
			return *cred, nil
		}
		endpoint = host
	}
	if c.config.Credentials == nil {
		return credential.Credential{}, nil
	}
	return c.config.Credentials(ctx, endpoint, path)
}

// insecure says whether the administrator exempted host from TLS.
func (c *Client) insecure(host string) bool {
	bare, _, err := net.SplitHostPort(host)
	if err != nil {
		bare = host
	}
	ip := net.ParseIP(strings.Trim(bare, "[]"))
	for _, entry := range c.config.Insecure {
		if entry == host || entry == bare {
			return true
		}
		if _, network, err := net.ParseCIDR(entry); err == nil && ip != nil && network.Contains(ip) {
			return true
		}
	}
	return false
}

// quietLogger returns a logger for the library, which says in its log only
// what it also returns, but for one thing: a hosts.toml that it cannot read it
// logs as an error and goes on without. That would silently use another
// registry than configured, so the first logged error is handed out.
func quietLogger() (*log.Entry, *error) {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	var complaint error
	logger.AddHook(errorHook{&complaint})
	return logrus.NewEntry(logger), &complaint
}

type errorHook struct{ first *error }

// Levels implements logrus.Hook.
func (errorHook) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

// Fire implements logrus.Hook.
func (h errorHook) Fire(e *logrus.Entry) error {
	if *h.first == nil {
		*h.first = fault.Errorf(errdefs.ErrInvalidArgument, "%s: %v", e.Message, e.Data[logrus.ErrorKey])
	}
	return nil
}
