// Access tokens that clients bring as bearer tokens.

package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
)

// tokenInfo is what is known about a valid access token.
type tokenInfo struct {
	subject string
	scopes  string    // separated by spaces; empty if the provider does not say
	issued  time.Time // zero if the provider does not say
	expires time.Time // zero if the provider does not say
}

// AccessToken is a valid access token.
type AccessToken struct {
	Identity Identity  // the user that it speaks for
	Issued   time.Time // zero if the provider does not say
	Expires  time.Time // zero if the provider does not say
	Narrow   bool      // it lacks a scope that a sign-in asks for, so userinfo may leave out what a sign-in gets
}

// Bearer checks an access token that a client brought, and returns its user as
// userinfo describes them now, by the same rules as Exchange. It refuses a token for
// another client, even with a valid signature: a token issued to another service
// would otherwise open this one (GHSA-wcvh-g65p-v576). Errors match
// ErrBearerInvalid, or are those of Recheck, in a UserError unless the token is
// narrow: then they say nothing about the user.
func (rp *RelyingParty) Bearer(ctx context.Context, raw string) (*AccessToken, error) {
	md, err := rp.metadata(ctx)
	if err != nil {
		return nil, err
	}
	check := rp.introspect
	if header := jwtHeader(raw); header != nil && (isAccessToken(header) || md.introspectionEndpoint == "" || isOtherToken(raw)) {
		check = rp.verifyAccessToken
	}
	info, err := check(ctx, md, raw)
	if err != nil {
		return nil, err
	}
	if !isSubject(info.subject) {
		return nil, fmt.Errorf("%w: sub is missing or not an identifier", ErrBearerInvalid)
	}
	narrow := rp.LacksScope(Tokens{Scopes: info.scopes})
	identity, err := rp.Recheck(ctx, Tokens{Access: raw}, Identity{Issuer: rp.config.Issuer, Subject: info.subject})
	switch {
	case err != nil && narrow:
		return nil, err
	case err != nil:
		return nil, &UserError{Subject: info.subject, Err: err}
	}
	return &AccessToken{Identity: *identity, Issued: info.issued, Expires: info.expires, Narrow: narrow}, nil
}

// verifyAccessToken checks an access token that is a JWT
// (https://datatracker.ietf.org/doc/html/rfc9068#section-4).
func (rp *RelyingParty) verifyAccessToken(ctx context.Context, md *metadata, raw string) (*tokenInfo, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", ErrBearerInvalid, reason) }
	// An ID token has the same keys and audience, but must not open anything.
	if !isAccessToken(jwtHeader(raw)) {
		return nil, invalid("typ is not at+jwt")
	}
	// iss, aud, exp, nbf, signature and algorithm
	token, err := md.verifyJWT(ctx, md.bearerKeys, raw, &oidc.Config{
		ClientID: rp.config.ClientID, Now: rp.config.Now, SupportedSigningAlgs: signatureAlgorithms,
	})
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
	case token.Claims(&claims) != nil || claims.ClientID == "": // https://datatracker.ietf.org/doc/html/rfc9068#section-2.2
		return nil, invalid("client_id is missing")
	case token.IssuedAt.Unix() <= 0 || token.IssuedAt.After(rp.config.Now().Add(idTokenLeeway)): // section 2.2
		return nil, invalid("iat is missing or in the future")
	}
	return &tokenInfo{subject: token.Subject, scopes: scopesOf(verifiedClaims(raw)), issued: token.IssuedAt, expires: token.Expiry}, nil
}

// isAccessToken reports whether a JWT says that it is an access token by RFC 9068.
func isAccessToken(header []byte) bool {
	var h struct {
		Type string `json:"typ"`
	}
	return json.Unmarshal(header, &h) == nil && (strings.EqualFold(h.Type, "at+jwt") || strings.EqualFold(h.Type, "application/at+jwt"))
}

// isOtherToken reports whether a JWT is an ID token, a logout token or, at
// Keycloak, a refresh token, by what only these have. The provider is not asked
// about them: it could call one active.
func isOtherToken(raw string) bool {
	c := verifiedClaims(raw) // not verified
	return c.has("at_hash") || c.has("c_hash") || c.has("nonce") || c.has("events") || c.has("typ") && c.text("typ") != "Bearer"
}

// introspect asks the provider about a token
// (https://datatracker.ietf.org/doc/html/rfc7662#section-2). Authelia answers
// any client about any token, so introspect accepts a token only if it was
// issued to this client, or for it.
func (rp *RelyingParty) introspect(ctx context.Context, md *metadata, raw string) (*tokenInfo, error) {
	invalid := func(reason string) error { return fmt.Errorf("%w: %s", ErrBearerInvalid, reason) }
	if md.introspectionEndpoint == "" {
		return nil, invalid("it is not a JWT, and the provider has no introspection endpoint")
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	// Authelia expects Basic here, whatever the method at the token endpoint.
	request, err := rp.formRequest(ctx, md.introspectionEndpoint, form, ClientAuthBasic)
	if err != nil {
		return nil, fmt.Errorf("creating an introspection request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := rp.readDocument(request)
	if err != nil {
		return nil, fmt.Errorf("%w: reading its introspection response: %w", ErrProviderUnavailable, bounded(err))
	}
	var active bool
	switch raw := response["active"]; { // the one required member (section 2.2)
	case len(raw) == 0 || json.Unmarshal(raw, &active) != nil || string(raw) == "null":
		return nil, fmt.Errorf("%w: its introspection response: active is not a boolean", ErrProviderUnavailable)
	case !active:
		return nil, invalid("it is not active")
	case response.has("iss") && response.text("iss") != rp.config.Issuer:
		return nil, invalid("iss is another issuer")
	case response.text("client_id") != rp.config.ClientID && !slices.Contains(response.strings("aud"), rp.config.ClientID):
		return nil, invalid("it was issued neither to this client nor for it")
	}
	info := &tokenInfo{subject: response.text("sub"), scopes: scopesOf(response)}
	if issued := response.time("iat"); issued > 0 {
		info.issued = time.Unix(issued, 0)
	}
	if expires := response.time("exp"); expires > 0 {
		info.expires = monotonic.Near(time.Unix(expires, 0), rp.config.Now())
		if !rp.config.Now().Before(info.expires) {
			return nil, invalid("it has expired")
		}
	}
	return info, nil
}

// scopesOf returns the scopes of a token, separated by spaces, empty if it does not
// say. Some providers write a list, or name the claim scp.
func scopesOf(token claims) string {
	for _, name := range []string{"scope", "scp"} {
		if scopes := token.strings(name); len(scopes) > 0 {
			return strings.Join(scopes, " ")
		}
	}
	return ""
}

// jwtHeader returns the header of a JWT in JSON, or nil if raw is not a JWT.
func jwtHeader(raw string) []byte {
	head, _, _ := strings.Cut(raw, ".")
	header, err := base64.RawURLEncoding.DecodeString(head)
	if strings.Count(raw, ".") != 2 || err != nil || !json.Valid(header) {
		return nil
	}
	return header
}

// isSubject reports whether s can be a sub
// (https://openid.net/specs/openid-connect-core-1_0.html#IDToken).
func isSubject(s string) bool { return s != "" && len(s) <= 255 && printable(s, 255) == s }
