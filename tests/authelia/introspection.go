// The introspection and revocation endpoints (RFC 7662, RFC 7009).

package authelia

import (
	"net/http"
	"strings"
	"time"
)

// introspect describes a token of any client (RFC 7662). A disabled user's token is active.
func (s *Server) introspect(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return methodNotAllowed("OPTIONS, POST")
	}
	if !isForm(r) || r.ParseForm() != nil {
		return errInvalidRequest.json()
	}
	if _, refusal := s.authenticate(r, (*Client).otherMethod); refusal != nil {
		return refusal.json()
	}
	token := r.PostForm.Get("token")
	if t := s.access[token]; t != nil && !t.revoked {
		return s.introspection(t.grant, t.scopes, t.issued, t.expires)
	}
	if t := s.refresh[token]; t != nil && !t.used {
		return s.introspection(t.grant, t.grant.scopes, t.issued, t.expires)
	}
	return jsonAnswer(http.StatusOK, map[string]any{"active": false})
}

func (s *Server) introspection(g *grant, scopes []string, issued, expires time.Time) answer {
	if g.revoked || !s.now().Before(expires) {
		return jsonAnswer(http.StatusOK, map[string]any{"active": false})
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"active": true, "client_id": g.clientID, "exp": expires.Unix(), "iat": issued.Unix(),
		"scope": strings.Join(scopes, " "), "sub": g.subject, "username": g.username,
	})
}

// revoke revokes both tokens of a grant (RFC 7009). The response is 200 with an empty body, for unknown tokens too.
func (s *Server) revoke(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return methodNotAllowed("OPTIONS, POST")
	}
	if !isForm(r) || r.ParseForm() != nil {
		return errInvalidRequest.json()
	}
	client, refusal := s.authenticate(r, (*Client).otherMethod)
	if refusal != nil {
		return refusal.json()
	}
	token := r.PostForm.Get("token")
	var g *grant
	if t := s.access[token]; t != nil {
		g = t.grant
	} else if t := s.refresh[token]; t != nil {
		g = t.grant
	}
	if g != nil {
		if g.clientID != client.ID {
			return errUnauthorizedClient.with("The token was issued to another OAuth 2.0 Client.").json()
		}
		g.revoked = true
	}
	return newAnswer(http.StatusOK, "", nil).with("Cache-Control", "no-store")
}
