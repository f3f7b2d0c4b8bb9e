// Tests of logout tokens.

package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// set is an edit that also adds a sid, so that only the edited claim is wrong.
func set(name string, value any) authelia.Edit {
	return authelia.Edits(authelia.Set("sid", "s1"), authelia.Set(name, value))
}

func without(name string) authelia.Edit {
	return authelia.Edits(authelia.Set("sid", "s1"), authelia.Without(name))
}

func TestLogoutToken(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for name, c := range map[string]struct {
		edit         authelia.Edit
		sid, subject string
	}{
		"session":              {set("sub", "u1"), "s1", "u1"},
		"session without user": {authelia.Set("sid", "s1"), "s1", ""},
		"user":                 {authelia.Set("sub", "u1"), "", "u1"},
		"aud as a string":      {set("aud", "romm"), "s1", ""},
		"clock ahead":          {set("iat", h.Now().Add(time.Minute).Unix()), "s1", ""},
		"ten minutes old":      {set("iat", h.Now().Add(-LogoutTokenAge).Unix()), "s1", ""},
		"unknown claim":        {set("trace_id", "x"), "s1", ""},
		"sid of 1000 bytes":    {authelia.Set("sid", strings.Repeat("s", 1000)), strings.Repeat("s", 255), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logout, err := h.rp.VerifyLogout(t.Context(), h.op.LogoutToken("romm", authelia.SignedProperly, c.edit))
			if err != nil || logout.SID != c.sid || logout.Subject != c.subject || logout.TokenID == "" {
				t.Errorf("VerifyLogout = %+v, %v, want sid %q, sub %q and an ID", logout, err, c.sid, c.subject)
			}
		})
	}
	raw := h.op.LogoutToken("romm", authelia.SignedWithoutKeyID, authelia.Set("sid", "s1")) // only one key matches
	if _, err := h.rp.VerifyLogout(t.Context(), raw); err != nil {
		t.Errorf("VerifyLogout without a kid: %v, want no error", err)
	}
}

// As for ID tokens, another algorithm is fine if it is the registered one.
func TestLogoutTokenOfAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) { s.client.Alg = "ES256" })
	if _, err := h.rp.VerifyLogout(t.Context(), h.op.LogoutToken("romm", authelia.SignedProperly, authelia.Set("sid", "s1"))); err != nil {
		t.Errorf("VerifyLogout: %v, want no error", err)
	}
}

const testEvent = "http://schemas.openid.net/event/backchannel-logout"

// Beyond those of the conformance suite, which package handler plays.
func TestLogoutTokenRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for name, c := range map[string]struct {
		signature authelia.Signature
		edit      authelia.Edit
		says      string
	}{
		"null nonce":                       {0, set("nonce", nil), "nonce"},
		"foreign key":                      {authelia.SignedByForeignKey, authelia.Set("sid", "s1"), ""},
		"altered":                          {authelia.SignedThenAltered, authelia.Set("sid", "s1"), ""},
		"two audiences":                    {0, set("aud", []string{"romm", "other"}), "aud names other clients too"},
		"no aud":                           {0, without("aud"), "audience"},
		"no iss":                           {0, without("iss"), "different provider"},
		"no jti":                           {0, without("jti"), "jti"},
		"no exp":                           {0, without("exp"), "exp"},
		"expired":                          {0, set("exp", h.Now().Add(-time.Second).Unix()), "expired"},
		"no iat":                           {0, without("iat"), "iat is missing"},
		"too old":                          {0, set("iat", h.Now().Add(-LogoutTokenAge-idTokenLeeway-time.Second).Unix()), "iat is too old or in the future"},
		"from the future":                  {0, set("iat", h.Now().Add(idTokenLeeway+time.Minute).Unix()), "iat is too old or in the future"},
		"neither sub nor sid":              {0, nil, "sub"},
		"null event":                       {0, set("events", map[string]any{testEvent: nil}), "not a JSON object"},
		"event is true":                    {0, set("events", map[string]any{testEvent: true}), "not a JSON object"},
		"events is a list":                 {0, set("events", []string{testEvent}), ""},
		"events, other case":               {0, authelia.Edits(without("events"), authelia.Set("Events", map[string]any{testEvent: map[string]any{}})), "not a JSON object"},
		"exceeds 16 KiB":                   {0, set("x", strings.Repeat("x", jwtLimit)), "exceeds 16 KiB"},
		"long iss with control characters": {0, set("iss", strings.Repeat("\n\x1b[2J", 500)), ""},
		"sub is a number":                  {0, authelia.Set("sub", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logout, err := h.rp.VerifyLogout(t.Context(), h.op.LogoutToken("romm", c.signature, c.edit))
			failsAs(t, err, errLogoutTokenInvalid, c.says)
			if logout != nil {
				t.Errorf("VerifyLogout = %+v, want none", logout)
			}
			if len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\n\x1b") { // it appears in a log
				t.Errorf("error %q, want a short one without control characters", err)
			}
		})
	}
	for _, raw := range []string{"", "x", "x.y.z", "a.b.c.d.e"} {
		_, err := h.rp.VerifyLogout(t.Context(), raw)
		failsAs(t, err, errLogoutTokenInvalid, "")
	}
}

