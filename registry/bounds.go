package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"berth/internal/fault"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/containerd/errdefs"
)

// maxManifestSize bounds manifests and every other answer that is not a blob.
const maxManifestSize = 4 << 20

// boundAuthorizer keeps an authorizer to the one host it has credentials for.
// The library asks it about every host a redirect leads to.
type boundAuthorizer struct {
	docker.Authorizer
	host string
}

// Authorize implements docker.Authorizer.
func (a boundAuthorizer) Authorize(ctx context.Context, req *http.Request) error {
	if req.URL.Host != a.host {
		return nil
	}
	return a.Authorizer.Authorize(ctx, req)
}

// AddResponses implements docker.Authorizer: the answer to a 401.
func (a boundAuthorizer) AddResponses(ctx context.Context, responses []*http.Response) error {
	last := responses[len(responses)-1]
	if last.Request.URL.Host != a.host {
		return fault.Errorf(errdefs.ErrNotImplemented, "%s is not %s: no credentials for it", last.Request.URL.Host, a.host)
	}
	for _, c := range auth.ParseAuthHeader(last.Header) {
		realm, err := url.Parse(c.Parameters["realm"])
		if c.Scheme == auth.BearerAuth && (err != nil || last.Request.URL.Scheme == "https" && realm.Scheme != "https") {
			return fmt.Errorf("%s names a token server without TLS, %q: %w", a.host, clip(c.Parameters["realm"]), docker.ErrInvalidAuthorization)
		}
	}
	return a.Authorizer.AddResponses(ctx, responses)
}

// redirectPolicy strips credentials when a redirect leaves the host. (net/http
// keeps them for another port or a subdomain.) A form, which is how a password
// goes to a token server, is never sent on to another host.
func redirectPolicy(clearAllowed bool) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		first := via[0].URL
		if first.Scheme == "https" && req.URL.Scheme != "https" && !clearAllowed {
			return fmt.Errorf("%s redirects to %s without TLS: refused", first.Host, req.URL.Host)
		}
		if req.URL.Host == first.Host && (req.URL.Scheme == first.Scheme || clearAllowed) {
			return nil
		}
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return fmt.Errorf("%s redirects a login to %s: refused", first.Host, req.URL.Host)
		}
		for _, h := range []string{"Authorization", "Proxy-Authorization", "Cookie", "Www-Authenticate"} {
			req.Header.Del(h)
		}
		return nil
	}
}

// boundedTransport ends every answer that is not a blob after
// maxManifestSize: the library reads manifests without a length and tokens to
// their end. Blobs are bounded by their descriptor's size.
type boundedTransport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil || isBlob(req) {
		return resp, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxManifestSize, host: req.URL.Host}
	return resp, nil
}

// isBlob looks at the request the caller made, before any redirect.
func isBlob(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return strings.Contains(req.URL.Path, "/blobs/")
}

type boundedBody struct {
	io.ReadCloser
	left int64
	host string
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, fault.Errorf(errdefs.ErrOutOfRange, "answer of %s is larger than %d bytes", b.host, maxManifestSize)
	}
	return n, err
}

// clip shortens foreign text for a message.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
