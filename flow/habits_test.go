// Habits of providers other than Authelia: Keycloak 26, node-oidc-provider 9, Dex 2.

package flow

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// node-oidc-provider drops offline_access from a request without prompt=consent
// (OIDC Core 11), and says so in the response's scope only.
func TestOfflineAccessAsksForConsent(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"openid offline_access": "consent", "openid": ""} {
		h := newHarness(t, func(s *setup) { s.config.Scopes = strings.Fields(name) })
		_, location, err := h.rp.Begin(t.Context(), "/", false)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(location)
		if err != nil || u.Query().Get("prompt") != want {
			t.Errorf("%s: prompt is %q, %v; want %q", name, u.Query().Get("prompt"), err, want)
		}
	}
}

// A scope that was asked for and did not come is named.
func TestScopesThatDidNotCome(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		edit authelia.Edit
		want string
	}{
		"all":                          {func(map[string]any) {}, ""},
		"no scope in the response":     {authelia.Without("scope"), ""},
		"offline_access without token": {authelia.Without("refresh_token"), "offline_access"},
		"groups not granted":           {authelia.Set("scope", "openid profile email offline_access"), "groups"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, offline)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = row.edit })
			result, err := h.signIn()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(result.Lacking, " "); got != row.want {
				t.Errorf("lacking %q, want %q", got, row.want)
			}
		})
	}
}

// Tokens of short life are refreshed in their last quarter, others in their last minute.
func TestRefreshAt(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for life, want := range map[time.Duration]time.Duration{
		0: -time.Minute, 20 * time.Second: -5 * time.Second, time.Minute: -15 * time.Second, 4 * time.Minute: -time.Minute, time.Hour: -time.Minute,
	} {
		if got := (&Tokens{Expires: now, Life: life}).RefreshAt().Sub(now); got != want {
			t.Errorf("a token of %s is refreshed %s before its expiry, want %s", life, -got, -want)
		}
	}
}

// After another sign-in in the same session at Keycloak, refreshed ID tokens have a
// later auth_time.
func TestRefreshWithLaterAuthTime(t *testing.T) {
	t.Parallel()
	h := newHarness(t, offline)
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("auth_time", result.Identity.AuthTime+60) })
	if _, err := h.rp.Refresh(t.Context(), result.Tokens, result.Identity); err != nil {
		t.Errorf("Refresh with a later auth_time: %v, want no error", err)
	}
}

// What the token endpoint says is in the log, and what it demands of the client
// is told apart from a wrong secret.
func TestTokenErrorDemands(t *testing.T) {
	t.Parallel()
	for body, row := range map[string]struct{ says, demands string }{
		`{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials"}`: {"Invalid client credentials", ""},
		`{"error":"invalid_request","error_description":"DPoP proof is missing"}`:                       {"DPoP proof", "DPoP"},
		`{"error":"invalid_dpop_proof"}`: {"invalid_dpop_proof", "DPoP"},
		`{"error":"invalid_client","error_description":"client_assertion must be provided"}`:      {"client_assertion", "private_key_jwt"},
		`{"error":"invalid_client","error_description":"Client certificate missing"}`:             {"certificate", "client certificate"},
		`{"error":"invalid_grant","error_description":"` + strings.Repeat("x", 1000) + `\u0007"}`: {"xxx", ""},
	} {
		h := newHarness(t)
		h.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: 400, Body: body, Header: http.Header{"Content-Type": {"application/json"}}})
		})
		_, err := h.signIn()
		refused, ok := err.(*TokenError) //nolint:errorlint // Exchange returns it as it is
		if !ok || !strings.Contains(err.Error(), row.says) || len(err.Error()) > 400 {
			t.Fatalf("the token endpoint answered %.100s: %v, want an error with %q", body, err, row.says)
		}
		if got := refused.Demands(); row.demands == "" && got != "" || !strings.Contains(got, row.demands) {
			t.Errorf("%s: demands %q, want %q", body, got, row.demands)
		}
	}
}

// Keycloak's access tokens are JWTs of the type JWT. The provider is asked about
// such a token, but never about what is an ID token, a refresh token or a logout token.
func TestBearerJWTOfAnotherProfile(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for name, row := range map[string]struct {
		add   map[string]any
		fails string
	}{
		"Keycloak's access token":  {map[string]any{"typ": "Bearer", "azp": "other"}, ""},
		"no type":                  {nil, ""},
		"ID token":                 {map[string]any{"nonce": "n"}, "typ"},
		"ID token with at_hash":    {map[string]any{"at_hash": "x"}, "typ"},
		"Keycloak's ID token":      {map[string]any{"typ": "ID"}, "typ"},
		"Keycloak's refresh token": {map[string]any{"typ": "Refresh"}, "typ"},
		"logout token":             {map[string]any{"events": map[string]any{}}, "typ"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIssuing(t)
			p.introspection = `{"active":true,"aud":"romm","sub":"1","client_id":"other"}`
			p.userinfo = `{"sub":"1","preferred_username":"alice","email":"alice@example.test","email_verified":true}`
			claims := map[string]any{"iss": testIssuer, "aud": "romm", "sub": "1", "exp": now.Unix() + 600}
			maps.Copy(claims, row.add)
			_, err := p.relyingParty(now).Bearer(t.Context(), p.token("JWT", p.key, jose.ES256, claims))
			if row.fails == "" {
				failsAs(t, err, nil, "")
				return
			}
			failsAs(t, err, ErrBearerInvalid, row.fails)
			if p.asked != nil {
				t.Error("the provider was asked about the token, want it refused before")
			}
		})
	}
}

// An issuer is used exactly as the provider names itself, with a slash at the end or
// without (Auth0 and Authentik have one), with a path (Keycloak, Dex) or without.
func TestIssuerAsItNamesItself(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/dex", "/realms/demo", "/test/a/romm/"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.config.Issuer = testIssuer + path })
			provider := h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport)
			base := provider.base
			provider.base = network(func(r *http.Request) (*http.Response, error) {
				if document, ok := strings.CutPrefix(r.URL.Path, strings.TrimSuffix(path, "/")+"/.well-known/"); ok {
					r = r.Clone(r.Context())
					r.URL.Path = "/.well-known/" + document
				}
				return base.RoundTrip(r)
			})
			named := authelia.Set("iss", testIssuer+path)
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Metadata, m.IDToken = authelia.Set("issuer", testIssuer+path), named
				m.AuthorizationResponse = func(q url.Values) { q.Set("iss", testIssuer+path) }
			})
			if result, err := h.signIn(); err != nil || result.Identity.Issuer != testIssuer+path {
				t.Errorf("a sign-in at the issuer %s: %v", testIssuer+path, err)
			}
		})
	}
}
