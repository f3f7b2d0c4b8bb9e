// Tests of client authentication with a key (private_key_jwt, RFC 7523).

package flow

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// testKeys are the keys of a client.
type testKeys struct {
	key jose.SigningKey
	err error
}

func newTestKeys(t *testing.T) *testKeys {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &testKeys{key: jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: rand.Text()}}}
}

func (k *testKeys) Algorithm() string { return string(k.key.Algorithm) }

func (k *testKeys) SigningKey(context.Context) (jose.SigningKey, error) { return k.key, k.err }

// public are the keys as the client publishes them.
func (k *testKeys) public() jose.JSONWebKeySet {
	key, _ := k.key.Key.(jose.JSONWebKey)
	public := key.Public()
	public.Algorithm, public.Use = k.Algorithm(), "sig"
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}}
}

// withKey registers the client with its keys, on both sides.
func withKey(keys *testKeys) func(*setup) {
	return func(s *setup) {
		s.config.ClientSecret, s.config.ClientAuth, s.config.ClientKeys = "", ClientAuthKey, keys
		s.client.Secret, s.client.AuthMethod, s.client.AuthAlg, s.client.JWKS = "", "private_key_jwt", "ES256", keys.public()
	}
}

// dates adds the Date that servers send to the provider's responses.
func (h *harness) dates() {
	provider := h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport)
	base := provider.base
	provider.base = network(func(r *http.Request) (*http.Response, error) {
		answer, err := base.RoundTrip(r)
		if err == nil {
			answer.Header.Set("Date", h.Now().UTC().Format(http.TimeFormat))
		}
		return answer, err
	})
}

// The client authenticates with its key at every endpoint, with a new assertion for
// each request, and sends no secret.
func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	h := newHarness(t, offline, withKey(newTestKeys(t)), func(s *setup) { s.config.Push = true })
	old := h.signedIn()
	for range 3 {
		fresh, err := h.rp.Refresh(t.Context(), old.Tokens, old.Identity)
		if err != nil {
			t.Fatalf("Refresh: %v", err)
		}
		old.Tokens = *fresh
	}
	if _, err := h.rp.Bearer(t.Context(), old.Tokens.Access); err != nil {
		t.Errorf("Bearer: %v, want an introspected token", err)
	}
	if err := h.rp.Revoke(t.Context(), old.Tokens, old.Identity); err != nil {
		t.Errorf("Revoke: %v", err)
	}
	seen := map[string]bool{}
	for endpoint, calls := range map[string]int{
		authelia.EndpointPAR: 1, authelia.EndpointToken: 4, authelia.EndpointIntrospection: 1, authelia.EndpointRevocation: 1,
	} {
		requests := h.op.Requests(endpoint)
		if len(requests) != calls {
			t.Errorf("%d requests at %s, want %d", len(requests), endpoint, calls)
		}
		for _, request := range requests {
			if request.Header.Get("Authorization") != "" || request.Form.Has("client_secret") || request.Form.Get("client_assertion_type") != assertionType {
				t.Errorf("%s: %v, %v, want an assertion and nothing else", endpoint, request.Header, request.Form)
			}
			claims := verifiedClaims(request.Form.Get("client_assertion"))
			id, now := claims.text("jti"), h.Now().Unix()
			if claims.text("iss") != "romm" || claims.text("sub") != "romm" || string(claims["aud"]) != `"`+testIssuer+`"` || len(claims) != 6 {
				t.Errorf("%s: the assertion says %v, want client, client and issuer", endpoint, claims)
			}
			if claims.time("exp") != now+60 || claims.time("iat") != now-30 || len(id) < 26 || seen[id] {
				t.Errorf("%s: the assertion says %v, want a minute and a new jti", endpoint, claims)
			}
			seen[id] = true
		}
	}
	if err := h.rp.Mismatch(); err != nil {
		t.Errorf("Mismatch: %v, want nil", err)
	}
}

