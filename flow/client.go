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
	// clientTimeout bounds a whole exchange with the provider. Authelia derives
	// a key for every token request: 20 at once take seconds.
	clientTimeout = 30 * time.Second
	// AnswerLimit bounds the body of an answer, in bytes.
	answerLimit = 1 << 20
)

// ClientConfig says how to reach a provider.
type ClientConfig struct {
	Issuer  string         // the issuer URL
	Address string         // scheme and host to dial in place of the issuer's; empty: the issuer's own
	RootCAs *x509.CertPool // nil: the system's
}

// NewClient returns the HTTP client for one provider: it follows no redirect,
// keeps no cookie, ends after 30 s, and refuses an answer of more than 1 MiB.
// Where cfg.Address is set, requests to the issuer's host go there, but speak
// as the public host: Authelia derives its issuer from the request.
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
		inside.Proxy = nil // an address inside the network is no matter of a proxy's
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
	}
}

// providerTransport speaks with one provider. Its metadata may name other
// hosts, which are reached in their own name.
type providerTransport struct {
	base    http.RoundTripper
	public  *url.URL
	address *url.URL          // nil: the public one
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
		return nil, err //nolint:wrapcheck // http.Client wraps it
	}
	answer.Body = &limitedBody{ReadCloser: answer.Body, left: answerLimit}
	return answer, nil
}

var errAnswerTooLarge = errors.New("the answer is larger than 1 MiB")

// limitedBody fails where a body is too large: a truncated one might still parse.
type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errAnswerTooLarge
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}
