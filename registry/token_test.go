package registry

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/testutil"
	"berth/internal/testutil/testregistry"

	"github.com/containerd/errdefs"
)

// tokenServer signs what a registry with token authentication believes.
type tokenServer struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert []byte // DER, self-signed

	mu     sync.Mutex
	scopes []string
}

func newTokenServer(t testing.TB) *tokenServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tokenServer{t: t, key: key, cert: cert}
}

// token is a JWT (RFC 7519, ES256) that allows actions on one repository.
func (s *tokenServer) token(repo string, actions ...string) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			s.t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	now := time.Now().Unix()
	signed := part(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.cert)}}) + "." +
		part(map[string]any{
			"iss": "test", "sub": "user", "aud": "registry", "exp": now + 600, "nbf": now - 60, "iat": now, "jti": "1",
			"access": []map[string]any{{"type": "repository", "name": repo, "actions": actions}},
		})
	sum := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Error(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// ServeHTTP is the token endpoint: POST as OAuth2 asks, GET as Docker does.
func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, secret, _ := r.BasicAuth()
	if r.Method == http.MethodPost {
		user, secret = r.FormValue("username"), r.FormValue("password")
	}
	if user != login.Username || secret != login.Secret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	scope := r.FormValue("scope")
	s.mu.Lock()
	s.scopes = append(s.scopes, scope)
	s.mu.Unlock()
	repo, _, _ := strings.Cut(strings.TrimPrefix(scope, "repository:"), ":")
	t := s.token(repo, "pull")
	fmt.Fprintf(w, `{"token":%q,"access_token":%q,"expires_in":600}`, t, t)
}

// A real registry that believes the tokens of another server.
func TestTokenAuthRealRegistry(t *testing.T) {
	testutil.RequireRoot(t) // where what the tests need is installed
	tokens := newTokenServer(t)
	realm := serve(t, tokens.ServeHTTP)
	bundle := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tokens.cert}), 0o600); err != nil {
		t.Fatal(err)
	}
	reg := testregistry.Start(t, testregistry.Options{
		AuthConfig:    "{token: {realm: 'http://" + realm + "/token', service: registry, issuer: test, rootcertbundle: '" + bundle + "'}}",
		Authorization: "Bearer " + tokens.token("team/app", "pull", "push"),
	})
	data := bytes.Repeat([]byte("layer"), 1000)
	reg.Blob("team/app", data)

	repo := openRepo(t, Config{}, reg.Host+"/team/app", &login)
	if got, err := readBlob(t.Context(), repo, blobOf(data), 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if got, err := readBlob(t.Context(), repo, blobOf(data), 4000); err != nil || !bytes.Equal(got, data[4000:]) {
		t.Errorf("from an offset: got %d bytes, %v", len(got), err)
	}
	if len(tokens.scopes) == 0 || tokens.scopes[0] != "repository:team/app:pull" {
		t.Errorf("scopes %q, want no more than pull", tokens.scopes)
	}
	if _, err := readBlob(t.Context(), openRepo(t, Config{}, reg.Host+"/team/app", nil), blobOf(data), 0); !errdefs.IsUnauthorized(err) {
		t.Errorf("anonymous: got %v, want ErrUnauthenticated", err)
	}
}
