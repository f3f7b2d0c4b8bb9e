// Logout tokens, which Authelia does not send but other providers do.

package authelia

import "time"

// LogoutToken returns a logout token for a client (OpenID Connect Back-Channel Logout 1.0 section 2.4), issued now and
// signed with the stand-in's keys. edit, which may be nil, changes its claims before it is signed.
func (s *Server) LogoutToken(clientID string, signature Signature, edit Edit) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[clientID]
	if c == nil {
		panic("authelia: no client " + clientID)
	}
	now := s.now()
	claims := map[string]any{
		"iss": s.Issuer(), "aud": []string{c.ID}, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": newUUID(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	edit.apply(claims)
	return s.signAs(signature, c, claims)
}
