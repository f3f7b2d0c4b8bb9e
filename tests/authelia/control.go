// What a test changes in a running stand-in: accounts, clients, keys, sessions,
// tokens and lifespans.

package authelia

import (
	"cmp"
	"time"
)

// PutUser adds an account, or replaces the one of that name. Its sub stays. To rename an account, use
// [Server.DeleteUser] and PutUser; the new name has another sub.
func (s *Server) PutUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[u.Name] = u.clone()
}

// updateUser changes an account in place, but not its name. It panics if there is no such user.
func (s *Server) updateUser(name string, change func(*User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[name]
	if u == nil {
		panic("authelia: no user " + name)
	}
	changed := u.clone()
	change(changed)
	changed.Name = name
	s.users[name] = changed.clone()
}

// DisableUser disables an account: it cannot sign in and its userinfo is empty, but its tokens live on.
func (s *Server) DisableUser(name string) { s.updateUser(name, func(u *User) { u.Disabled = true }) }

// EnableUser undoes [Server.DisableUser].
func (s *Server) EnableUser(name string) { s.updateUser(name, func(u *User) { u.Disabled = false }) }

// SetGroups replaces an account's groups.
func (s *Server) SetGroups(name string, groups ...string) {
	s.updateUser(name, func(u *User) { u.Groups = groups })
}

// SetEmail replaces an account's address.
func (s *Server) SetEmail(name, email string) { s.updateUser(name, func(u *User) { u.Email = email }) }

// SetDisplayName replaces an account's display name.
func (s *Server) SetDisplayName(name, displayName string) {
	s.updateUser(name, func(u *User) { u.DisplayName = displayName })
}

// DeleteUser removes an account. Its tokens live on, as those of a disabled account do.
func (s *Server) DeleteUser(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, name)
}

// UpdateClient changes a client's registration in place. It panics if there is no such client.
func (s *Server) UpdateClient(id string, change func(*Client)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[id]
	if c == nil {
		panic("authelia: no client " + id)
	}
	changed := c.clone()
	change(changed)
	changed.ID = id
	s.clients[id] = changed.clone()
	s.keys.add(s.algorithms())
}

// Subject returns the sub of a login name.
func (s *Server) Subject(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subject(name)
}

// Issuer returns the issuer, which is also the portal's URL.
func (s *Server) Issuer() string { return s.issuer.String() }

// RotateKeys replaces every signing key with a new one under a new kid. The old keys are gone at once.
func (s *Server) RotateKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = newKeyring(s.algorithms(), s.keys.generation+1)
}

// DropSessions ends all portal sessions, as a restart does. Tokens survive.
func (s *Server) DropSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// ResetDatabase forgets subjects, consents, codes, tokens and sessions: every user comes back with another sub.
func (s *Server) ResetDatabase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
}

func (s *Server) forget() {
	s.subjects = map[string]string{}
	s.sessions = map[string]*session{}
	s.flows = map[string]*consentFlow{}
	s.consents = map[string]bool{}
	s.codes = map[string]*code{}
	s.access = map[string]*accessToken{}
	s.refresh = map[string]*refreshToken{}
}

// ForgetFailures empties the rate limit's buckets.
func (s *Server) ForgetFailures() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.failures)
}

// ExpireAccessTokens lets every access token issued so far expire now.
func (s *Server) ExpireAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.access {
		t.expires = time.Time{}
	}
}

// ExpireRefreshTokens lets every refresh token issued so far expire now.
func (s *Server) ExpireRefreshTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.refresh {
		t.expires = time.Time{}
	}
}

// ExpireCodes lets every code issued so far expire now.
func (s *Server) ExpireCodes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.codes {
		c.expires = time.Time{}
	}
}

// RevokeTokens revokes every token of a user.
func (s *Server) RevokeTokens(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.access {
		if t.grant.username == name {
			t.grant.revoked = true
		}
	}
}

// SetLifespans sets the lifespans of what is issued from now on. Zero fields are the original's defaults.
func (s *Server) SetLifespans(l Lifespans) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifespans = Lifespans{
		Code:         cmp.Or(l.Code, time.Minute),
		AccessToken:  cmp.Or(l.AccessToken, time.Hour),
		IDToken:      cmp.Or(l.IDToken, time.Hour),
		RefreshToken: cmp.Or(l.RefreshToken, 90*time.Minute),
		Consent:      cmp.Or(l.Consent, 10*time.Minute),
		Session:      cmp.Or(l.Session, time.Hour),
	}
}
