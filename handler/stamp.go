// The stamp: a user's identity in the form in which the application takes it.

package handler

import (
	"net/http"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// newStamp returns the stamp of a record for an application whose session
// cookie has this name.
func newStamp(record *session.Record, cookieName string, id session.ID) *stamp {
	identity, name := &record.Identity, ""
	if id != (session.ID{}) {
		name = id.String()
	}
	return &stamp{
		record: record,
		values: placeholders(identity, name),
		cookie: cookieName + "=" + record.Upstream.ID,
		user:   fieldValue(identity.Username),
		email:  fieldValue(identity.Email),
		name:   fieldValue(identity.Name),
		groups: fieldValue(strings.Join(identity.Groups, ",")),
	}
}

// placeholders returns the values of the placeholders about a user and their
// session, empty for none. Those about the user have the names that Caddy's own
// authentication uses.
func placeholders(identity *flow.Identity, sessionID string) func(placeholder string) (any, bool) {
	return func(placeholder string) (any, bool) {
		name, ok := strings.CutPrefix(placeholder, "http.auth.user.")
		if !ok {
			return sessionID, placeholder == "http.romm_oidc.session"
		}
		switch name {
		case "id":
			return identity.Username, true
		case "email":
			return identity.Email, true
		case "name":
			return identity.Name, true
		case "groups":
			return strings.Join(identity.Groups, ","), true
		case "sub":
			return identity.Subject, true
		}
		return nil, false
	}
}

// fieldValue returns s as the values of a header field, and no value if s is
// empty or holds control characters.
func fieldValue(s string) []string {
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil
	}
	return []string{s}
}

// put writes the identity onto r. It runs last, right before the request is
// passed on, after request.Strip removed whatever the client sent in its place.
func (s *stamp) put(r *http.Request, cookies request.AppCookies, identityHeaders bool) {
	delete(r.Header, "Authorization") // next to a session it would switch off the application's CSRF check
	delete(r.Header, "Proxy-Authorization")
	s.putCookies(r, cookies)
	if identityHeaders {
		for name, values := range map[string][]string{
			"Remote-User": s.user, "Remote-Email": s.email, "Remote-Name": s.name, "Remote-Groups": s.groups,
		} {
			if values != nil {
				r.Header[name] = values[:1:1]
			}
		}
	}
}

// cookieLine is a Cookie header field as the browser sent it, and as it was
// passed on.
type cookieLine struct{ came, went string }

// cookieLineLimit bounds a line that is remembered, in bytes.
const cookieLineLimit = 4 << 10

// putCookies rewrites the Cookie header field. A browser sends the same line with
// nearly every request, so the last one is remembered.
func (s *stamp) putCookies(r *http.Request, cookies request.AppCookies) {
	lines := r.Header["Cookie"]
	if len(lines) != 1 || len(lines[0]) > cookieLineLimit {
		request.ForwardCookies(r, cookies, s.cookie)
		return
	}
	last := s.line.Load()
	if last == nil || last.came != lines[0] {
		last = &cookieLine{came: lines[0]}
		request.ForwardCookies(r, cookies, s.cookie)
		last.went = r.Header["Cookie"][0]
		s.line.Store(last)
		return
	}
	lines[0] = last.went
}
