// The way to the provider, and its metadata.

package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

const (
	skew     = time.Minute        // how much clocks may differ
	soon     = 7 * 24 * time.Hour // when a certificate is about to expire
	bodySize = 1 << 20            // of a response, in bytes
)

// metadata are the provider's metadata, as far as the doctor reads them.
type metadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Userinfo      string   `json:"userinfo_endpoint"`
	Keys          string   `json:"jwks_uri"`
	EndSession    string   `json:"end_session_endpoint"`
	Push          string   `json:"pushed_authorization_request_endpoint"`
	Revocation    string   `json:"revocation_endpoint"`
	Introspection string   `json:"introspection_endpoint"`
	PKCE          []string `json:"code_challenge_methods_supported"`
	TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IDTokenAlgs   []string `json:"id_token_signing_alg_values_supported"`
	UserinfoAlgs  []string `json:"userinfo_signing_alg_values_supported"`
}

// provider examines the provider of a site, and reports whether it answers.
func (e *examination) provider(ctx context.Context, s *site) bool {
	client, ok := e.way(ctx, s)
	if !ok {
		e.skipped("what Authelia accepts: it cannot be asked")
		return false
	}
	md, ok := e.metadata(ctx, s, client)
	if !ok {
		e.skipped("what Authelia accepts: its metadata cannot be used")
		return false
	}
	e.hosts(s, md)
	e.algorithms(s, md)
	e.keys(ctx, s, client, md)
	e.mismatch(s)
	e.checked("Authelia: name, connection, certificate, clock, metadata, keys")
	if e.authorization(ctx, s, client, md) && e.clientAuth(s, md) {
		if s.settings.ClientAuth == settings.ClientAuthKey {
			e.assertion(ctx, s, client)
		} else {
			e.tokenRequest(ctx, s, client, md)
		}
	}
	if md.EndSession == "" {
		e.logout(ctx, s, client)
	}
	e.checked("Authelia: client ID, redirect URI, scopes, authentication, logout")
	return true
}

