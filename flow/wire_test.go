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

// The authorization request, character by character: code flow, state, nonce, PKCE with S256 and nothing else.
func TestAuthorizationRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	login, location, err := w.rp.Begin(t.Context(), "/library?a=b", false)
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
	// 26 characters of base32 are 130 bits; a verifier has 43 at least (RFC 7636 section 4.1).
	if len(login.State) != 26 || len(login.Nonce) != 26 || len(login.Verifier) != 43 {
		t.Errorf("state, nonce and verifier have %d, %d and %d characters", len(login.State), len(login.Nonce), len(login.Verifier))
	}
	if login.ReturnTo != "/library?a=b" || Restarted(login.State) {
		t.Errorf("got %+v", login)
	}
	if want := w.Now().Add(10 * time.Minute); !login.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", login.Expires, want)
	}
}

func TestBeginRepeatsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[string]bool{}
	for range 100 {
		login, _, err := w.rp.Begin(t.Context(), "/", false)
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
		login, _, err := newWorld(t).rp.Begin(t.Context(), "//evil.example", false)
		if err != nil || login.ReturnTo != "/" {
			t.Errorf("got %+v, %v", login, err)
		}
	})
	t.Run("a restart says so in its state", func(t *testing.T) {
		t.Parallel()
		login, location, err := newWorld(t).rp.Begin(t.Context(), "/", true)
		if err != nil || !Restarted(login.State) || !strings.HasPrefix(login.State, "r.") || len(login.State) != 28 ||
			!strings.HasSuffix(location, "&state="+login.State) {
			t.Errorf("got %+v, %s, %v", login, location, err)
		}
	})
	t.Run("without a provider", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Down()
		_, _, err := w.rp.Begin(t.Context(), "/", false)
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
			w := newWorld(t, func(s *setup) {
				s.config.ClientAuth, s.client.AuthMethod = row.auth, name
			})
			login, query := w.begin()
			if _, err := w.rp.Exchange(t.Context(), login, query.Get("code")); err != nil {
				t.Fatal(err)
			}
			w.calls(authelia.EndpointToken, 1)
			got := w.last(authelia.EndpointToken)
			want := row.body + "code=" + url.QueryEscape(query.Get("code")) + "&code_verifier=" + login.Verifier +
				"&grant_type=authorization_code&redirect_uri=" + url.QueryEscape(testCallback)
			if got.Method != http.MethodPost || got.URL.String() != "/api/oidc/token" || got.Host != "auth.example.test" {
				t.Errorf("got %s %s at %s", got.Method, got.URL, got.Host)
			}
			if got.Body != want {
				t.Errorf("got body  %s\nwant body %s", got.Body, want)
			}
			if got.Header.Get("Authorization") != row.basic || got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("got header %v", got.Header)
			}
			if other := slices.DeleteFunc(slices.Collect(maps.Keys(got.Header)), func(name string) bool {
				return name == "Authorization" || name == "Content-Type"
			}); len(other) > 0 {
				t.Errorf("header fields that nobody asked for: %v", other)
			}
		})
	}
}

func TestUserinfoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	result, err := w.signIn()
	if err != nil {
		t.Fatal(err)
	}
	w.calls(authelia.EndpointUserinfo, 1)
	got := w.last(authelia.EndpointUserinfo)
	if got.Method != http.MethodGet || got.URL.String() != "/api/oidc/userinfo" || got.Body != "" {
		t.Errorf("got %s %s %q", got.Method, got.URL, got.Body)
	}
	if want := (http.Header{"Authorization": {"Bearer " + result.Tokens.Access}}); !maps.EqualFunc(got.Header, want, slices.Equal) {
		t.Errorf("got header %v, want %v", got.Header, want)
	}
}

// A whole sign-in is four requests, and another one only two: metadata and keys are kept.
func TestSignInCosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		if _, err := w.signIn(); err != nil {
			t.Fatal(err)
		}
		w.calls(authelia.EndpointDiscovery, 1)
		w.calls(authelia.EndpointJWKS, 1)
		w.calls(authelia.EndpointToken, i+1)
		w.calls(authelia.EndpointUserinfo, i+1)
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) {
		s.config.Scopes = append(s.config.Scopes, "offline_access")
	})
	w.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("sid", "session-1") })
	got, err := w.signIn()
	if err != nil {
		t.Fatal(err)
	}
	identity := got.Identity
	if identity.Issuer != testIssuer || identity.Subject != w.op.Subject("alice") || identity.Username != "alice" ||
		identity.Email != "Alice@example.test" || identity.Name != "Alice Example" ||
		!slices.Equal(identity.Groups, []string{"romm-admins", "romm users"}) || identity.AuthTime != w.Now().Unix() {
		t.Errorf("got identity %+v", identity)
	}
	tokens := got.Tokens
	if !strings.HasPrefix(tokens.Access, "authelia_at_") || !strings.HasPrefix(tokens.Refresh, "authelia_rt_") ||
		strings.Count(tokens.ID, ".") != 2 || tokens.SID != "session-1" || !tokens.Expires.Equal(w.Now().Add(3599*time.Second)) {
		t.Errorf("got tokens %+v", tokens)
	}
}
