// Tests of discovery.

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
	h := newHarness(t)
	h.calls(authelia.EndpointDiscovery, 0) // Authelia is usually behind the same Caddy, which is still starting
	got, err := h.rp.metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const api = testIssuer + "/api/oidc/"
	if got.authorizationEndpoint != api+"authorization" || got.tokenEndpoint != api+"token" || got.userinfoEndpoint != api+"userinfo" ||
		got.endSessionEndpoint != "" || got.revocationEndpoint != api+"revocation" || !got.issParameterSupported {
		t.Errorf("metadata = %+v, want those of Authelia", got)
	}
	request := h.last(authelia.EndpointDiscovery)
	if request.Method != http.MethodGet || request.URL.String() != "/.well-known/openid-configuration" || request.Host != "auth.example.test" {
		t.Errorf("request %+v, want GET /.well-known/openid-configuration at the issuer", request)
	}
	for range 10 {
		if again, err := h.rp.metadata(t.Context()); err != nil || again != got {
			t.Fatalf("metadata = %+v, %v, want the known ones", again, err)
		}
	}
	h.calls(authelia.EndpointDiscovery, 1)
	h.calls(authelia.EndpointJWKS, 0)
}

// hold blocks discovery until release is called.
func (h *harness) hold() (release func()) {
	gate := make(chan struct{})
	h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport).base = network(func(r *http.Request) (*http.Response, error) {
		select {
		case <-gate:
			return h.op.Transport().RoundTrip(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
	return func() { close(gate) }
}

// A hundred users at once after a restart share one request.
func TestDiscoveryIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		release := h.hold()
		var wg sync.WaitGroup
		results := make([]*metadata, 100)
		for i := range results {
			wg.Go(func() {
				var err error
				if results[i], err = h.rp.metadata(t.Context()); err != nil {
					t.Errorf("metadata: %v, want no error", err)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		for _, got := range results {
			if got == nil || got != results[0] {
				t.Fatalf("metadata at %p and %p, want one value for all", got, results[0])
			}
		}
		h.calls(authelia.EndpointDiscovery, 1)
	})
}

// Any caller may give up, even the first, without ending discovery for the others.
func TestDiscoveryOutlivesItsFirstCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		release := h.hold()
		ctx, cancel := context.WithCancel(t.Context())
		gone, stayed := make(chan error, 1), make(chan error, 1)
		go func() { _, err := h.rp.metadata(ctx); gone <- err }()
		synctest.Wait()
		go func() { _, err := h.rp.metadata(t.Context()); stayed <- err }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, ErrProviderUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that gave up got %v, want its context's end", err)
		}
		release()
		if err := <-stayed; err != nil {
			t.Errorf("the caller that waited got %v, want no error", err)
		}
		h.calls(authelia.EndpointDiscovery, 1)
	})
}

// A failure is kept for about a second, so that not every user asks the provider.
func TestFailedDiscovery(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.op.Unavailable()
	for range 50 {
		_, err := h.rp.metadata(t.Context())
		failsAs(t, err, ErrProviderUnavailable, "answered 503")
	}
	h.calls(authelia.EndpointDiscovery, 1)
	h.Advance(discoveryPause - time.Millisecond)
	_, err := h.rp.metadata(t.Context())
	failsAs(t, err, ErrProviderUnavailable, "answered 503")
	h.calls(authelia.EndpointDiscovery, 1)
	h.Advance(discoveryPause/2 + time.Millisecond) // the most that Jitter adds
	_, err = h.rp.metadata(t.Context())
	failsAs(t, err, ErrProviderUnavailable, "answered 503")
	h.calls(authelia.EndpointDiscovery, 2)
	h.op.Up()
	_, err = h.rp.metadata(t.Context())
	failsAs(t, err, ErrProviderUnavailable, "")
	h.Advance(2 * discoveryPause)
	if _, err := h.rp.metadata(t.Context()); err != nil {
		t.Errorf("metadata after the provider is back: %v, want no error", err)
	}
	h.calls(authelia.EndpointDiscovery, 3)
}

