package flow

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// discoveryTimeout bounds one attempt to read the provider's metadata.
	discoveryTimeout = 10 * time.Second
	// discoveryPause is the least time between two failed attempts; up to half of it is added by chance.
	discoveryPause = time.Second
	// discoveryAge is how old metadata may be before they are read again, beside the request.
	discoveryAge = time.Hour
)

// Provider is what the provider's metadata say (OpenID Connect Discovery 1.0
// section 3, RFC 8414, RFC 9207).
type Provider struct {
	AuthorizationEndpoint string
	TokenEndpoint         string
	UserinfoEndpoint      string
	EndSessionEndpoint    string // empty: it has none, as Authelia
	RevocationEndpoint    string
	IntrospectionEndpoint string
	IssParameterSupported bool // authorization responses carry iss (RFC 9207 section 3)

	issuer string
	keys   oidc.KeySet // what ID tokens, and userinfo if signed, verify with

	// The same keys for logout tokens and for clients' access tokens, which
	// anybody may send: those of strangers must not use up the reads that
	// sign-ins need.
	logoutKeys, bearerKeys oidc.KeySet

	revocationAuth []string // the methods of the revocation endpoint; empty: client_secret_basic
}

// discovery is one attempt, shared by all who wait for it.
type discovery struct {
	done     chan struct{}
	provider *Provider
	err      error
}

// Provider returns the provider's metadata. They are read at first need and
// kept; a failure is not, but the provider is asked at most once in a second
// or so. Errors match ErrProviderUnavailable.
func (rp *RelyingParty) Provider(ctx context.Context) (*Provider, error) {
	rp.mu.Lock()
	now := rp.config.Now()
	known, flight := rp.provider, rp.flight
	switch {
	case known != nil && now.Sub(rp.loaded) < discoveryAge, known != nil && now.Before(rp.nextTry), known != nil && flight != nil:
		rp.mu.Unlock()
		return known, nil
	case known == nil && flight == nil && now.Before(rp.nextTry):
		defer rp.mu.Unlock()
		return nil, rp.failed
	case flight == nil:
		flight = &discovery{done: make(chan struct{})}
		rp.flight = flight
		go rp.discover(context.WithoutCancel(ctx), flight)
	}
	rp.mu.Unlock()
	if known != nil {
		return known, nil
	}
	select {
	case <-flight.done:
		return flight.provider, flight.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: waiting for its metadata: %w", ErrProviderUnavailable, ctx.Err())
	}
}

// discover runs flight. It ends by itself after discoveryTimeout.
func (rp *RelyingParty) discover(ctx context.Context, flight *discovery) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	flight.provider, flight.err = rp.readMetadata(ctx)
	rp.mu.Lock()
	defer rp.mu.Unlock()
	rp.flight = nil
	if flight.err == nil {
		rp.provider, rp.loaded, rp.failed, rp.nextTry = flight.provider, rp.config.Now(), nil, time.Time{}
	} else {
		rp.failed, rp.nextTry = flight.err, rp.config.Now().Add(discoveryPause+Jitter(discoveryPause/2))
	}
	close(flight.done)
}

// answersFor is how long metadata that were just read say that the provider answers.
const answersFor = 10 * time.Second

// Answers reports whether the provider answers now, so that a browser that is
// sent there meets no error: its metadata are read anew, unless they were in
// the last 10 seconds, by one attempt for all who ask. It waits until ctx ends.
func (rp *RelyingParty) Answers(ctx context.Context) bool {
	rp.mu.Lock()
	now, flight := rp.config.Now(), rp.flight
	if flight == nil {
		recent := rp.provider != nil && now.Sub(rp.loaded) < answersFor
		if recent || now.Before(rp.nextTry) {
			rp.mu.Unlock()
			return recent
		}
		flight = &discovery{done: make(chan struct{})}
		rp.flight = flight
		go rp.discover(context.WithoutCancel(ctx), flight)
	}
	rp.mu.Unlock()
	select {
	case <-flight.done:
		return flight.err == nil
	case <-ctx.Done():
		return false
	}
}

// Loaded returns when the metadata that Provider keeps were read, zero if there
// are none, and why the last attempt to read them failed, nil if it did not.
func (rp *RelyingParty) Loaded() (time.Time, error) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	return rp.loaded, rp.failed
}