// An assertion that an attacker saw, in a log of the provider's proxy for instance,
// opens nothing a second time, at no endpoint.
func TestReplayedClientAssertion(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withKey(newTestKeys(t)))
	h.signedIn()
	seen := h.last(authelia.EndpointToken).Form
	for _, endpoint := range []string{"token", "introspection", "revocation", "pushed-authorization-request"} {
		form := url.Values{"token": {"x"}, "grant_type": {"authorization_code"}, "code": {"x"}}
		for _, name := range []string{"client_id", "client_assertion", "client_assertion_type"} {
			form.Set(name, seen.Get(name))
		}
		answer, err := (&http.Client{Transport: h.op.Transport()}).PostForm(testIssuer+"/api/oidc/"+endpoint, form)
		if err != nil {
			t.Fatal(err)
		}
		var refusal struct {
			Error string `json:"error"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&refusal); err != nil || refusal.Error != "jti_known" {
			t.Errorf("replayed at %s: %d %+v (%v), want jti_known", endpoint, answer.StatusCode, refusal, err)
		}
		_ = answer.Body.Close()
	}
}

// A refusal of the key says how to register the client, not that a secret is
// wrong, and it is over with the next success.
func TestClientKeyRefused(t *testing.T) {
	t.Parallel()
	other := newTestKeys(t)
	for name, row := range map[string]struct {
		change func(*setup)
		says   []string
	}{
		"another key":          {func(s *setup) { s.client.JWKS = other.public() }, []string{"private_key_jwt", "ES256", testCallback + "/client-jwks"}},
		"another algorithm":    {func(s *setup) { s.client.AuthAlg = "RS256" }, []string{"ES256"}},
		"registered for basic": {func(s *setup) { s.client.AuthMethod = "client_secret_basic" }, []string{"private_key_jwt"}},
		"our clock is ahead": {func(s *setup) {
			now := s.config.Now
			s.config.Now = func() time.Time { return now().Add(40 * time.Second) }
		}, []string{"behind Caddy's clock"}},
		"our clock is behind": {func(s *setup) {
			now := s.config.Now
			s.config.Now = func() time.Time { return now().Add(-90 * time.Second) }
		}, []string{"ahead of Caddy's clock"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, withKey(newTestKeys(t)), row.change)
			h.dates()
			_, err := h.signIn()
			refused, ok := errors.AsType[*TokenError](err)
			if !ok || refused.Code != "invalid_client" || !errors.Is(h.rp.Mismatch(), refused) {
				t.Fatalf("Exchange: %v, Mismatch: %v, want invalid_client", err, h.rp.Mismatch())
			}
			for _, says := range row.says {
				if !strings.Contains(refused.Demands(), says) {
					t.Errorf("it demands %q, want %q", refused.Demands(), says)
				}
			}
		})
	}
	t.Run("over", func(t *testing.T) {
		t.Parallel()
		keys := newTestKeys(t)
		h := newHarness(t, withKey(keys))
		right := keys.key
		keys.key = other.key
		_, _ = h.signIn()
		refused := h.rp.Mismatch()
		keys.key = right
		if _, err := h.signIn(); err != nil || refused == nil || h.rp.Mismatch() != nil {
			t.Errorf("Mismatch: %v, then %v after %v, want an error that is over", refused, h.rp.Mismatch(), err)
		}
	})
}

// Authelia's clock may differ a little.
func TestClientAssertionOfAnotherClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-50 * time.Second, -2 * time.Second, 2 * time.Second, 25 * time.Second} {
		h := newHarness(t, withKey(newTestKeys(t)), func(s *setup) {
			now := s.config.Now
			s.config.Now = func() time.Time { return now().Add(ahead) }
		})
		if _, err := h.signIn(); err != nil {
			t.Errorf("with a clock that is %s ahead: %v, want a sign-in", ahead, err)
		}
	}
}

// What the metadata say is known before a browser leaves. Metadata that say nothing
// may be those of a provider that takes the key.
func TestMetadataWithoutPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		metadata map[string]any
		says     string
	}{
		"another method":    {map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "none"}}, "`client_auth`"},
		"one string":        {map[string]any{"token_endpoint_auth_methods_supported": "client_secret_post"}, "`client_auth`"},
		"another algorithm": {map[string]any{"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "HS256"}}, "`client_key`"},
		"nothing":           {map[string]any{"token_endpoint_auth_methods_supported": nil, "token_endpoint_auth_signing_alg_values_supported": nil}, ""},
		"both":              {map[string]any{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, withKey(newTestKeys(t)))
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Metadata = func(document map[string]any) { maps.Copy(document, row.metadata) }
			})
			_, _, err := h.rp.Begin(t.Context(), "/", false)
			if row.says == "" {
				failsAs(t, err, nil, "")
				return
			}
			failsAs(t, err, ErrProviderUnavailable, row.says)
		})
	}
	h := newHarness(t) // a secret is sent as the operator says
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Metadata = authelia.Set("token_endpoint_auth_methods_supported", []string{"private_key_jwt"})
	})
	if _, err := h.signIn(); err != nil {
		t.Errorf("with a secret: %v, want a sign-in", err)
	}
}

// Without its key, the client sends nothing: the code and the refresh token can
// still be used.
func TestClientKeyUnavailable(t *testing.T) {
	t.Parallel()
	keys := newTestKeys(t)
	h := newHarness(t, offline, withKey(keys))
	old := h.signedIn()
	login, query := h.begin()
	keys.err = errors.New("the storage does not answer")
	code, err := h.rp.CheckResponse(t.Context(), login, query)
	if err != nil {
		t.Fatal(err)
	}
	before := h.op.Calls(authelia.EndpointToken)
	_, err = h.rp.Exchange(t.Context(), login, code)
	failsAs(t, err, ErrProviderUnavailable, "the storage does not answer")
	_, err = h.rp.Refresh(t.Context(), old.Tokens, old.Identity)
	failsAs(t, err, ErrProviderUnavailable, "the storage does not answer")
	if err := h.rp.Revoke(t.Context(), old.Tokens, old.Identity); err == nil {
		t.Error("Revoke succeeded without a key")
	}
	h.calls(authelia.EndpointToken, before)
	h.calls(authelia.EndpointRevocation, 0)
	keys.err = nil
	if _, err := h.rp.Exchange(t.Context(), login, code); err != nil {
		t.Errorf("Exchange with the key again: %v", err)
	}
}

// A client with a secret is told which word to write.
func TestKeyDemandedOfSecret(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	demands := h.rp.refusal("invalid_client", "Client authentication with signed JWT failed", 401).Demands()
	if !strings.Contains(demands, "client_auth private_key_jwt") {
		t.Errorf("it demands %q, want the word to write", demands)
	}
	if got := h.rp.refusal("unauthorized_client", "not allowed to use authorization grant", 400).Demands(); got != "" {
		t.Errorf("a grant type is refused: it demands %q, want nothing", got)
	}
}