func TestJitter(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 100 {
		d := Jitter(time.Second)
		if d < 0 || d >= time.Second {
			t.Fatalf("Jitter = %v, want 0 to 1s", d)
		}
		seen[d] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d different values of 100, want 90 or more", len(seen))
	}
}

// After an hour the metadata are read again in the background. Requests do not
// wait, and use the old metadata if that fails.
func TestMetadataAreRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		provider := func() *metadata {
			t.Helper()
			got, err := h.rp.metadata(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		old := provider()
		h.Advance(discoveryAge - time.Second)
		provider()
		h.calls(authelia.EndpointDiscovery, 1)

		h.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Metadata = authelia.Set("end_session_endpoint", testIssuer+"/logout")
			m.Fail(authelia.EndpointDiscovery, authelia.Fault{Hang: true})
		})
		h.Advance(time.Second)
		for range 20 {
			if provider() != old { // at once, although the provider hangs
				t.Fatal("got other metadata while the provider hangs, want the old ones")
			}
			synctest.Wait()
		}
		h.calls(authelia.EndpointDiscovery, 2)

		time.Sleep(discoveryTimeout) // in the bubble; the attempt ends
		synctest.Wait()
		for range 20 {
			if provider() != old {
				t.Fatal("got other metadata after a failed attempt, want the old ones")
			}
			synctest.Wait()
		}
		h.calls(authelia.EndpointDiscovery, 2) // the pause after a failure applies

		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Faults = nil })
		h.Advance(2 * discoveryPause)
		if provider() != old {
			t.Fatal("got new metadata at once, want the old ones without waiting")
		}
		synctest.Wait()
		if got := provider(); got == old || got.endSessionEndpoint != testIssuer+"/logout" {
			t.Errorf("metadata = %+v, want new ones with an end-session endpoint", got)
		}
		h.calls(authelia.EndpointDiscovery, 3)
		h.Advance(discoveryAge - time.Second)
		provider()
		synctest.Wait()
		h.calls(authelia.EndpointDiscovery, 3)
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
		"no endpoint, as with Authelia": {nil, "i", "s", ""},
		"hint and state":                {testIssuer + "/logout", "i.d.t", "s", testIssuer + "/logout?client_id=romm&id_token_hint=i.d.t&post_logout_redirect_uri=https%3A%2F%2Fromm.example.test%2F&state=s"},
		"no hint and no state":          {testIssuer + "/logout", "", "", testIssuer + "/logout?client_id=romm&post_logout_redirect_uri=https%3A%2F%2Fromm.example.test%2F"},
		"endpoint with a query":         {testIssuer + "/logout?a=b", "", "", testIssuer + "/logout?a=b&client_id=romm&post_logout_redirect_uri=https%3A%2F%2Fromm.example.test%2F"},
		"http":                          {"http://auth.example.test/logout", "i", "s", ""},
		"javascript":                    {"javascript:alert(1)", "i", "s", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Metadata = edits(authelia.Set("end_session_endpoint", row.endpoint), authelia.Set("revocation_endpoint", "http://auth.example.test/r"))
			})
			got, ok := h.rp.EndSessionURL(t.Context(), row.idToken, "https://romm.example.test/", row.state)
			if got != row.want || ok != (row.want != "") {
				t.Errorf("EndSessionURL = %q, %v, want %q", got, ok, row.want)
			}
			if provider, err := h.rp.metadata(t.Context()); err != nil || provider.revocationEndpoint != "" {
				t.Errorf("metadata = %+v, %v, want no revocation endpoint", provider, err)
			}
		})
	}
	h := newHarness(t)
	h.op.Down()
	if got, ok := h.rp.EndSessionURL(t.Context(), "", "", ""); ok {
		t.Errorf("EndSessionURL without a provider = %q, want none", got)
	}
}
