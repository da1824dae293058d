package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"berth/internal/fault"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

// explain turns an error of the library into one line for the user, with the
// object, the cause and the remedy, and gives it its class.
func (r *Repository) explain(ctx context.Context, object string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var status remoteerrors.ErrUnexpectedStatus
	var certificate *tls.CertificateVerificationError
	var network *url.Error
	var dial net.Error
	switch {
	case errors.As(err, &status):
		return r.explainStatus(object, status)
	case errors.Is(err, docker.ErrInvalidAuthorization) || strings.Contains(err.Error(), "no basic auth credentials"):
		return r.denied(object, "", errdefs.ErrUnauthenticated)
	case errdefs.IsNotFound(err):
		return fault.Errorf(errdefs.ErrNotFound, "%s not found in registry %s: check name and tag", object, r.host)
	case errors.Is(err, errStalled):
		return fault.Errorf(errdefs.ErrUnavailable, "fetch %s from registry %s: %w: try again", object, r.host, err)
	case errors.As(err, &certificate):
		return fault.Errorf(errdefs.ErrUnavailable, "the certificate of registry %s is not trusted: %w: add its CA to the host's hosts.toml, or list the host as insecure", r.host, certificate.Err)
	case errors.As(err, &network):
		return fault.Errorf(errdefs.ErrUnavailable, "registry %s cannot be reached: %w: check its name, the network and the proxy", r.host, network.Err)
	case errors.As(err, &dial):
		return fault.Errorf(errdefs.ErrUnavailable, "registry %s cannot be reached: %w: check its name, the network and the proxy", r.host, dial)
	}
	return fmt.Errorf("fetch %s from registry %s: %w", object, r.host, err)
}

func (r *Repository) explainStatus(object string, status remoteerrors.ErrUnexpectedStatus) error {
	said := serverMessage(status.Body)
	switch status.StatusCode {
	case http.StatusUnauthorized:
		return r.denied(object, said, errdefs.ErrUnauthenticated)
	case http.StatusForbidden:
		return r.denied(object, said, errdefs.ErrPermissionDenied)
	case http.StatusNotFound:
		return fault.Errorf(errdefs.ErrNotFound, "%s not found in registry %s%s: check name and tag", object, r.host, said)
	case http.StatusTooManyRequests:
		return fault.Errorf(errdefs.ErrUnavailable, "registry %s limits the rate of pulls%s: wait, or log in", r.host, said)
	}
	return fault.Errorf(errdefs.ErrUnavailable, "fetch %s from registry %s: it answers %s%s", object, r.host, status.Status, said)
}

func (r *Repository) denied(object, said string, class error) error {
	return fault.Errorf(class, "access to %s denied by registry %s%s: check the name, or log in with: docker login %s", object, r.host, said, r.host)
}

// serverMessage takes the first message out of a registry's error body, made
// safe to print.
func serverMessage(body []byte) string {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
		Details string `json:"details"` // token servers
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	msg := answer.Details
	if len(answer.Errors) > 0 {
		msg = answer.Errors[0].Message
	}
	if msg == "" {
		return ""
	}
	printable := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, clip(msg))
	return " (" + printable + ")"
}

// refusesRange says that a registry does not serve the rest of a blob alone.
func refusesRange(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	return errors.As(err, &status) && status.StatusCode == http.StatusRequestedRangeNotSatisfiable
}

// permanent says that trying again cannot help.
func permanent(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return status.StatusCode/100 == 4 && status.StatusCode != http.StatusTooManyRequests && status.StatusCode != http.StatusRequestTimeout
	}
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || errors.Is(err, docker.ErrInvalidAuthorization) ||
		errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) || errdefs.IsInvalidArgument(err)
}
