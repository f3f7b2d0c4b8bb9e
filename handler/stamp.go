// The stamp: a user's identity in the form in which the application takes it.

package handler

import (
	"net/http"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// newStamp returns the stamp of a record for an application whose session
// cookie has this name.
func newStamp(record *session.Record, cookieName string) *stamp {
	identity := &record.Identity
	return &stamp{
		record: record,
		cookie: cookieName + "=" + record.Upstream.ID,
		user:   fieldValue(identity.Username),
		email:  fieldValue(identity.Email),
		name:   fieldValue(identity.Name),
		groups: fieldValue(strings.Join(identity.Groups, ",")),
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
	request.ForwardCookies(r, cookies, s.cookie)
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
