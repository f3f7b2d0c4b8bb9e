// Tests of the HTTP client.

package flow

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Authelia derives its issuer from the request: over an internal address, it
// answers correctly only if asked as the public host.
func TestIssuerAddress(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	inside := httptest.NewServer(h.op)
	t.Cleanup(inside.Close)
	client, err := NewClient(ClientConfig{Issuer: testIssuer, Address: inside.URL})
	if err != nil {
		t.Fatal(err)
	}
	h.rp.config.Client = client
	if _, err := h.signIn(); err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{authelia.EndpointDiscovery, authelia.EndpointJWKS, authelia.EndpointToken, authelia.EndpointUserinfo} {
		got := h.last(endpoint)
		if got.Host != "auth.example.test" || got.Header.Get("X-Forwarded-Host") != "auth.example.test" ||
			got.Header.Get("X-Forwarded-Proto") != "https" || got.Header.Get("X-Forwarded-For") != "" {
			t.Errorf("%s: request to %s with %v, want the public host and its forwarded headers", endpoint, got.Host, got.Header)
		}
	}
}

// Only requests to the issuer's host go to the address, with the issuer's name
// in the TLS handshake and the forwarded headers.
func TestIssuerAddressIsForItsHost(t *testing.T) {
	t.Parallel()
	var got *http.Request
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate()) // for example.com and 127.0.0.1
	client, err := NewClient(ClientConfig{Issuer: "https://example.com", Address: server.URL, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, ask, host, server, forwarded string }{
		{"issuer's host", "https://example.com/a?b", "example.com", "example.com", "example.com"},
		{"another host", server.URL + "/a?b", strings.TrimPrefix(server.URL, "https://"), "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, row.ask, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if got.Host != row.host || got.TLS.ServerName != row.server || got.Header.Get("X-Forwarded-Host") != row.forwarded || got.RequestURI != "/a?b" {
				t.Errorf("request %s for %s, certificate of %q, header %v, want %+v", got.RequestURI, got.Host, got.TLS.ServerName, got.Header, row)
			}
			if request.Host != strings.Split(row.ask, "/")[2] || len(request.Header) > 0 {
				t.Errorf("the caller's request is now for %s with %v, want it unchanged", request.Host, request.Header)
			}
		})
	}
}

func TestNewClient(t *testing.T) {
	t.Parallel()
	client, err := NewClient(ClientConfig{Issuer: testIssuer, Address: "http://authelia:9091"})
	if err != nil {
		t.Fatal(err)
	}
	transport := client.Transport.(*providerTransport)
	base, inside := transport.base.(*http.Transport), transport.inside.(*http.Transport)
	if client.Timeout != 30*time.Second || client.Jar != nil {
		t.Errorf("timeout %v, cookie jar %v, want 30s and none", client.Timeout, client.Jar)
	}
	if base.Proxy == nil || inside.Proxy != nil {
		t.Error("the transports use the wrong proxy, want one for external addresses only")
	}
	for _, one := range []*http.Transport{base, inside} {
		if one.TLSClientConfig.MinVersion != tls.VersionTLS12 || one.TLSClientConfig.InsecureSkipVerify ||
			one.TLSHandshakeTimeout == 0 || one.ResponseHeaderTimeout == 0 || one.MaxResponseHeaderBytes == 0 {
			t.Errorf("transport %+v, want TLS 1.2 and limits", one)
		}
	}
	for name, cfg := range map[string]ClientConfig{
		"issuer":  {Issuer: "https://auth.example.test:port"},
		"address": {Issuer: testIssuer, Address: "http://authelia:port"},
	} {
		if _, err := NewClient(cfg); err == nil || !strings.Contains(err.Error(), "parsing the "+name) {
			t.Errorf("%s: NewClient = %v, want an error about parsing it", name, err)
		}
	}
}

func TestAnswerLimit(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		size int
		want error
	}{
		"1 MiB":     {1 << 20, nil},
		"1 MiB + 1": {1<<20 + 1, errAnswerTooLarge},
		"5 MiB":     {5 << 20, errAnswerTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, ClientConfig{Issuer: testIssuer}, network(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(make([]byte, row.size)))}, nil
			}))
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, testIssuer, nil)
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			if _, err = io.ReadAll(answer.Body); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

// A redirect from the provider is not followed: it could send the secret, a code
// or a token elsewhere.
func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for endpoint, want := range map[string]error{
			authelia.EndpointDiscovery: ErrProviderUnavailable, authelia.EndpointJWKS: ErrIDTokenInvalid,
			authelia.EndpointToken: nil, authelia.EndpointUserinfo: ErrUserinfoInvalid,
		} {
			t.Run(http.StatusText(status)+" from "+endpoint, func(t *testing.T) {
				t.Parallel()
				h := newHarness(t)
				h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport).base = network(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host != "auth.example.test" || r.URL.Path == "/elsewhere" {
						t.Errorf("a request went to %s, want the redirect not followed", r.URL)
					}
					return h.op.Transport().RoundTrip(r)
				})
				h.op.Misbehave(func(m *authelia.Misbehaviour) {
					m.Fail(endpoint, authelia.Fault{Status: status, Header: http.Header{"Location": {testIssuer + "/elsewhere"}}})
				})
				var err error
				if endpoint == authelia.EndpointDiscovery {
					_, err = h.rp.metadata(t.Context())
				} else {
					_, err = h.signIn()
				}
				if refused, ok := errors.AsType[*TokenError](err); endpoint == authelia.EndpointToken && (!ok || refused.Status != status) {
					t.Errorf("got %v, want a TokenError of %d", err, status)
				}
				if want != nil {
					failsAs(t, err, want, "it answered 30")
				}
				h.calls(endpoint, 1)
				h.calls(authelia.EndpointOther, 0)
			})
		}
	}
}

// The sign-in ends in time, whichever endpoint hangs.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	for endpoint, after := range map[string]time.Duration{
		authelia.EndpointDiscovery: 10 * time.Second, authelia.EndpointJWKS: 30 * time.Second,
		authelia.EndpointToken: 30 * time.Second, authelia.EndpointUserinfo: 30 * time.Second,
	} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(endpoint, authelia.Fault{Hang: true}) })
				start := time.Now()
				var err error
				if endpoint == authelia.EndpointDiscovery {
					_, err = h.rp.metadata(t.Context())
				} else {
					_, err = h.signIn()
				}
				failsAs(t, err, ErrProviderUnavailable, "")
				if took := time.Since(start); took != after {
					t.Errorf("it took %v, want %v", took, after)
				}
				h.calls(endpoint, 1)
			})
		})
	}
}

// The time of the provider decides whether a step of the machine's clock is right.
func TestDatesAreCompared(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Time{date.Format(http.TimeFormat): date, "": {}, "noon": {}} {
		var told []time.Time
		rp := New(Config{
			Issuer: testIssuer, Compare: func(at time.Time) { told = append(told, at) },
			Client: &http.Client{Transport: network(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"Date": {header}}, Body: http.NoBody, Request: r}, nil
			})},
		})
		_ = rp.Discover(t.Context())
		if len(told) != 1 || !told[0].Equal(want) {
			t.Errorf("Date %q: told %v, want %s", header, told, want)
		}
	}
}
