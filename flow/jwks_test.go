// Tests of the provider's signing keys.

package flow

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A key that the provider withdrew verifies nothing once the new ones are known.
func TestRetiredKey(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if _, err := h.signIn(); err != nil {
		t.Fatal(err)
	}
	var old string
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.TokenResponse = func(response map[string]any) { old = response["id_token"].(string) }
	})
	login, query := h.begin()
	if _, err := h.rp.Exchange(t.Context(), login, query.Get("code")); err != nil {
		t.Fatal(err)
	}
	h.op.Behave()
	h.op.RotateKeys()
	if _, err := h.signIn(); err != nil {
		t.Fatal(err)
	}
	provider, err := h.rp.metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.rp.verifyIDToken(t.Context(), provider, receivedIDToken{raw: old, nonceValid: func(nonce string) bool { return nonce == login.Nonce }})
	failsAs(t, err, ErrIDTokenInvalid, "signature")
}

// Tokens signed by an unknown key cannot cause any number of key reads, and do
// not affect tokens signed by known keys.
func TestKeyReadsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if _, err := h.signIn(); err != nil {
		t.Fatal(err)
	}
	unknown := func(want error, text string) {
		t.Helper()
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Signature = authelia.SignedByUnknownKey })
		_, err := h.signIn()
		failsAs(t, err, want, text)
		h.op.Behave()
	}
	for range keyReads - 1 {
		unknown(ErrIDTokenInvalid, "signature")
	}
	for range 5 {
		unknown(ErrProviderUnavailable, "10 times in the last minute")
	}
	h.calls(authelia.EndpointJWKS, keyReads)
	if _, err := h.signIn(); err != nil {
		t.Errorf("sign-in with a known key: %v, want no error", err)
	}
	h.Advance(time.Minute - time.Second)
	unknown(ErrProviderUnavailable, "")
	h.Advance(time.Second)
	h.op.RotateKeys()
	if _, err := h.signIn(); err != nil {
		t.Errorf("sign-in a minute later: %v, want no error", err)
	}
	h.calls(authelia.EndpointJWKS, keyReads+1)
}

func TestKeysUnreadable(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault authelia.Fault
		want  error
	}{
		"503":               {authelia.Fault{Status: 503}, ErrProviderUnavailable},
		"429":               {authelia.Fault{Status: 429}, ErrProviderUnavailable},
		"broken connection": {authelia.Fault{Reset: true}, ErrProviderUnavailable},
		"404":               {authelia.Fault{Status: 404}, ErrIDTokenInvalid},
		"HTML":              {authelia.Fault{Body: "<html>"}, ErrIDTokenInvalid},
		"no keys":           {authelia.Fault{Body: `{"keys":[]}`}, ErrIDTokenInvalid},
		"no member keys":    {authelia.Fault{Body: `{}`}, ErrIDTokenInvalid},
		"malformed key":     {authelia.Fault{Body: `{"keys":[{"kty":"RSA","kid":"main-rs256","n":"!","e":"AQAB"}]}`}, ErrIDTokenInvalid},
		"symmetric key":     {authelia.Fault{Body: `{"keys":[{"kty":"oct","kid":"main-rs256","k":"c2VjcmV0"}]}`}, ErrIDTokenInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, row.fault) })
			_, err := h.signIn()
			failsAs(t, err, row.want, "")
			h.op.Behave()
			// go-oidc gives one read's outcome to those who ask before its goroutine is
			// through, even if they come after the first answer.
			for range 100 {
				if _, err = h.signIn(); err == nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
			t.Errorf("sign-in after a failure: %v, want no error", err)
		})
	}
}

// Known keys stay in use while the JWK Set is unavailable.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if _, err := h.signIn(); err != nil {
		t.Fatal(err)
	}
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{Status: 503}) })
	h.Advance(50 * time.Minute)
	if _, err := h.signIn(); err != nil {
		t.Errorf("sign-in with known keys: %v, want no error", err)
	}
	h.calls(authelia.EndpointJWKS, 1)
}

// Logins that wait for the same key read do not end when the first of them is
// canceled. Nor do the keys end with the request that read the metadata.
func TestKeysOfAnEndedRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		keys := make(chan struct{})
		h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport).base = network(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/jwks.json" {
				select {
				case <-keys:
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			return h.op.Transport().RoundTrip(r)
		})
		first, cancel := context.WithCancel(t.Context())
		if _, err := h.rp.metadata(first); err != nil {
			t.Fatal(err)
		}
		login, query := h.begin()
		gone := make(chan error, 1)
		go func() {
			_, err := h.rp.Exchange(first, login, query.Get("code"))
			gone <- err
		}()
		synctest.Wait()
		var passed atomic.Int32
		for range 5 {
			login, query := h.begin()
			go func() {
				if _, err := h.rp.Exchange(t.Context(), login, query.Get("code")); err != nil {
					t.Errorf("a login that waited: %v, want no error", err)
				}
				passed.Add(1)
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, ErrProviderUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("the login that gave up: %v, want its context's end", err)
		}
		close(keys)
		synctest.Wait()
		if passed.Load() != 5 {
			t.Errorf("%d of 5 waiting logins succeeded, want all", passed.Load())
		}
		h.calls(authelia.EndpointJWKS, 1)
		h.op.RotateKeys() // and later
		if _, err := h.signIn(); err != nil {
			t.Errorf("sign-in with new keys: %v, want no error", err)
		}
	})
}
