// The provider's signing keys, and JWTs that they verify.

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// jwtLimit bounds a JWT before it is parsed, in bytes.
	jwtLimit = 16 << 10
	// keyReads is how often the keys may be read per minute. Every token signed
	// by an unknown key makes go-oidc read them again.
	keyReads = 10
)

// SignatureAlgorithms returns the algorithms that a provider may sign with.
func SignatureAlgorithms() []string { return slices.Clone(signatureAlgorithms) }

// signatureAlgorithms are the algorithms that a provider may sign with. They
// are asymmetric: Authelia lists HS256 first, and a client that accepted it
// would trust signatures by any holder of the client secret.
var signatureAlgorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

var (
	errTooLarge   = errors.New("it exceeds 16 KiB")
	errExpMissing = errors.New("exp is missing")
)

// newKeySet returns the keys at jwksURI. They are read on first use, kept, and
// read again for a signature by an unknown key
// (https://openid.net/specs/openid-connect-core-1_0.html#RotateSigKeys). All
// waiting requests share a read, and it does not end with any of them.
func newKeySet(client *http.Client, jwksURI string, now func() time.Time) oidc.KeySet {
	limited := statusClient(client)
	limited.Transport = &keysTransport{base: rewritingTransport{limited.Transport, usableKeys}, now: now}
	return oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), limited), jwksURI)
}

// verifyJWT returns the claims of a JWT that the provider signed with one of
// keySet. Errors match ErrProviderUnavailable if the keys could not be read.
func (md *metadata) verifyJWT(ctx context.Context, keySet oidc.KeySet, raw string, cfg *oidc.Config) (*oidc.IDToken, error) {
	if len(raw) > jwtLimit {
		return nil, errTooLarge
	}
	keys := &recordingKeySet{KeySet: keySet}
	token, err := oidc.NewVerifier(md.issuer, keys, cfg).Verify(ctx, raw)
	switch expired, ok := errors.AsType[*oidc.TokenExpiredError](err); {
	case err != nil && isUnavailable(keys.err):
		return nil, fmt.Errorf("%w: reading its keys: %w", ErrProviderUnavailable, bounded(keys.err))
	case ok && expired.Expiry.Unix() <= 0:
		return nil, errExpMissing
	}
	return token, bounded(err)
}

// checkAlgorithm returns an error if a JWT is not signed with the algorithm that
// is registered for its kind (OIDC Core 3.1.3.7 (7), Back-Channel Logout 2.6 (3)).
// Its text names the line that may be missing. A header that cannot be read is
// left to the verifier.
func checkAlgorithm(raw, want, setting string) error {
	var header struct {
		Algorithm string `json:"alg"`
	}
	if readable := len(raw) <= jwtLimit && json.Unmarshal(jwtHeader(raw), &header) == nil; !readable || header.Algorithm == want {
		return nil
	}
	return &AlgorithmError{printable(header.Algorithm, 20), want, setting}
}

// AlgorithmError says that a token or userinfo is not signed with the registered
// algorithm.
type AlgorithmError struct{ used, registered, setting string }

// Error names both, and what to do.
func (e *AlgorithmError) Error() string {
	return fmt.Sprintf("malformed: it is signed with %s, not %s: %s", e.used, e.registered, e.Hint())
}

// Hint is what the operator can do, in a sentence.
func (e *AlgorithmError) Hint() string {
	if slices.Contains(signatureAlgorithms, e.used) {
		return fmt.Sprintf("write \"%s %s\" if the provider is to use that for this client", e.setting, e.used)
	}
	return fmt.Sprintf("%s is not accepted: have the provider sign with RS256 for this client, or with another one of %s and name it in %s",
		e.used, strings.Join(signatureAlgorithms, ", "), e.setting)
}

// recordingKeySet keeps its last error, which go-oidc's verifier returns only
// as text.
type recordingKeySet struct {
	oidc.KeySet
	err error
}

func (k *recordingKeySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	k.err = err
	return payload, err
}

// keysTransport limits how often the keys are read.
type keysTransport struct {
	base http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex // guards reads
	reads []time.Time
}

func (t *keysTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.allow() {
		return nil, &statusError{cause: ErrKeyReads}
	}
	return t.base.RoundTrip(r)
}

// allow counts a read, and reports whether it is within the limit.
func (t *keysTransport) allow() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for len(t.reads) > 0 && now.Sub(t.reads[0]) >= time.Minute {
		t.reads = t.reads[1:]
	}
	if len(t.reads) >= keyReads {
		return false
	}
	t.reads = append(t.reads, now)
	return true
}
