package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
)

// LogoutTokenAge is how long ago a logout token may have been issued, beside
// the leeway for clocks that differ. Whoever remembers the ids of those that
// were used remembers them for twice as long.
const LogoutTokenAge = idTokenAge

// logoutEvent is the event that makes a token a logout token (OpenID Connect
// Back-Channel Logout 1.0 section 2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Logout is what a logout token asks for: the end of what came from one
// session at the provider or, if it names none, of all that a user has.
type Logout struct {
	SID     string
	Subject string // may be empty beside a SID
	TokenID string // jti; that it is used once is for the caller to see to
}

// VerifyLogout checks a logout token as OpenID Connect Back-Channel Logout 1.0
// section 2.6 asks, but for the replay of its id. The numbers in comments are
// that section's. Errors match ErrLogoutTokenInvalid, or
// ErrProviderUnavailable if metadata or keys could not be read.
func (rp *RelyingParty) VerifyLogout(ctx context.Context, raw string) (*Logout, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", ErrLogoutTokenInvalid, reason) }
	if len(raw) > jwtLimit {
		return nil, invalid(errTooLarge.Error())
	}
	provider, err := rp.Provider(ctx)
	if err != nil {
		return nil, err
	}
	// (2) signature and algorithm, (3) iss, aud, exp, (4) sub or sid, (5) the
	// event, (6) no nonce; and section 2.4: jti
	keys := &heldKeys{KeySet: provider.logoutKeys}
	token, err := oidc.NewVerifier(provider.issuer, keys, &oidc.Config{
		ClientID: rp.config.ClientID, SupportedSigningAlgs: signatureAlgorithms, Now: rp.config.Now,
	}).VerifyLogout(ctx, raw)
	switch {
	case err != nil && unavailable(keys.err):
		return nil, fmt.Errorf("%w: reading its keys: %w", ErrProviderUnavailable, keys.err)
	case err != nil:
		return nil, invalid(printable(err.Error(), 300)) // it quotes what anybody may have sent
	}
	now := rp.config.Now()
	switch {
	case len(token.Audience) != 1: // (3), Core 3.1.3.7 (3): an audience that we do not trust
		return nil, invalid("aud names others too")
	case token.IssuedAt.Unix() <= 0: // section 2.4: iat is required
		return nil, invalid("iat is missing")
	case token.IssuedAt.After(now.Add(idTokenLeeway)) || token.IssuedAt.Before(now.Add(-LogoutTokenAge-idTokenLeeway)): // (3)
		return nil, invalid("iat is not of now")
	}
	if err := checkLogoutEvent(token); err != nil {
		return nil, invalid(err.Error())
	}
	// As much of sid as the session keeps of the ID token's.
	return &Logout{SID: token.SessionID[:min(len(token.SessionID), 255)], Subject: token.Subject, TokenID: token.TokenID}, nil
}

// checkLogoutEvent checks that the event is a JSON object (section 2.4), in a
// claim of exactly this name: go-oidc takes whatever stands there.
func checkLogoutEvent(token *oidc.LogoutToken) error {
	var claims map[string]json.RawMessage
	var events, event map[string]json.RawMessage
	if token.Claims(&claims) != nil || json.Unmarshal(claims["events"], &events) != nil ||
		json.Unmarshal(events[logoutEvent], &event) != nil || event == nil {
		return errors.New("its event is no JSON object")
	}
	return nil
}
