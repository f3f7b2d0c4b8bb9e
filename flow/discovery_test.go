package flow

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.calls(authelia.EndpointDiscovery, 0) // Authelia usually sits behind the same Caddy, which is only starting
	got, err := w.rp.metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const api = testIssuer + "/api/oidc/"
	if got.authorizationEndpoint != api+"authorization" || got.tokenEndpoint != api+"token" || got.userinfoEndpoint != api+"userinfo" ||
		got.endSessionEndpoint != "" || got.revocationEndpoint != api+"revocation" || !got.issParameterSupported {
		t.Errorf("got %+v", got)
	}
	request := w.last(authelia.EndpointDiscovery)
	if request.Method != http.MethodGet || request.URL.String() != "/.well-known/openid-configuration" || request.Host != "auth.example.test" {
		t.Errorf("got %+v", request)
	}
	for range 10 {
		if again, err := w.rp.metadata(t.Context()); err != nil || again != got {
			t.Fatalf("got %+v, %v", again, err)
		}
	}
	w.calls(authelia.EndpointDiscovery, 1)
	w.calls(authelia.EndpointJWKS, 0)
}

// hold lets discovery wait until the returned function is called.
func (w *world) hold() (release func()) {
	gate := make(chan struct{})
	w.rp.config.Client.Transport.(*providerTransport).base = network(func(r *http.Request) (*http.Response, error) {
		select {
		case <-gate:
			return w.op.Transport().RoundTrip(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
	return func() { close(gate) }
}

// A hundred visitors at once after a restart are one question.
func TestDiscoveryIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := w.hold()
		var wg sync.WaitGroup
		results := make([]*metadata, 100)
		for i := range results {
			wg.Go(func() {
				var err error
				if results[i], err = w.rp.metadata(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		for _, got := range results {
			if got == nil || got != results[0] {
				t.Fatalf("got %p and %p", got, results[0])
			}
		}
		w.calls(authelia.EndpointDiscovery, 1)
	})
}

// Who waits may give up, even who came first, without ending it for the others.
func TestDiscoveryOutlivesItsFirstCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := w.hold()
		ctx, cancel := context.WithCancel(t.Context())
		gone, stayed := make(chan error, 1), make(chan error, 1)
		go func() { _, err := w.rp.metadata(ctx); gone <- err }()
		synctest.Wait()
		go func() { _, err := w.rp.metadata(t.Context()); stayed <- err }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, ErrProviderUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("who went got %v", err)
		}
		release()
		if err := <-stayed; err != nil {
			t.Errorf("who stayed got %v", err)
		}
		w.calls(authelia.EndpointDiscovery, 1)
	})
}

// A failure is not kept, but the provider is not asked by every visitor either.
func TestFailedDiscovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.op.Unavailable()
	for range 50 {
		_, err := w.rp.metadata(t.Context())
		failsAs(t, err, ErrProviderUnavailable, "answered 503")
	}
	w.calls(authelia.EndpointDiscovery, 1)
	w.Advance(discoveryPause - time.Millisecond)
	_, err := w.rp.metadata(t.Context())
	failsAs(t, err, ErrProviderUnavailable, "answered 503")
	w.calls(authelia.EndpointDiscovery, 1)
	w.Advance(discoveryPause/2 + time.Millisecond) // the most that chance adds
	_, err = w.rp.metadata(t.Context())
	failsAs(t, err, ErrProviderUnavailable, "answered 503")
	w.calls(authelia.EndpointDiscovery, 2)
	w.op.Up()
	_, err = w.rp.metadata(t.Context())
	failsAs(t, err, ErrProviderUnavailable, "")
	w.Advance(2 * discoveryPause)
	if _, err := w.rp.metadata(t.Context()); err != nil {
		t.Errorf("it did not heal: %v", err)
	}
	w.calls(authelia.EndpointDiscovery, 3)
}

func TestJitter(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 100 {
		d := Jitter(time.Second)
		if d < 0 || d >= time.Second {
			t.Fatalf("got %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d different values of 100", len(seen))
	}
}

// After an hour the metadata are read again beside the requests, which do not
// wait, and an old Provider is better than none.
func TestMetadataAreRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		provider := func() *metadata {
			t.Helper()
			got, err := w.rp.metadata(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		old := provider()
		w.Advance(discoveryAge - time.Second)
		provider()
		w.calls(authelia.EndpointDiscovery, 1)

		w.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Metadata = authelia.Set("end_session_endpoint", testIssuer+"/logout")
			m.Fail(authelia.EndpointDiscovery, authelia.Fault{Hang: true})
		})
		w.Advance(time.Second)
		for range 20 {
			if provider() != old { // at once, though the provider hangs
				t.Fatal("another one")
			}
			synctest.Wait()
		}
		w.calls(authelia.EndpointDiscovery, 2)

		time.Sleep(discoveryTimeout) // of the bubble: the attempt ends
		synctest.Wait()
		for range 20 {
			if provider() != old {
				t.Fatal("the failure took the old one away")
			}
			synctest.Wait()
		}
		w.calls(authelia.EndpointDiscovery, 2) // the pause after a failure holds here too

		w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Faults = nil })
		w.Advance(2 * discoveryPause)
		if provider() != old {
			t.Fatal("it waited")
		}
		synctest.Wait()
		if got := provider(); got == old || got.endSessionEndpoint != testIssuer+"/logout" {
			t.Errorf("it was not replaced: %+v", got)
		}
		w.calls(authelia.EndpointDiscovery, 3)
		w.Advance(discoveryAge - time.Second)
		provider()
		synctest.Wait()
		w.calls(authelia.EndpointDiscovery, 3)
	})
}

// OpenID Connect RP-Initiated Logout 1.0 section 2.
func TestEndSessionURL(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		endpoint       any
		idToken, state string
		want           string
	}{
		"Authelia has none":  {nil, "i", "s", ""},
		"all":                {testIssuer + "/logout", "i.d.t", "s", testIssuer + "/logout?client_id=romm&id_token_hint=i.d.t&post_logout_redirect_uri=https%3A%2F%2Fromm.example.test%2F&state=s"},
		"no hint, no state":  {testIssuer + "/logout", "", "", testIssuer + "/logout?client_id=romm&post_logout_redirect_uri=https%3A%2F%2Fromm.example.test%2F"},
		"a query of its own": {testIssuer + "/logout?a=b", "", "", testIssuer + "/logout?a=b&client_id=romm&post_logout_redirect_uri=https%3A%2F%2Fromm.example.test%2F"},
		"http":               {"http://auth.example.test/logout", "i", "s", ""},
		"javascript":         {"javascript:alert(1)", "i", "s", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Metadata = edits(authelia.Set("end_session_endpoint", row.endpoint), authelia.Set("revocation_endpoint", "http://auth.example.test/r"))
			})
			got, ok := w.rp.EndSessionURL(t.Context(), row.idToken, "https://romm.example.test/", row.state)
			if got != row.want || ok != (row.want != "") {
				t.Errorf("got %q, %v", got, ok)
			}
			if provider, err := w.rp.metadata(t.Context()); err != nil || provider.revocationEndpoint != "" {
				t.Errorf("got %+v, %v", provider, err)
			}
		})
	}
	w := newWorld(t)
	w.op.Down()
	if got, ok := w.rp.EndSessionURL(t.Context(), "", "", ""); ok {
		t.Errorf("without a provider: got %q", got)
	}
}
