// Verification of ID tokens.

package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// idTokenLeeway is how far the provider's clock may be ahead.
	idTokenLeeway = 2 * time.Minute
	// idTokenAge is how long ago an ID token may have been issued.
	idTokenAge = 10 * time.Minute
)

// idTokenClaims are the claims of a verified ID token.
type idTokenClaims struct {
	AuthTime unixTime
	SID      string

	subject string
	all     claims
}

// receivedIDToken is an ID token and what it must match.
type receivedIDToken struct {
	raw         string
	accessToken string            // from the same response, for at_hash
	nonceValid  func(string) bool // decides on the nonce, which may be empty
}

// verifyIDToken checks an ID token
// (https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation).
// The numbers in comments are those of that section. Errors match
// ErrIDTokenInvalid, or ErrProviderUnavailable if the keys could not be read.
func (rp *RelyingParty) verifyIDToken(ctx context.Context, md *metadata, received receivedIDToken) (*idTokenClaims, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", ErrIDTokenInvalid, reason) }
	if err := checkAlgorithm(received.raw, rp.config.IDTokenAlg, "id_token_alg"); err != nil { // (7)
		return nil, fmt.Errorf("%w: %w", ErrIDTokenInvalid, err)
	}
	// (2) iss, (3) aud, (6-8) signature and algorithm, (9) exp, nbf
	token, err := md.verifyJWT(ctx, md.keys, received.raw, &oidc.Config{
		ClientID: rp.config.ClientID, Now: rp.config.Now, SupportedSigningAlgs: []string{rp.config.IDTokenAlg},
	})
	switch {
	case errors.Is(err, ErrProviderUnavailable):
		return nil, err
	case err != nil:
		rp.contradicted(ctx)
		return nil, rp.idTokenError(received.raw, err)
	}
	var c idTokenClaims
	if token.Claims(&c.all) != nil {
		return nil, invalid("its claims are not readable")
	}
	now := rp.config.Now()
	switch {
	case !isSubject(token.Subject):
		return nil, invalid("sub is missing or not an identifier")
	case len(token.Audience) != 1: // (3) audiences that we do not trust
		return nil, invalid("aud names other clients too")
	case c.all.has("azp") && c.all.text("azp") != rp.config.ClientID: // (4), (5)
		return nil, invalid("azp is another client")
	case token.IssuedAt.Unix() <= 0: // (10), and Core section 2: iat is required
		return nil, invalid("iat is missing")
	case token.IssuedAt.After(now.Add(idTokenLeeway)) || token.IssuedAt.Before(now.Add(-idTokenAge)): // (10)
		return nil, fmt.Errorf("%w: %w", ErrIDTokenInvalid, rp.clockError(token.IssuedAt))
	case token.Nonce == "" && !received.nonceValid(""):
		return nil, invalid("nonce is missing")
	case !received.nonceValid(token.Nonce): // (11)
		return nil, invalid("nonce does not match")
	}
	if token.AccessTokenHash != "" { // https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken
		if err := token.VerifyAccessToken(received.accessToken); err != nil {
			return nil, invalid("at_hash does not match the access token")
		}
	}
	c.subject, c.AuthTime, c.SID = token.Subject, unixTime(c.all.time("auth_time")), c.all.text("sid")
	c.SID = c.SID[:min(len(c.SID), 255)]
	return &c, nil
}

// idTokenError returns the error of an ID token that did not verify. If it is of
// another time, the clocks are the reason: go-oidc compares them first.
func (rp *RelyingParty) idTokenError(raw string, err error) error {
	issued := verifiedClaims(raw).time("iat") // for the text only
	at, now := time.Unix(issued, 0), rp.config.Now()
	if issued > 0 && (at.After(now.Add(idTokenLeeway)) || at.Before(now.Add(-idTokenAge))) && !errors.Is(err, errExpMissing) {
		clock := rp.clockError(at)
		if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired || strings.Contains(err.Error(), "nbf") {
			err = clock
		}
	}
	return fmt.Errorf("%w: %w", ErrIDTokenInvalid, err)
}

// unixTime is a NumericDate (https://datatracker.ietf.org/doc/html/rfc7519#section-2)
// that decodes without error, so that a malformed one does not spoil the rest.
type unixTime int64

// unixTimeMax is in the year 9999, the last that time.Time can write in JSON.
const unixTimeMax = 253_402_300_799

// UnmarshalJSON reads a number, which some providers write as a string. It ignores
// a fraction, and leaves t at 0 for anything that is not a positive number.
func (t *unixTime) UnmarshalJSON(data []byte) error {
	if seconds, err := strconv.ParseFloat(strings.Trim(string(data), `"`), 64); err == nil && 0 < seconds && seconds < unixTimeMax {
		*t = unixTime(seconds)
	}
	return nil
}
