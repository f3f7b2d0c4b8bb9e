// Verification of logout tokens.

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
)

// LogoutTokenAge is how long ago a logout token may have been issued, plus 2
// minutes for clocks that differ. The caller remembers the IDs of used tokens
// for twice as long.
const LogoutTokenAge = idTokenAge

// logoutEvent is the event that makes a token a logout token
// (https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Logout is the request in a logout token: to end the sessions that came from
// one session at the provider or, without a SID, all sessions of a user.
type Logout struct {
	SID     string
	Subject string // may be empty if there is a SID
	TokenID string // jti; the caller makes sure that each is used once
}

// VerifyLogout checks a logout token
// (https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation),
// except for the replay of its ID. The numbers in comments are those of that
// section. Errors match ErrProviderUnavailable if metadata or keys could not be
// read; any other error means that the token is invalid.
func (rp *RelyingParty) VerifyLogout(ctx context.Context, raw string) (*Logout, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", errLogoutTokenInvalid, reason) }
	if len(raw) > jwtLimit {
		return nil, invalid(errTooLarge.Error())
	}
	if err := checkAlgorithm(raw, rp.config.IDTokenAlg, "id_token_alg"); err != nil { // (2), (3)
		return nil, invalid(err.Error())
	}
	md, err := rp.metadata(ctx)
	if err != nil {
		return nil, err
	}
	// (2) signature and algorithm, (3) iss, aud, exp, (4) sub or sid, (5) event,
	// (6) no nonce, and jti as required by section 2.4
	keys := &recordingKeySet{KeySet: md.logoutKeys}
	token, err := oidc.NewVerifier(md.issuer, keys, &oidc.Config{
		ClientID: rp.config.ClientID, SupportedSigningAlgs: []string{rp.config.IDTokenAlg}, Now: rp.config.Now,
	}).VerifyLogout(ctx, raw)
	expired, isExpired := errors.AsType[*oidc.TokenExpiredError](err)
	switch {
	case err != nil && isUnavailable(keys.err):
		return nil, fmt.Errorf("%w: reading its keys: %w", ErrProviderUnavailable, bounded(keys.err))
	case isExpired && expired.Expiry.Unix() <= 0:
		return nil, invalid(errExpMissing.Error())
	case err != nil:
		return nil, invalid(printable(err.Error(), 300)) // it quotes the token, which any client may have sent
	}
	now := rp.config.Now()
	switch {
	case len(token.Audience) != 1: // (3), OIDC Core 3.1.3.7 (3): audiences that we do not trust
		return nil, invalid("aud names other clients too")
	case token.IssuedAt.Unix() <= 0: // section 2.4: iat is required
		return nil, invalid("iat is missing")
	case token.IssuedAt.After(now.Add(idTokenLeeway)) || token.IssuedAt.Before(now.Add(-LogoutTokenAge-idTokenLeeway)): // (3)
		return nil, invalid(rp.clockError(token.IssuedAt).Error())
	}
	if err := checkLogoutEvent(token); err != nil {
		return nil, invalid(err.Error())
	}
	// The session keeps this much of the ID token's sid.
	return &Logout{SID: token.SessionID[:min(len(token.SessionID), 255)], Subject: token.Subject, TokenID: token.TokenID}, nil
}

// checkLogoutEvent checks that the event is a JSON object (section 2.4) in a
// claim of exactly this name: go-oidc accepts any value there.
func checkLogoutEvent(token *oidc.LogoutToken) error {
	var claims map[string]json.RawMessage
	var events, event map[string]json.RawMessage
	if token.Claims(&claims) != nil || json.Unmarshal(claims["events"], &events) != nil ||
		json.Unmarshal(events[logoutEvent], &event) != nil || event == nil {
		return errors.New("its event is not a JSON object")
	}
	return nil
}
