// The refresh token grant, with rotation and replay detection.

package authelia

import (
	"net/url"
	"slices"
	"strings"
)

// rotate checks a refresh token and uses it up: it and its access token die at once, without a grace period. It checks
// neither the user nor the policy. A second use revokes the whole family, the newest tokens included.
func (s *Server) rotate(c *Client, form url.Values) (*grant, []string, *oauthError) {
	t := s.refresh[form.Get("refresh_token")]
	switch {
	case t == nil, t.grant.revoked, t.grant.clientID != c.ID:
		return nil, nil, &errInvalidGrant
	case t.used:
		t.grant.revoked = true
		return nil, nil, &errInvalidGrant
	case !s.now().Before(t.expires):
		return nil, nil, &errInvalidGrant
	}
	if w := s.withdrawn(t.grant.username); w != nil {
		return nil, nil, &oauthError{status: w.Refresh, code: w.Code}
	}
	scopes := t.grant.scopes
	if form.Get("scope") != "" {
		scopes = strings.Fields(form.Get("scope"))
	}
	for _, scope := range scopes {
		if !slices.Contains(t.grant.scopes, scope) {
			return nil, nil, errInvalidScope.with("The requested scope '" + scope + "' was not originally granted by the resource owner.")
		}
	}
	t.used, t.access.revoked = true, true
	return t.grant, scopes, nil
}
