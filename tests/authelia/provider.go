// Habits of other providers, on the wire.

package authelia

import (
	"maps"
	"net/http"
	"time"
)

// Withdrawal is how a provider refuses the tokens of an account that it no longer lets in.
type Withdrawal struct {
	Userinfo int    // status at userinfo
	Refresh  int    // status at the token endpoint
	Code     string // error code at the token endpoint
}

// Provider is another provider, as far as it differs from Authelia in what a relying party notices.
type Provider struct {
	Name          string
	Withdrawal    *Withdrawal   // of users who are disabled or deleted
	AccessToken   time.Duration // lifespan, as installed; 0: not known
	UsernameClaim string        // the claim that names a user in any case
	Offline       bool          // refresh tokens come with the scope offline_access only
	Logout        bool          // there is an end-session endpoint, and back-channel logout
	Echo          bool          // userinfo repeats what the access token was issued with
	habits        func(*Misbehaviour)
}

// Providers returns other providers, with their habits as seen at Keycloak 26.7, node-oidc-provider 9.13 and Dex 2.45.
func Providers() []Provider {
	invalidGrant := &Withdrawal{Userinfo: http.StatusUnauthorized, Refresh: http.StatusBadRequest, Code: "invalid_grant"}
	return []Provider{
		{
			Name: "Keycloak", Withdrawal: invalidGrant, AccessToken: 5 * time.Minute, UsernameClaim: "preferred_username", Logout: true,
			habits: func(m *Misbehaviour) {
				m.AlwaysRefresh = true
				m.IDToken = Edits(Set("typ", "ID"), func(claims map[string]any) { claims["auth_time"] = claims["iat"] }) // of the latest sign-in in the session
				m.TokenResponse = Edits(Set("not-before-policy", 0), Set("refresh_expires_in", 1800))
				m.Userinfo = func(claims map[string]any) any {
					if groups, ok := claims["groups"].([]string); ok && len(groups) == 0 {
						delete(claims, "groups")
					}
					return claims
				}
			},
		},
		{
			Name: "node-oidc-provider", Withdrawal: invalidGrant, UsernameClaim: "preferred_username", Offline: true, Logout: true,
			habits: func(m *Misbehaviour) { m.StrictOffline = true },
		},
		{
			Name: "Dex", UsernameClaim: "name", Offline: true, Echo: true,
			Withdrawal: &Withdrawal{Userinfo: http.StatusForbidden, Refresh: http.StatusBadRequest, Code: "invalid_request"},
			habits: func(m *Misbehaviour) {
				var issuedWith map[string]any // of one user, which is what tests have
				m.TokenResponse = func(map[string]any) { issuedWith = nil }
				m.Userinfo = func(claims map[string]any) any {
					if issuedWith == nil {
						delete(claims, "preferred_username")
						issuedWith = maps.Clone(claims)
					}
					return issuedWith
				}
			},
		},
	}
}

// ActAs gives the stand-in another provider's habits.
func (s *Server) ActAs(p *Provider) {
	s.SetLifespans(Lifespans{AccessToken: p.AccessToken, RefreshToken: 30 * 24 * time.Hour})
	s.Misbehave(func(m *Misbehaviour) {
		p.habits(m)
		m.Withdraw = p.Withdrawal
		// Another address than Authelia's, by which a relying party may know it.
		m.Metadata = Set("authorization_endpoint", s.Issuer()+"/api/oidc/authorization?provider=another")
		if p.Logout {
			m.Metadata = Edits(m.Metadata, Set("end_session_endpoint", s.Issuer()+"/end"))
			m.IDToken = Edits(m.IDToken, Set("sid", "session-1"))
		}
	})
}

// withdrawn returns how the tokens of an account are refused, or nil.
func (s *Server) withdrawn(name string) *Withdrawal {
	if s.active(name) != nil {
		return nil
	}
	return s.misbehaviour.Withdraw
}