// A user sends their own ID token as a logout token. It ends no session.
func TestIDTokenIsNoLogoutToken(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.rp.VerifyLogout(t.Context(), result.Tokens.ID)
	failsAs(t, err, errLogoutTokenInvalid, "event")
}

func TestLogoutTokenWhileProviderIsAway(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raw := h.op.LogoutToken("romm", authelia.SignedProperly, authelia.Set("sid", "s1"))
	h.op.Down()
	_, err := h.rp.VerifyLogout(t.Context(), raw)
	failsAs(t, err, ErrProviderUnavailable, "metadata")
	h.op.Up()
	h.Advance(time.Minute)
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{Status: 503}) })
	raw = h.op.LogoutToken("romm", authelia.SignedProperly, authelia.Set("sid", "s1"))
	_, err = h.rp.VerifyLogout(t.Context(), raw)
	failsAs(t, err, ErrProviderUnavailable, "keys")
	h.op.Behave()
	if _, err := h.rp.VerifyLogout(t.Context(), raw); err != nil {
		t.Errorf("VerifyLogout: %v, want no error", err)
	}
}

// An attacker sends logout tokens signed by an unknown key. They must not use up
// the key reads that a sign-in needs to learn of new keys.
func TestForgedLogoutTokensDoNotSpendTheKeyReads(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if _, err := h.signIn(); err != nil {
		t.Fatal(err)
	}
	for range 10 * keyReads {
		if _, err := h.rp.VerifyLogout(t.Context(), h.op.LogoutToken("romm", authelia.SignedByUnknownKey, authelia.Set("sid", "s1"))); err == nil {
			t.Fatal("VerifyLogout accepts a forged token, want an error")
		}
	}
	if n := h.op.Calls(authelia.EndpointJWKS); n > 1+keyReads {
		t.Errorf("the keys were read %d times, want the limit", n)
	}
	h.op.RotateKeys()
	if _, err := h.signIn(); err != nil {
		t.Errorf("sign-in after forged logout tokens: %v, want no error", err)
	}
}

// anySignature accepts any signature.
type anySignature struct{}

func (anySignature) VerifySignature(_ context.Context, jwt string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
}

// A logout token is refused, or it names the sessions to end.
func FuzzLogoutToken(f *testing.F) {
	const now = 1_800_000_000
	const good = `"iss":"` + testIssuer + `","aud":"romm","iat":1800000000,"exp":1800000120,"jti":"j","events":{"` + testEvent + `":{}}`
	for _, seed := range []string{
		`{"sid":"s1",` + good + `}`, `{"sub":"u1",` + good + `}`, `{"sub":"u1","nonce":null,` + good + `}`, `{"sub":"u1","sub":"",` + good + `}`,
		`{"sub":"u1","iat":1e400,` + good + `}`, `{"sub":"u1",` + good + `,"iat":"1"}`, `{"SUB":"u1",` + good + `}`, `[]`, `null`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	rp := New(Config{Issuer: testIssuer, ClientID: "romm", Now: func() time.Time { return time.Unix(now, 0) }})
	rp.known, rp.loaded = &metadata{issuer: testIssuer, logoutKeys: anySignature{}}, rp.config.Now()
	f.Fuzz(func(t *testing.T, claims []byte) {
		logout, err := rp.VerifyLogout(t.Context(), encode([]byte(`{"alg":"RS256"}`))+"."+encode(claims)+"."+encode([]byte("x")))
		switch {
		case err != nil && !errors.Is(err, errLogoutTokenInvalid):
			t.Errorf("VerifyLogout = %v, want errLogoutTokenInvalid", err)
		case err == nil && (logout.TokenID == "" || logout.SID == "" && logout.Subject == "" || len(logout.SID) > 255):
			t.Errorf("VerifyLogout = %+v, want an ID and a user or session", logout)
		case err == nil && !json.Valid(claims):
			t.Errorf("VerifyLogout accepts %q, want JSON only", claims)
		}
	})
}