// Jitter returns a random duration below limit, so that many who failed
// together do not try again together.
func Jitter(limit time.Duration) time.Duration {
	var random [8]byte
	_, _ = rand.Read(random[:])                                              // never fails (crypto/rand)
	return time.Duration(binary.BigEndian.Uint64(random[:]) % uint64(limit)) //nolint:gosec // limit is positive
}

func (rp *RelyingParty) readMetadata(ctx context.Context) (*Provider, error) {
	discovered, err := oidc.NewProvider(oidc.ClientContext(ctx, statusClient(rp.config.Client)), rp.config.Issuer)
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok && mismatch.Discovered != "" {
		return nil, fmt.Errorf("%w: it calls itself otherwise: write \"issuer %s\": %w", ErrProviderUnavailable, printable(mismatch.Discovered, 300), err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading its metadata: %w", ErrProviderUnavailable, err)
	}
	var metadata struct {
		Keys       string   `json:"jwks_uri"`
		EndSession string   `json:"end_session_endpoint"`
		Revocation string   `json:"revocation_endpoint"`
		RevokeAuth []string `json:"revocation_endpoint_auth_methods_supported"`
		Introspect string   `json:"introspection_endpoint"`
		Iss        bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := discovered.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("%w: reading its metadata: %w", ErrProviderUnavailable, err)
	}
	p := &Provider{
		AuthorizationEndpoint: discovered.Endpoint().AuthURL, TokenEndpoint: discovered.Endpoint().TokenURL,
		UserinfoEndpoint: discovered.UserInfoEndpoint(), EndSessionEndpoint: metadata.EndSession,
		RevocationEndpoint: metadata.Revocation, IntrospectionEndpoint: metadata.Introspect, IssParameterSupported: metadata.Iss,
		issuer: rp.config.Issuer, keys: newKeySet(rp.config.Client, metadata.Keys, rp.config.Now), //nolint:contextcheck // the keys outlive who asked first
		logoutKeys:     newKeySet(rp.config.Client, metadata.Keys, rp.config.Now), //nolint:contextcheck // as above
		bearerKeys:     newKeySet(rp.config.Client, metadata.Keys, rp.config.Now), //nolint:contextcheck // as above
		revocationAuth: metadata.RevokeAuth,
	}
	for name, endpoint := range map[string]string{
		"authorization_endpoint": p.AuthorizationEndpoint, "token_endpoint": p.TokenEndpoint, "userinfo_endpoint": p.UserinfoEndpoint,
		"jwks_uri": metadata.Keys,
	} {
		if err := checkEndpoint(endpoint); err != nil {
			return nil, fmt.Errorf("%w: its metadata: %s: %w", ErrProviderUnavailable, name, err)
		}
	}
	for _, optional := range []*string{&p.EndSessionEndpoint, &p.RevocationEndpoint, &p.IntrospectionEndpoint} {
		if checkEndpoint(*optional) != nil {
			*optional = ""
		}
	}
	return p, nil
}

// checkEndpoint refuses what secrets must not be sent to, nor keys be read
// from: anything but https, or http on this machine.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("it is no absolute URL")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())) {
		return errors.New("it is not https")
	}
	return nil
}

// IsLoopback reports whether host can only be this machine (RFC 6761 section 6.3).
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// EndSessionURL returns where to send a browser to be signed out at the
// provider (OpenID Connect RP-Initiated Logout 1.0 section 2), and false if
// the provider has no such endpoint. idToken and state may be empty.
func (rp *RelyingParty) EndSessionURL(ctx context.Context, idToken, returnTo, state string) (string, bool) {
	provider, err := rp.Provider(ctx)
	if err != nil || provider.EndSessionEndpoint == "" {
		return "", false
	}
	u, err := url.Parse(provider.EndSessionEndpoint)
	if err != nil {
		return "", false
	}
	query := u.Query()
	query.Set("client_id", rp.config.ClientID)
	query.Set("post_logout_redirect_uri", returnTo)
	if idToken != "" {
		query.Set("id_token_hint", idToken)
	}
	if state != "" {
		query.Set("state", state)
	}
	u.RawQuery = query.Encode()
	return u.String(), true
}
