// The portal's session and its cookie.

package authelia

import (
	"net/http"
	"slices"
	"time"
)

// cookieName is the portal's session cookie. With a CookieDomain it also travels to the relying party's host.
const cookieName = "authelia_session"

// session is a signed-in browser at the portal.
type session struct {
	username string
	groups   []string // as read at refreshed
	// authenticated is when the user last entered the password. sequence orders that against authorization requests
	// within one tick of the clock.
	authenticated time.Time
	sequence      int
	refreshed     time.Time
	expires       time.Time
}

// signIn starts a session and returns the cookie for it.
func (s *Server) signIn(u *User) string {
	id, now := newOpaque(""), s.now()
	s.sequence++
	s.sessions[id] = &session{
		username:      u.Name,
		groups:        slices.Clone(u.Groups),
		authenticated: now,
		sequence:      s.sequence,
		refreshed:     now,
		expires:       now.Add(s.lifespans.Session),
	}
	return s.cookie(id, int(s.lifespans.Session.Seconds()), s.cookieDomain)
}

// signOut ends the request's session. A cookie with a Domain stays in the browser, because the original's expiring
// Set-Cookie has no Domain.
func (s *Server) signOut(r *http.Request) string {
	if cookie, err := r.Cookie(cookieName); err == nil {
		delete(s.sessions, cookie.Value)
	}
	return s.cookie("", -1, "")
}

func (s *Server) cookie(value string, maxAge int, domain string) string {
	return (&http.Cookie{ //nolint:gosec // Secure, except for the demo on http loopback
		Name: cookieName, Value: value, Path: "/", Domain: domain, MaxAge: maxAge,
		HttpOnly: true, Secure: s.issuer.Scheme == "https", SameSite: http.SameSiteLaxMode,
	}).String()
}

// sessionOf returns the request's session, or nil. A session reads its user again once per refresh interval: until then
// a removed group still counts, and a disabled user is still signed in.
func (s *Server) sessionOf(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	sess, now := s.sessions[cookie.Value], s.now()
	if sess == nil {
		return nil
	}
	if !now.Before(sess.expires) {
		delete(s.sessions, cookie.Value)
		return nil
	}
	if now.Sub(sess.refreshed) >= s.interval {
		u := s.active(sess.username)
		if u == nil {
			delete(s.sessions, cookie.Value)
			return nil
		}
		sess.groups, sess.refreshed = slices.Clone(u.Groups), now
	}
	return sess
}
