package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// grant is what an access token was given for.
type grant struct {
	subject string
	expires time.Time // zero: the provider does not say
}

// Bearer returns whom an access token that a client brought speaks for, as
// userinfo says it now and by the same rules as Exchange, and when the token
// ends, zero if the provider does not say. A token for somebody else than this
// client is refused, whoever signed it: what another service was given would
// open this one (GHSA-wcvh-g65p-v576). Errors match ErrBearerInvalid, or are
// those of Recheck.
func (rp *RelyingParty) Bearer(ctx context.Context, raw string) (*Identity, time.Time, error) {
	provider, err := rp.Provider(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	check := rp.introspect
	if header := jwtHeader(raw); header != nil {
		check = rp.verifyAccessToken
	}
	granted, err := check(ctx, provider, raw)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !isSubject(granted.subject) {
		return nil, time.Time{}, fmt.Errorf("%w: sub is missing or no identifier", ErrBearerInvalid)
	}
	identity, err := rp.Recheck(ctx, Tokens{Access: raw}, Identity{Issuer: rp.config.Issuer, Subject: granted.subject})
	return identity, granted.expires, err
}

// verifyAccessToken checks an access token that is a JWT (RFC 9068 section 4).
func (rp *RelyingParty) verifyAccessToken(ctx context.Context, provider *Provider, raw string) (*grant, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", ErrBearerInvalid, reason) }
	var header struct {
		Type string `json:"typ"`
	}
	// An ID token is signed by the same keys for the same audience, and is no key to anything.
	if json.Unmarshal(jwtHeader(raw), &header) != nil ||
		!strings.EqualFold(header.Type, "at+jwt") && !strings.EqualFold(header.Type, "application/at+jwt") {
		return nil, invalid("typ is not at+jwt")
	}
	// iss, aud, exp, nbf, signature and algorithm
	token, err := provider.verify(ctx, provider.bearerKeys, raw, &oidc.Config{ClientID: rp.config.ClientID, Now: rp.config.Now})
	switch {
	case errors.Is(err, ErrProviderUnavailable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrBearerInvalid, err)
	}
	var claims struct {
		ClientID string `json:"client_id"`
	}
	switch {
	case token.Claims(&claims) != nil || claims.ClientID == "": // section 2.2
		return nil, invalid("client_id is missing")
	case token.IssuedAt.Unix() <= 0 || token.IssuedAt.After(rp.config.Now().Add(idTokenLeeway)): // section 2.2
		return nil, invalid("iat is missing or to come")
	}
	return &grant{subject: token.Subject, expires: token.Expiry}, nil
}

// introspect asks the provider about a token (RFC 7662 section 2). Authelia
// answers any client about any token: it is ours if it was given to us, or
// for us.
func (rp *RelyingParty) introspect(ctx context.Context, provider *Provider, raw string) (*grant, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", ErrBearerInvalid, reason) }
	if provider.IntrospectionEndpoint == "" {
		return nil, invalid("it is no JWT, and the provider has no introspection endpoint")
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, provider.IntrospectionEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	// RFC 6749 section 2.3.1. Authelia's clients authenticate so here, however they do at the token endpoint.
	request.SetBasicAuth(url.QueryEscape(rp.config.ClientID), url.QueryEscape(rp.config.ClientSecret))
	answer, err := statusClient(rp.config.Client).Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: asking its introspection endpoint: %w", ErrProviderUnavailable, err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: reading its introspection: %w", ErrProviderUnavailable, err)
	}
	var said struct {
		Active   bool     `json:"active"`
		Issuer   string   `json:"iss"`
		Subject  string   `json:"sub"`
		ClientID string   `json:"client_id"`
		Expires  unixTime `json:"exp"`
	}
	var all claims
	if json.Unmarshal(body, &said) != nil || json.Unmarshal(body, &all) != nil {
		return nil, fmt.Errorf("%w: its introspection is no JSON object", ErrProviderUnavailable)
	}
	audience, err := all.list("aud")
	switch {
	case !said.Active:
		return nil, invalid("it is not active")
	case said.Issuer != "" && said.Issuer != rp.config.Issuer:
		return nil, invalid("iss is another")
	case err != nil || said.ClientID != rp.config.ClientID && !slices.Contains(audience, rp.config.ClientID):
		return nil, invalid("it is neither ours nor for us")
	}
	granted := &grant{subject: said.Subject}
	if said.Expires > 0 {
		granted.expires = time.Unix(int64(said.Expires), 0)
		if !rp.config.Now().Before(granted.expires) {
			return nil, invalid("it has expired")
		}
	}
	return granted, nil
}

// jwtHeader returns the header of a JWT in JSON, nil if raw is none.
func jwtHeader(raw string) []byte {
	head, _, _ := strings.Cut(raw, ".")
	header, err := base64.RawURLEncoding.DecodeString(head)
	if strings.Count(raw, ".") != 2 || err != nil || !json.Valid(header) {
		return nil
	}
	return header
}

// isSubject reports whether s can be a sub (OpenID Connect Core 1.0 section 2).
func isSubject(s string) bool { return s != "" && len(s) <= 255 && printable(s, 255) == s }
