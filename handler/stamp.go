// The stamp: a user's identity in the form in which the application takes it.

package handler

import (
	"hash/maphash"
	"net/http"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

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

// stamp writes the identity onto r. It runs last, right before the request is
// passed on, after request.Strip removed whatever the client sent in its place.
func (v *view) stamp(r *http.Request) {
	delete(r.Header, "Authorization") // next to a session it would switch off the application's CSRF check
	delete(r.Header, "Proxy-Authorization")
	v.stampCookies(r)
	if !v.handler.config.IdentityHeaders {
		return
	}
	fields := v.fields.Load()
	if fields == nil {
		fields = newIdentityFields(&v.record.Identity)
		v.fields.Store(fields)
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

// stampCookies rewrites the Cookie header field. A browser sends the same line with
// nearly every request, so what became of the last one is remembered.
func (v *view) stampCookies(r *http.Request) {
	cookies := v.handler.appCookies
	lines := r.Header["Cookie"]
	remembered := len(lines) == 1 && len(lines[0]) <= cookieLineLimit
	var came uint64
	if remembered {
		came = hashOf(lines[0])
		if last := v.line.Load(); last != nil && last.came == came {
			lines[0] = last.went
			return
		}
	}
	request.ForwardCookies(r, cookies, cookies.Session+"="+v.record.Upstream.ID)
	if remembered {
		v.line.Store(&cookieLine{came, strings.Clone(lines[0])}) // which may have room for all that came
	}
}
