// Tests of the exact requests and results of a sign-in.

package flow

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// The exact authorization request: code flow, state, nonce and PKCE with S256,
// nothing else.
func TestAuthorizationRequest(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	login, location, err := h.rp.Begin(t.Context(), "/library?a=b", false)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(login.Verifier))
	want := testIssuer + "/api/oidc/authorization" +
		"?client_id=romm" +
		"&code_challenge=" + base64.RawURLEncoding.EncodeToString(hash[:]) +
		"&code_challenge_method=S256" +
		"&nonce=" + login.Nonce +
		"&redirect_uri=" + url.QueryEscape(testCallback) +
		"&response_type=code" +
		"&scope=openid+profile+email+groups" +
		"&state=" + login.State
	if location != want {
		t.Errorf("got  %s\nwant %s", location, want)
	}
	// 26 characters of base32 are 130 bits; a verifier has at least 43 characters (RFC 7636 section 4.1).
	if len(login.State) != 26 || len(login.Nonce) != 26 || len(login.Verifier) != 43 {
		t.Errorf("state, nonce and verifier have %d, %d and %d characters, want 26, 26 and 43", len(login.State), len(login.Nonce), len(login.Verifier))
	}
	if login.ReturnTo != "/library?a=b" || Restarted(login.State) {
		t.Errorf("login = %+v, want one to /library?a=b that is not restarted", login)
	}
	if want := h.Now().Add(10 * time.Minute); !login.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", login.Expires, want)
	}
}

func TestBeginRepeatsNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	seen := map[string]bool{}
	for range 100 {
		login, _, err := h.rp.Begin(t.Context(), "/", false)
		if err != nil {
			t.Fatal(err)
		}
		seen[login.State], seen[login.Nonce], seen[login.Verifier] = true, true, true
	}
	if len(seen) != 300 {
		t.Errorf("%d different values in 100 logins, want 300", len(seen))
	}
}

func TestBegin(t *testing.T) {
	t.Parallel()
	t.Run("another site becomes the front page", func(t *testing.T) {
		t.Parallel()
		login, _, err := newHarness(t).rp.Begin(t.Context(), "//evil.example", false)
		if err != nil || login.ReturnTo != "/" {
			t.Errorf("Begin = %+v, %v, want a login to /", login, err)
		}
	})
	t.Run("a restart says so in its state", func(t *testing.T) {
		t.Parallel()
		login, location, err := newHarness(t).rp.Begin(t.Context(), "/", true)
		if err != nil || !Restarted(login.State) || !strings.HasPrefix(login.State, "r.") || len(login.State) != 28 ||
			!strings.HasSuffix(location, "&state="+login.State) {
			t.Errorf("Begin = %+v, %s, %v, want a state that begins with r.", login, location, err)
		}
	})
	t.Run("without a provider", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t)
		h.op.Down()
		_, _, err := h.rp.Begin(t.Context(), "/", false)
		failsAs(t, err, ErrProviderUnavailable, "metadata")
	})
}

func TestTokenRequest(t *testing.T) {
	t.Parallel()
	escaped := url.QueryEscape(testSecret) // RFC 6749 section 2.3.1 and appendix B
	for name, row := range map[string]struct {
		auth  ClientAuth
		basic string
		body  string
	}{
		"client_secret_basic": {ClientAuthBasic, "Basic " + base64.StdEncoding.EncodeToString([]byte("romm:"+escaped)), ""},
		"client_secret_post":  {ClientAuthPost, "", "client_id=romm&client_secret=" + escaped + "&"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) {
				s.config.ClientAuth, s.client.AuthMethod = row.auth, name
			})
			login, query := h.begin()
			if _, err := h.rp.Exchange(t.Context(), login, query.Get("code")); err != nil {
				t.Fatal(err)
			}
			h.calls(authelia.EndpointToken, 1)
			got := h.last(authelia.EndpointToken)
			want := row.body + "code=" + url.QueryEscape(query.Get("code")) + "&code_verifier=" + login.Verifier +
				"&grant_type=authorization_code&redirect_uri=" + url.QueryEscape(testCallback)
			if got.Method != http.MethodPost || got.URL.String() != "/api/oidc/token" || got.Host != "auth.example.test" {
				t.Errorf("request %s %s at %s, want POST /api/oidc/token at the issuer", got.Method, got.URL, got.Host)
			}
			if got.Body != want {
				t.Errorf("got body  %s\nwant body %s", got.Body, want)
			}
			if got.Header.Get("Authorization") != row.basic || got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("header %v, want Authorization %q and a form", got.Header, row.basic)
			}
			if other := slices.DeleteFunc(slices.Collect(maps.Keys(got.Header)), func(name string) bool {
				return name == "Authorization" || name == "Content-Type"
			}); len(other) > 0 {
				t.Errorf("further header fields %q, want none", other)
			}
		})
	}
}

func TestUserinfoRequest(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	h.calls(authelia.EndpointUserinfo, 1)
	got := h.last(authelia.EndpointUserinfo)
	if got.Method != http.MethodGet || got.URL.String() != "/api/oidc/userinfo" || got.Body != "" {
		t.Errorf("request %s %s with body %q, want GET /api/oidc/userinfo without one", got.Method, got.URL, got.Body)
	}
	if want := (http.Header{"Authorization": {"Bearer " + result.Tokens.Access}}); !maps.EqualFunc(got.Header, want, slices.Equal) {
		t.Errorf("got header %v, want %v", got.Header, want)
	}
}

// The first sign-in takes four requests and later ones two: metadata and keys
// are kept.
func TestSignInCosts(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for i := range 3 {
		if _, err := h.signIn(); err != nil {
			t.Fatal(err)
		}
		h.calls(authelia.EndpointDiscovery, 1)
		h.calls(authelia.EndpointJWKS, 1)
		h.calls(authelia.EndpointToken, i+1)
		h.calls(authelia.EndpointUserinfo, i+1)
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) {
		s.config.Scopes = append(s.config.Scopes, "offline_access")
	})
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("sid", "session-1") })
	got, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	identity := got.Identity
	if identity.Issuer != testIssuer || identity.Subject != h.op.Subject("alice") || identity.Username != "alice" ||
		identity.Email != "Alice@example.test" || identity.Name != "Alice Example" ||
		!slices.Equal(identity.Groups, []string{"romm-admins", "romm users"}) || identity.AuthTime != h.Now().Unix() {
		t.Errorf("identity = %+v, want that of alice", identity)
	}
	tokens := got.Tokens
	if !strings.HasPrefix(tokens.Access, "authelia_at_") || !strings.HasPrefix(tokens.Refresh, "authelia_rt_") ||
		strings.Count(tokens.ID, ".") != 2 || tokens.SID != "session-1" || !tokens.Expires.Equal(h.Now().Add(3599*time.Second)) {
		t.Errorf("tokens = %+v, want all of them, for 3599 s", tokens)
	}
}
