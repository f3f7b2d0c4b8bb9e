// The token endpoint and the tokens that it issues.

package authelia

import (
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// grant is what a user granted to a client, and the family of tokens that was issued for it.
type grant struct {
	clientID, username, subject string
	scopes                      []string
	nonce                       string
	acr                         bool // acr_values were sent
	authenticated, issued       time.Time
	claims                      map[string]any // for the ID token, as of the sign-in; a refresh repeats them
	revoked                     bool
}

type accessToken struct {
	grant           *grant
	scopes          []string
	issued, expires time.Time
	revoked         bool
}

type refreshToken struct {
	grant           *grant
	issued, expires time.Time
	used            bool
	access          *accessToken // revoked when this token is used
}

// token is the token endpoint.
func (s *Server) token(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return methodNotAllowed("OPTIONS, POST")
	}
	ip := clientIP(r)
	if wait := s.limited(ip); wait > 0 {
		return errTooManyRequests.json().with("Retry-After", itoa(int(wait.Seconds())))
	}
	a := s.exchange(r)
	if a.status != http.StatusOK {
		s.failures[ip] = append(s.failures[ip], s.now())
	}
	return a
}

func (s *Server) exchange(r *http.Request) answer {
	if !isForm(r) || r.ParseForm() != nil {
		return errInvalidRequest.with("Unable to parse HTTP body, make sure to send a properly formatted form request body.").json()
	}
	client, refusal := s.authenticate(r, (*Client).tokenMethod)
	if refusal != nil {
		return refusal.json()
	}
	grantType := r.PostForm.Get("grant_type")
	known := []string{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"}
	if !slices.Contains(known, grantType) {
		return errInvalidRequest.json()
	}
	if !slices.Contains(client.GrantTypes, grantType) {
		return errUnauthorizedClient.with("The OAuth 2.0 Client is not allowed to use authorization grant '" + grantType + "'.").json()
	}
	var (
		g      *grant
		scopes []string
	)
	switch grantType {
	case "authorization_code":
		if g, refusal = s.redeem(client, r.PostForm); refusal == nil {
			scopes = g.scopes
		}
	case "refresh_token":
		g, scopes, refusal = s.rotate(client, r.PostForm)
	default:
		refusal = errUnauthorizedClient.with("The grant is not part of this stand-in.")
	}
	if refusal != nil {
		return refusal.json()
	}
	return jsonAnswer(http.StatusOK, s.issue(client, g, scopes)).with("Pragma", "no-cache")
}

// issue issues the tokens of a grant.
func (s *Server) issue(c *Client, g *grant, scopes []string) map[string]any {
	now, padding := s.now(), strings.Repeat("x", s.misbehaviour.TokenPadding)
	access := newOpaque("authelia_at_") + padding
	s.access[access] = &accessToken{grant: g, scopes: scopes, issued: now, expires: now.Add(s.lifespans.AccessToken)}
	response := map[string]any{
		"access_token": access,
		"expires_in":   int(s.lifespans.AccessToken.Seconds()) - 1,
		"scope":        strings.Join(scopes, " "),
		"token_type":   "bearer",
	}
	if (s.misbehaviour.AlwaysRefresh || slices.Contains(g.scopes, "offline_access")) && slices.Contains(c.GrantTypes, "refresh_token") {
		refresh := newOpaque("authelia_rt_") + padding
		s.refresh[refresh] = &refreshToken{
			grant: g, issued: now, expires: now.Add(s.lifespans.RefreshToken), access: s.access[access],
		}
		response["refresh_token"] = refresh
	}
	if slices.Contains(scopes, "openid") {
		response["id_token"] = s.idToken(c, g, access)
	}
	s.misbehaviour.TokenResponse.apply(response)
	return response
}

// idToken returns the ID token. It identifies the user by sub; further claims are in it only with a claims policy.
func (s *Server) idToken(c *Client, g *grant, access string) string {
	now := s.now()
	claims := map[string]any{}
	maps.Copy(claims, g.claims)
	hash := sha256.Sum256([]byte(access)) // OIDC Core 3.1.3.6; all algorithms here use SHA-256
	claims["amr"] = []string{"pwd", "kba"}
	claims["at_hash"] = encode(hash[:16])
	claims["aud"] = []string{c.ID}
	claims["auth_time"] = g.authenticated.Unix()
	claims["azp"] = c.ID
	claims["exp"] = now.Add(s.lifespans.IDToken).Unix()
	claims["iat"] = now.Unix()
	claims["iss"] = s.Issuer()
	claims["jti"] = newUUID()
	claims["sub"] = g.subject
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	if g.acr {
		claims["acr"] = "0"
	}
	s.misbehaviour.IDToken.apply(claims)
	return s.signIDToken(c, claims)
}
