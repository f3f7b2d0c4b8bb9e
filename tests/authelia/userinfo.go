// The userinfo endpoint.

package authelia

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// userinfo returns the user's current claims. For a disabled or deleted account it still returns 200, without any claim
// that names the user.
func (s *Server) userinfo(r *http.Request) answer {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return methodNotAllowed("GET, OPTIONS, POST")
	}
	t := s.access[bearer(r)]
	switch {
	case t == nil, t.revoked, t.grant.revoked:
		return challenge(errRequestUnauthorized.with("Check that you provided valid credentials in the right format."))
	case !s.now().Before(t.expires):
		return challenge(errInvalidToken.with("Token expired."))
	case !slices.Contains(t.scopes, "openid"):
		return errInsufficientScope.with("The access token was not granted the 'openid' scope.").json()
	}
	client := s.clients[t.grant.clientID]
	if client == nil {
		return challenge(&errRequestUnauthorized)
	}
	if w := s.withdrawn(t.grant.username); w != nil {
		refusal := errInvalidToken
		refusal.status = w.Userinfo
		return challenge(&refusal)
	}
	claims := s.userinfoClaims(t)
	if edit := s.misbehaviour.Userinfo; edit != nil {
		return jsonAnswer(http.StatusOK, edit(claims))
	}
	if client.UserinfoAlg == "" {
		return jsonAnswer(http.StatusOK, claims)
	}
	claims["iat"], claims["jti"] = s.now().Unix(), newUUID() // but neither iss nor aud
	signed := sign(s.keys.find(client.UserinfoAlg), claims)
	return newAnswer(http.StatusOK, "application/jwt; charset=utf-8", []byte(signed)).with("Cache-Control", "no-store")
}

func (s *Server) userinfoClaims(t *accessToken) map[string]any {
	g := t.grant
	if u := s.active(g.username); u != nil {
		claims := u.claims(t.scopes, s.now().Unix())
		claims["rat"] = g.issued.Unix()
		claims["sub"] = g.subject
		return claims
	}
	return map[string]any{
		"amr": []string{"pwd", "kba"}, "aud": []string{g.clientID}, "auth_time": g.authenticated.Unix(),
		"azp": g.clientID, "iat": t.issued.Unix(), "iss": s.Issuer(), "sub": g.subject,
	}
}

// bearer returns the token from the header, the body or the query.
func bearer(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return token
	}
	if r.ParseForm() != nil {
		return ""
	}
	return r.Form.Get("access_token")
}

// challenge refuses a token: an empty object, with the reason in WWW-Authenticate.
func challenge(e *oauthError) answer {
	return jsonAnswer(e.status, struct{}{}).
		with("WWW-Authenticate", fmt.Sprintf("Bearer error=%q,error_description=%q", e.code, e.text()))
}
