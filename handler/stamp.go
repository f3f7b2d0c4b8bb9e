// The stamp: a user's identity in the form in which the application takes it.

package handler

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// stamp is a record's identity in the forms in which it goes upstream and to the
// server, made once a record.
type stamp struct {
	record *session.Record
	values func(placeholder string) (any, bool)
	cookie string                         // of the application's session
	line   atomic.Pointer[cookieLine]     // the last one; nil: none
	fields atomic.Pointer[identityFields] // nil while none were needed
}

// newStamp returns the stamp of a record for an application whose session
// cookie has this name.
func newStamp(record *session.Record, cookieName string, id session.ID) *stamp {
	return &stamp{record: record, values: placeholders(&record.Identity, id), cookie: cookieName + "=" + record.Upstream.ID}
}

// placeholders returns the values of the placeholders about a user and their
// session, empty for none. Those about the user have the names that Caddy's own
// authentication uses.
func placeholders(identity *flow.Identity, id session.ID) func(placeholder string) (any, bool) {
	return func(placeholder string) (any, bool) {
		name, ok := strings.CutPrefix(placeholder, "http.auth.user.")
		switch {
		case placeholder == "http.romm_oidc.session" && id == (session.ID{}):
			return "", true
		case placeholder == "http.romm_oidc.session":
			return id.String(), true
		case !ok:
			return nil, false
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

// identityFields are the values of the identity header fields.
type identityFields struct{ user, email, name, groups []string }

func newIdentityFields(identity *flow.Identity) *identityFields {
	return &identityFields{
		fieldValue(identity.Username), fieldValue(identity.Email), fieldValue(identity.Name), fieldValue(strings.Join(identity.Groups, ",")),
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
func (s *stamp) put(h *Handler, r *http.Request) {
	delete(r.Header, "Authorization") // next to a session it would switch off the application's CSRF check
	delete(r.Header, "Proxy-Authorization")
	s.putCookies(r, h.appCookies)
	if !h.config.IdentityHeaders {
		return
	}
	fields := s.fields.Load()
	if fields == nil {
		fields = newIdentityFields(&s.record.Identity)
		s.fields.Store(fields)
	}
	for name, values := range map[string][]string{
		"Remote-User": fields.user, "Remote-Email": fields.email, "Remote-Name": fields.name, "Remote-Groups": fields.groups,
	} {
		if values != nil {
			r.Header[name] = values[:1:1]
		}
	}
}

// cookieLine is a Cookie header field as the browser sent it, by its hash, and as
// it was passed on.
type cookieLine struct {
	came uint64
	went string
}

// hashSeed makes hashOf one that no client can foresee. A line that had the
// same hash by chance would be passed on as another one of the same session.
var hashSeed = maphash.MakeSeed()

func hashOf(s string) uint64 { return maphash.String(hashSeed, s) }

// cookieLineLimit bounds a line that is remembered, in bytes.
const cookieLineLimit = 4 << 10

// putCookies rewrites the Cookie header field. A browser sends the same line with
// nearly every request, so what became of the last one is remembered.
func (s *stamp) putCookies(r *http.Request, cookies request.AppCookies) {
	lines := r.Header["Cookie"]
	if len(lines) != 1 || len(lines[0]) > cookieLineLimit {
		request.ForwardCookies(r, cookies, s.cookie)
		return
	}
	came := hashOf(lines[0])
	if last := s.line.Load(); last != nil && last.came == came {
		lines[0] = last.went
		return
	}
	request.ForwardCookies(r, cookies, s.cookie)
	went := s.cookie
	if line := r.Header["Cookie"][0]; line != went {
		went = strings.Clone(line) // it may have room for all that came
	}
	s.line.Store(&cookieLine{came, went})
}
