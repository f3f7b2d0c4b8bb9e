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

// oidcc-client-test-signing-key-rotation, and -just-before-signing: the keys
// are replaced between two logins, or while one is under way.
func TestSigningKeyRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		if _, err := w.signIn(); err != nil {
			t.Fatal(err)
		}
		login, query := w.begin()
		w.op.RotateKeys()
		if _, err := w.rp.Exchange(t.Context(), login, query.Get("code")); err != nil {
			t.Fatal(err)
		}
		w.calls(authelia.EndpointJWKS, i+2)
	}
}

// A key that the provider took back signs nothing once the new ones are known.
func TestRetiredKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.signIn(); err != nil {
		t.Fatal(err)
	}
	var old string
	w.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.TokenResponse = func(response map[string]any) { old = response["id_token"].(string) }
	})
	login, query := w.begin()
	if _, err := w.rp.Exchange(t.Context(), login, query.Get("code")); err != nil {
		t.Fatal(err)
	}
	w.op.Behave()
	w.op.RotateKeys()
	if _, err := w.signIn(); err != nil {
		t.Fatal(err)
	}
	provider, err := w.rp.metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.rp.verifyIDToken(t.Context(), provider, receivedIDToken{raw: old, nonceValid: func(nonce string) bool { return nonce == login.Nonce }})
	failsAs(t, err, ErrIDTokenInvalid, "signature")
}

// Tokens that an unknown key signed cannot make us ask for keys without end,
// nor keep anybody out whose key we know.
func TestKeyReadsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.signIn(); err != nil {
		t.Fatal(err)
	}
	unknown := func(want error, text string) {
		t.Helper()
		w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Signature = authelia.SignedByUnknownKey })
		_, err := w.signIn()
		failsAs(t, err, want, text)
		w.op.Behave()
	}
	for range keyReads - 1 {
		unknown(ErrIDTokenInvalid, "signature")
	}
	for range 5 {
		unknown(ErrProviderUnavailable, "10 times in the last minute")
	}
	w.calls(authelia.EndpointJWKS, keyReads)
	if _, err := w.signIn(); err != nil {
		t.Errorf("with a known key: %v", err)
	}
	w.Advance(time.Minute - time.Second)
	unknown(ErrProviderUnavailable, "")
	w.Advance(time.Second)
	w.op.RotateKeys()
	if _, err := w.signIn(); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	w.calls(authelia.EndpointJWKS, keyReads+1)
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
		"a page":            {authelia.Fault{Body: "<html>"}, ErrIDTokenInvalid},
		"no keys":           {authelia.Fault{Body: `{"keys":[]}`}, ErrIDTokenInvalid},
		"no such member":    {authelia.Fault{Body: `{}`}, ErrIDTokenInvalid},
		"a key of nonsense": {authelia.Fault{Body: `{"keys":[{"kty":"RSA","kid":"main-rs256","n":"!","e":"AQAB"}]}`}, ErrIDTokenInvalid},
		"a secret as a key": {authelia.Fault{Body: `{"keys":[{"kty":"oct","kid":"main-rs256","k":"c2VjcmV0"}]}`}, ErrIDTokenInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, row.fault) })
			_, err := w.signIn()
			failsAs(t, err, row.want, "")
			w.op.Behave()
			if _, err := w.signIn(); err != nil {
				t.Errorf("a failure was kept: %v", err)
			}
		})
	}
}

// Known keys outlive the place that they came from.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.signIn(); err != nil {
		t.Fatal(err)
	}
	w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{Status: 503}) })
	w.Advance(50 * time.Minute)
	if _, err := w.signIn(); err != nil {
		t.Error(err)
	}
	w.calls(authelia.EndpointJWKS, 1)
}

// Logins that wait for one reading of the keys do not end with the first of
// them, whose visitor went away; nor does what the metadata were read for.
func TestKeysOfAnEndedRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		keys := make(chan struct{})
		w.rp.config.Client.Transport.(*providerTransport).base = network(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/jwks.json" {
				select {
				case <-keys:
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			return w.op.Transport().RoundTrip(r)
		})
		first, cancel := context.WithCancel(t.Context())
		if _, err := w.rp.metadata(first); err != nil {
			t.Fatal(err)
		}
		login, query := w.begin()
		gone := make(chan error, 1)
		go func() {
			_, err := w.rp.Exchange(first, login, query.Get("code"))
			gone <- err
		}()
		synctest.Wait()
		var passed atomic.Int32
		for range 5 {
			login, query := w.begin()
			go func() {
				if _, err := w.rp.Exchange(t.Context(), login, query.Get("code")); err != nil {
					t.Errorf("of another: %v", err)
				}
				passed.Add(1)
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, ErrProviderUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("of the one who went: %v", err)
		}
		close(keys)
		synctest.Wait()
		if passed.Load() != 5 {
			t.Errorf("%d of 5 came through", passed.Load())
		}
		w.calls(authelia.EndpointJWKS, 1)
		w.op.RotateKeys() // and later
		if _, err := w.signIn(); err != nil {
			t.Error(err)
		}
	})
}
