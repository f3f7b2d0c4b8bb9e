// RomM's response headers.

package romm

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	app := New(Config{})
	for name, c := range map[string]struct {
		header  http.Header
		stamped bool
		left    http.Header
		want    application.Liveness
	}{
		"RomM's session is removed": {
			http.Header{"Set-Cookie": {"romm_session=abc; path=/; HttpOnly", "romm_csrftoken=x; Path=/"}},
			true,
			http.Header{"Set-Cookie": {"romm_csrftoken=x; Path=/"}},
			application.Alive,
		},
		"RomM forgot the session": {
			http.Header{"Set-Cookie": {"romm_session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT"}},
			true,
			http.Header{},
			application.Forgotten,
		},
		"no session cookie":             {http.Header{"Etag": {"x"}}, true, http.Header{"Etag": {"x"}}, application.Unknown},
		"cookie with another name":      {http.Header{"Set-Cookie": {"xromm_session=1"}}, true, http.Header{"Set-Cookie": {"xromm_session=1"}}, application.Unknown},
		"page of a session":             {http.Header{"Content-Type": {"Text/HTML; charset=utf-8"}, "Cache-Control": {"no-cache, max-age=60"}}, true, http.Header{"Content-Type": {"Text/HTML; charset=utf-8"}, "Cache-Control": {"no-cache, no-store"}}, application.Unknown},
		"page for an anonymous request": {http.Header{"Content-Type": {"text/html"}}, false, http.Header{"Content-Type": {"text/html"}, "Cache-Control": {"private, no-cache"}}, application.Unknown},
		"CORS for a stamped request":    {http.Header{"Access-Control-Allow-Origin": {"https://evil.com"}, "Access-Control-Allow-Credentials": {"true"}}, true, http.Header{}, application.Unknown},
		"CORS for an anonymous request": {http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Credentials": {"true"}}, false, http.Header{"Access-Control-Allow-Origin": {"*"}}, application.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := app.Filter(c.header, c.stamped, new([1]string)); got != c.want {
				t.Errorf("Filter = %v, want %v", got, c.want)
			}
			if c.left["Cache-Control"] == nil {
				c.left["Cache-Control"] = []string{"private"}
			}
			if !maps.EqualFunc(c.header, c.left, slices.Equal[[]string]) {
				t.Errorf("the header is %v, want %v", c.header, c.left)
			}
		})
	}
}

// A proxy or a CDN in front of Caddy could serve a stored response of one user to
// the next client, past the gate. RomM sends no caching directives with most
// responses, which lets caches guess.
func TestSharedCachesStoreNothing(t *testing.T) {
	t.Parallel()
	app := New(Config{})
	for _, c := range []struct {
		sent []string
		want string
	}{
		{nil, "private"},
		{[]string{""}, "private"},
		{[]string{"max-age=3600"}, "private, max-age=3600"},
		{[]string{"Public, max-age=31536000, immutable"}, "private, max-age=31536000, immutable"},
		{[]string{"s-maxage=600"}, "private"},
		{[]string{"max-age=60, S-MaxAge=600", "must-revalidate"}, "private, max-age=60, must-revalidate"},
		{[]string{"no-cache"}, "private, no-cache"},
		{[]string{`private="Set-Cookie"`}, `private, private="Set-Cookie"`}, // private is that field alone (RFC 9111 section 5.2.2.7)
		{[]string{"Private, max-age=60"}, "Private, max-age=60"},
		{[]string{"no-store"}, "no-store"},
		{[]string{"public, no-store"}, "no-store"},
	} {
		for _, stamped := range []bool{true, false} {
			header := http.Header{"Content-Type": {"application/octet-stream"}, "Last-Modified": {"Wed, 21 Oct 2020 07:28:00 GMT"}}
			if c.sent != nil {
				header["Cache-Control"] = c.sent
			}
			app.Filter(header, stamped, new([1]string))
			if got := header["Cache-Control"]; len(got) != 1 || got[0] != c.want {
				t.Errorf("Cache-Control %q became %q, want %q", c.sent, got, c.want)
			}
		}
	}
}
