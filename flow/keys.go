package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// jwtLimit bounds a JWT before it is parsed, in bytes.
	jwtLimit = 16 << 10
	// keyReads is how often the keys may be read in a minute. Every token that
	// an unknown key signed asks for them again.
	keyReads = 10
)

// signatureAlgorithms are what a provider may sign with: asymmetric ones only.
// Authelia lists HS256 first, whatever it uses; a client that took it would
// let anybody who knows the secret sign.
var signatureAlgorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

var errTooLarge = errors.New("it is larger than 16 KiB")

// newKeySet returns the keys at jwksURI. They are read at first need, kept,
// and read again for a signature that none of them made (OpenID Connect Core
// 1.0 section 10.1.1). A read is shared by all who wait for it and does not
// end with the request of any of them.
func newKeySet(client *http.Client, jwksURI string, now func() time.Time) oidc.KeySet {
	bounded := statusClient(client)
	bounded.Transport = &keysTransport{base: bounded.Transport, now: now}
	return oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), bounded), jwksURI)
}

// verify returns the claims of a JWT that the provider signed with one of
// keys. Errors match ErrProviderUnavailable if they could not be read.
func (p *Provider) verify(ctx context.Context, keySet oidc.KeySet, raw string, cfg *oidc.Config) (*oidc.IDToken, error) {
	if len(raw) > jwtLimit {
		return nil, errTooLarge
	}
	cfg.SupportedSigningAlgs = signatureAlgorithms
	keys := &heldKeys{KeySet: keySet}
	token, err := oidc.NewVerifier(p.issuer, keys, cfg).Verify(ctx, raw)
	if err != nil && unavailable(keys.err) {
		return nil, fmt.Errorf("%w: reading its keys: %w", ErrProviderUnavailable, keys.err)
	}
	return token, err //nolint:wrapcheck // the caller says what it is of
}

// heldKeys hold on to the last error, which go-oidc's verifier passes on as text.
type heldKeys struct {
	oidc.KeySet
	err error
}

func (k *heldKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	k.err = err
	return payload, err //nolint:wrapcheck // stands in for the key set
}

// keysTransport bounds how often the keys are read.
type keysTransport struct {
	base http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex // guards reads
	reads []time.Time
}

func (t *keysTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.permitted() {
		return nil, &statusError{cause: ErrKeyReads}
	}
	return t.base.RoundTrip(r) //nolint:wrapcheck // http.Client wraps it
}

func (t *keysTransport) permitted() bool {
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
