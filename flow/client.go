// The HTTP client for the provider.

package flow

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// clientTimeout bounds a request to the provider, with its response.
	// Authelia hashes the secret for every token request: 20 at once take seconds.
	clientTimeout = 30 * time.Second
	// answerLimit bounds the body of a response, in bytes.
	answerLimit = 1 << 20
	// pingAfter and pingTimeout bound how long a connection of HTTP/2 is kept on
	// which nothing arrives. All requests share it: if it died without a word, they
	// would fail until the kernel gives up on it, after a quarter of an hour.
	pingAfter, pingTimeout = 10 * time.Second, 5 * time.Second
)

// ClientConfig says how to reach a provider.
type ClientConfig struct {
	Issuer  string         // the issuer URL
	Address string         // scheme and host to dial instead of the issuer's; default the issuer's
	RootCAs *x509.CertPool // default the system's
}

// NewClient returns the HTTP client for one provider. It follows no redirects,
// keeps no cookies, times out after 30 s, and fails on bodies of more than
// 1 MiB. If cfg.Address is set, requests to the issuer's host go there, but
// with the public host name: Authelia derives its issuer from the request.
func NewClient(cfg ClientConfig) (*http.Client, error) {
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("parsing the issuer: %w", err)
	}
	provider := &providerTransport{base: newTransport(cfg.RootCAs), public: issuer}
	if cfg.Address != "" {
		if provider.address, err = url.Parse(cfg.Address); err != nil {
			return nil, fmt.Errorf("parsing the address: %w", err)
		}
		inside := newTransport(cfg.RootCAs)
		inside.TLSClientConfig.ServerName = issuer.Hostname()
		inside.Proxy = nil // an internal address needs no proxy
		provider.inside = inside
	}
	return &http.Client{
		Transport: provider, Timeout: clientTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: clientTimeout,
		IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// providerTransport sends requests to one provider. Endpoints on other hosts,
// which metadata may name, are dialed as they are.
type providerTransport struct {
	base    http.RoundTripper
	public  *url.URL
	address *url.URL          // nil to dial public
	inside  http.RoundTripper // to address
}

func (t *providerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.base
	if t.address != nil && r.URL.Host == t.public.Host {
		base = t.inside
		r = r.Clone(r.Context())
		r.Host = t.public.Host
		r.Header.Set("X-Forwarded-Host", t.public.Host)
		r.Header.Set("X-Forwarded-Proto", t.public.Scheme)
		r.URL.Scheme, r.URL.Host = t.address.Scheme, t.address.Host
	}
	answer, err := base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &limitedBody{ReadCloser: answer.Body, left: answerLimit}
	return answer, nil
}

var errAnswerTooLarge = errors.New("the response is larger than 1 MiB")

// limitedBody fails if a body is too large: a truncated one might still parse.
type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errAnswerTooLarge
	}
	return n, err
}
