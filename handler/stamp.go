package handler

import (
	"net/http"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

func newStamp(record *session.Record, cookieName string) *stamp {
	identity := &record.Identity
	return &stamp{
		record: record,
		cookie: cookieName + "=" + record.UpstreamSession,
		user:   fieldValue(identity.Username),
		email:  fieldValue(identity.Email),
		name:   fieldValue(identity.Name),
		groups: fieldValue(strings.Join(identity.Groups, ",")),
	}
}

// fieldValue returns s as the values of a header field: none where s is empty
// or holds what must not stand in one.
func fieldValue(s string) []string {
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil
	}
	return []string{s}
}

// put writes the identity onto r. It runs last, right before the request is
// passed on. What a browser may have sent in its place was stripped before.
func (s *stamp) put(r *http.Request, private string, identityHeaders bool) {
	delete(r.Header, "Authorization") // next to a session it would switch off the application's CSRF check
	delete(r.Header, "Proxy-Authorization")
	request.ForwardCookies(r, private, s.cookie)
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
