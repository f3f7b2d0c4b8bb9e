package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// idTokenLeeway is how far the provider's clock may be off.
	idTokenLeeway = 2 * time.Minute
	// idTokenAge is how long ago an ID token may have been issued.
	idTokenAge = 10 * time.Minute
)

// idTokenClaims are the claims of a verified ID token.
type idTokenClaims struct {
	Authorized string   `json:"azp"`
	AuthTime   unixTime `json:"auth_time"`
	SID        string   `json:"sid"`

	subject string
	all     claims
}

// verify checks an ID token as OpenID Connect Core 1.0 section 3.1.3.7 asks.
// The numbers in comments are that section's. Errors match ErrIDTokenInvalid,
// or ErrProviderUnavailable if the keys could not be read. What its nonce may
// be is for nonceFits to say.
func (rp *RelyingParty) verify(ctx context.Context, provider *Provider, raw string, nonceFits func(string) bool, accessToken string) (*idTokenClaims, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", ErrIDTokenInvalid, reason) }
	// (2) iss, (3) aud, (6-8) signature and algorithm, (9) exp, nbf
	token, err := provider.verify(ctx, provider.keys, raw, &oidc.Config{ClientID: rp.config.ClientID, Now: rp.config.Now})
	switch {
	case errors.Is(err, ErrProviderUnavailable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrIDTokenInvalid, err)
	}
	var c idTokenClaims
	if token.Claims(&c) != nil || token.Claims(&c.all) != nil {
		return nil, invalid("its claims cannot be read")
	}
	now := rp.config.Now()
	switch {
	case !isSubject(token.Subject):
		return nil, invalid("sub is missing or no identifier")
	case len(token.Audience) != 1: // (3) an audience that we do not trust
		return nil, invalid("aud names others too")
	case c.Authorized != "" && c.Authorized != rp.config.ClientID: // (4), (5)
		return nil, invalid("azp is another client")
	case token.IssuedAt.Unix() <= 0: // (10), and Core section 2: iat is required
		return nil, invalid("iat is missing")
	case token.IssuedAt.After(now.Add(idTokenLeeway)) || token.IssuedAt.Before(now.Add(-idTokenAge)): // (10)
		return nil, invalid("iat is not of now")
	case !nonceFits(token.Nonce): // (11)
		return nil, invalid("nonce is another")
	}
	if token.AccessTokenHash != "" { // Core section 3.1.3.8
		if err := token.VerifyAccessToken(accessToken); err != nil {
			return nil, invalid("at_hash is another token's")
		}
	}
	c.subject = token.Subject
	c.SID = c.SID[:min(len(c.SID), 255)]
	return &c, nil
}

// unixTime is a NumericDate (RFC 7519 section 2) that does not fail what holds it.
type unixTime int64

// UnmarshalJSON reads seconds, and takes anything else for unknown.
func (t *unixTime) UnmarshalJSON(data []byte) error {
	var seconds int64
	text, _, _ := strings.Cut(string(data), ".")
	if _, err := fmt.Sscanf(text, "%d", &seconds); err == nil && seconds > 0 {
		*t = unixTime(seconds)
	}
	return nil
}