// way examines name, connection and certificate.
func (e *examination) way(ctx context.Context, s *site) (*http.Client, bool) {
	setting, address := "issuer", s.settings.Issuer
	if s.settings.IssuerAddress != "" {
		setting, address = "issuer_address", s.settings.IssuerAddress
	}
	line, write := e.line(setting, address), "issuer "+address+"\nissuer_address http://authelia:9091"
	if setting == "issuer_address" {
		write = ""
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, false // the settings have been checked
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if net.ParseIP(u.Hostname()) == nil {
		if _, err := e.in.Lookup(ctx, u.Hostname()); err != nil {
			e.add("authelia_dns", Finding{Site: s.name, Seen: err.Error(), Expected: "an address of " + u.Hostname(), Line: line, Write: write})
			return nil, false
		}
	}
	connection, err := e.in.Dial(ctx, "tcp", hostPort(u))
	if err != nil {
		e.add("authelia_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "a connection to " + hostPort(u), Line: line, Write: write})
		return nil, false
	}
	defer connection.Close() //nolint:errcheck // nothing was written
	trusted, err := roots(s.settings)
	if err != nil {
		return nil, false // reported with the configuration
	}
	if u.Scheme == "https" && !e.certificate(ctx, s, connection, trusted) {
		return nil, false
	}
	client, err := flow.NewClient(flow.ClientConfig{Issuer: s.settings.Issuer, Address: s.settings.IssuerAddress, RootCAs: trusted})
	return client, err == nil
}

// certificate examines the provider's certificate.
func (e *examination) certificate(ctx context.Context, s *site, connection net.Conn, trusted *x509.CertPool) bool {
	issuer := url.URL{}
	if u, err := url.Parse(s.settings.Issuer); err == nil {
		issuer = *u
	}
	secured := tls.Client(connection, &tls.Config{ServerName: issuer.Hostname(), RootCAs: trusted, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		e.add("authelia_certificate", Finding{Site: s.name, Seen: err.Error(), Expected: "a certificate for " + issuer.Hostname() + " that Caddy trusts", Line: e.settingLine("tls_ca", ""), Write: "tls_ca /path/root.crt"})
		return false
	}
	if leaf := secured.ConnectionState().PeerCertificates[0]; time.Until(leaf.NotAfter) < soon {
		e.add("authelia_certificate_soon", Finding{Site: s.name, Seen: "the certificate ends at " + leaf.NotAfter.Format(time.DateTime), Expected: "more than 7 days"})
	}
	return true
}

// metadata reads and examines the provider's metadata.
func (e *examination) metadata(ctx context.Context, s *site, client *http.Client) (*metadata, bool) {
	at := strings.TrimSuffix(s.settings.Issuer, "/") + "/.well-known/openid-configuration"
	answer, body, err := get(ctx, client, at) //nolint:bodyclose // send closed it
	if err != nil {
		e.add("authelia_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "an answer of " + at, Line: e.line("issuer", s.settings.Issuer)})
		return nil, false
	}
	if difference, ok := clockDifference(answer); ok && difference.Abs() > skew {
		e.add("authelia_clock", Finding{Site: s.name, Seen: "Authelia's clock is " + offset(difference), Expected: "the same time"})
	}
	md := new(metadata)
	errJSON := json.Unmarshal(body, md)
	switch {
	case answer.StatusCode == http.StatusBadRequest:
		e.add("authelia_forwarded", Finding{Site: s.name, Seen: at + " answered 400", Expected: "200 with JSON", Line: e.line("issuer", s.settings.Issuer)})
		return nil, false
	case answer.StatusCode != http.StatusOK || errJSON != nil:
		e.add("authelia_metadata", Finding{Site: s.name, Seen: fmt.Sprintf("%s answered %d, %s", at, answer.StatusCode, answer.Header.Get("Content-Type")), Expected: "200 with JSON", Line: e.line("issuer", s.settings.Issuer)})
		return nil, false
	case md.Issuer != s.settings.Issuer:
		e.add("authelia_issuer", Finding{Site: s.name, Seen: "Authelia calls itself " + md.Issuer, Expected: s.settings.Issuer, Line: e.line("issuer", s.settings.Issuer), Write: "issuer " + md.Issuer})
		return nil, false
	}
	for name, endpoint := range map[string]string{"authorization_endpoint": md.Authorization, "token_endpoint": md.Token, "userinfo_endpoint": md.Userinfo, "jwks_uri": md.Keys} {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !flow.IsLoopback(u.Hostname())) {
			e.add("authelia_endpoints", Finding{Site: s.name, Seen: fmt.Sprintf("%s is %q", name, endpoint), Expected: "an https address"})
			return nil, false
		}
	}
	if !slices.Contains(md.PKCE, "S256") {
		e.add("authelia_pkce", Finding{Site: s.name, Seen: fmt.Sprintf("code_challenge_methods_supported is %q", md.PKCE), Expected: "S256"})
	}
	return md, true
}

// roots returns the certificate authorities of tls_ca, nil for the system's.
func roots(s *settings.Settings) (*x509.CertPool, error) {
	if s.TLSCA == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	content, err := pem(s.TLSCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s: %w", s.TLSCA, errNoCertificate)
	}
	return pool, nil
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
}

// get requests a page, and reads it.
func get(ctx context.Context, client *http.Client, at string) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, nil, fmt.Errorf("making the request: %w", err)
	}
	return send(client, r)
}

// send sends a request, and reads the response.
func send(client *http.Client, r *http.Request) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	answer, err := client.Do(r.WithContext(ctx))
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the query, which may hold a secret
		}
		return nil, nil, fmt.Errorf("%s %s://%s%s: %w", r.Method, r.URL.Scheme, r.URL.Host, r.URL.Path, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(answer.Body, bodySize))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the response of %s: %w", r.URL.Host, err)
	}
	return answer, body, nil
}

// clockDifference returns how far the clock of a server is ahead.
func clockDifference(answer *http.Response) (time.Duration, bool) {
	date, err := http.ParseTime(answer.Header.Get("Date"))
	return time.Until(date), err == nil
}

// offset says how far a clock is off.
func offset(ahead time.Duration) string {
	if ahead < 0 {
		return (-ahead).Round(time.Second).String() + " slow"
	}
	return ahead.Round(time.Second).String() + " fast"
}
