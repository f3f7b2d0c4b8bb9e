// Client authentication by private_key_jwt (RFC 7523): how Authelia reads a client's keys, and what it checks.

package authelia

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	keysKept      = time.Hour // of a jwks_uri, unless an assertion names a kid that is not among them
)

// clientKeys are the keys that were read at a jwks_uri.
type clientKeys struct {
	set  jose.JSONWebKeySet
	read time.Time
}

var errJTIKnown = oauthError{
	code: "jti_known", status: http.StatusBadRequest, description: "The jti was already used.",
}

// assertion are the claims that matter. Authelia takes aud as a string or a list.
type assertion struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	ID       string          `json:"jti"`
	Expires  *float64        `json:"exp"`
	Issued   *float64        `json:"iat"`
	Before   *float64        `json:"nbf"`
}

// authenticateByKey authenticates the client of a form with an assertion. Each assertion is good for one request.
func (s *Server) authenticateByKey(r *http.Request, registered func(*Client) string) (*Client, *oauthError) {
	form := r.PostForm
	if form.Get("client_assertion_type") != assertionType {
		return nil, errInvalidRequest.with("Unknown client_assertion_type '" + form.Get("client_assertion_type") + "'.")
	}
	raw := form.Get("client_assertion")
	if raw == "" {
		return nil, errInvalidRequest.with("The request parameter 'client_assertion' must be set when using 'client_assertion_type' of '" + assertionType + "'.")
	}
	undecodable := errInvalidClient.with("OAuth 2.0 client provided a client assertion which could not be decoded or validated.")
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	})
	if err != nil || len(signed.Signatures) != 1 {
		return nil, undecodable
	}
	var claims assertion
	if json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims) != nil {
		return nil, undecodable
	}
	c := s.clients[claims.Subject]
	if id := form.Get("client_id"); c == nil || id != "" && id != c.ID {
		return nil, &errInvalidClient
	}
	header := signed.Signatures[0].Protected
	key, err := s.clientKey(r.Context(), c, header)
	if err != nil {
		return nil, undecodable
	}
	if _, err := signed.Verify(key); err != nil {
		return nil, undecodable
	}
	now := float64(s.now().Unix())
	switch {
	case header.Algorithm != c.AuthAlg, !s.isAudience(claims.Audience), claims.Expires == nil || now >= *claims.Expires,
		claims.Issued != nil && *claims.Issued > now, claims.Before != nil && *claims.Before > now: // without leeway
		return nil, undecodable
	case claims.Issuer != c.ID:
		return nil, errInvalidClient.with("Claim 'iss' from 'client_assertion' must match the 'client_id' of the OAuth 2.0 Client.")
	case claims.ID == "":
		return nil, errInvalidClient.with("Claim 'jti' from 'client_assertion' must be set but is not.")
	case registered(c) != methodKey:
		return nil, errInvalidClient.with("The request was determined to be using 'token_endpoint_auth_method' method '" + methodKey + "', however the OAuth 2.0 client registration does not allow this method.")
	case s.assertions[claims.ID]:
		return nil, errJTIKnown.with("Claim 'jti' from 'client_assertion' MUST only be used once.")
	}
	s.assertions[claims.ID] = true
	return c, nil
}

// isAudience reports whether aud names the issuer, exactly, the token endpoint or the endpoint for pushed requests.
func (s *Server) isAudience(aud json.RawMessage) bool {
	var all []string
	var one string
	if json.Unmarshal(aud, &one) == nil {
		all = []string{one}
	} else if json.Unmarshal(aud, &all) != nil {
		return false
	}
	return slices.ContainsFunc(all, func(audience string) bool {
		return slices.Contains([]string{s.Issuer(), s.Issuer() + "/api/oidc/token", s.Issuer() + "/api/oidc/pushed-authorization-request"}, audience)
	})
}

// clientKey returns the key of a client that an assertion names. A key that is not known is looked for at the jwks_uri.
func (s *Server) clientKey(ctx context.Context, c *Client, header jose.Header) (jose.JSONWebKey, error) {
	if c.JWKSURI == "" {
		return findKey(c.JWKS, header)
	}
	known := s.clientKeys[c.ID]
	if s.now().Sub(known.read) < keysKept {
		if key, err := findKey(known.set, header); err == nil {
			return key, nil
		}
	}
	set, err := s.fetchKeys(ctx, c.JWKSURI)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	s.clientKeys[c.ID] = clientKeys{set, s.now()}
	return findKey(set, header)
}

func findKey(set jose.JSONWebKeySet, header jose.Header) (jose.JSONWebKey, error) {
	for _, key := range set.Keys {
		if key.KeyID == header.KeyID && key.Algorithm == header.Algorithm && key.Use == "sig" {
			return key, nil
		}
	}
	return jose.JSONWebKey{}, fmt.Errorf("no key has the kid %q and the algorithm %s", header.KeyID, header.Algorithm)
}

// fetchKeys reads a jwks_uri.
func (s *Server) fetchKeys(ctx context.Context, at string) (set jose.JSONWebKeySet, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return set, err
	}
	answer, err := s.fetch.Do(r)
	if err != nil {
		return set, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return set, fmt.Errorf("%s answered %d", at, answer.StatusCode)
	}
	return set, json.NewDecoder(answer.Body).Decode(&set)
}

// checkKey is the validation of how a client authenticates: with private_key_jwt at all endpoints and without a secret,
// or with a secret.
func (e *clientEntry) checkKey() error {
	methods := []string{e.AuthMethod, e.PushMethod, e.RevocationMethod, e.IntrospectionMethod}
	algorithms := []string{e.AuthAlg, e.PushAlg, e.RevocationAlg, e.IntrospectionAlg}
	if !slices.Contains(methods, methodKey) {
		_, err := parseDigest(e.Secret)
		return err
	}
	switch {
	case e.Secret != "":
		return errors.New("client_secret must be empty with private_key_jwt")
	case len(slices.Compact(methods)) != 1 || len(slices.Compact(algorithms)) != 1 || e.AuthAlg == "":
		return errors.New("the stand-in knows private_key_jwt with one algorithm at all four endpoints")
	case !strings.HasPrefix(e.JWKSURI, "https://"):
		return errors.New("jwks_uri must be https")
	}
	return nil
}
