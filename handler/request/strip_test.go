// Identity header fields and Connection.

package request

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// CVE-2025-64484, CVE-2026-39858, CVE-2026-30851: a client sends an identity
// header field in another spelling, and a server downstream believes it.
func TestIdentityFieldAliasesAreStripped(t *testing.T) {
	t.Parallel()
	spell := func(name string, separator string) []string {
		name = strings.ReplaceAll(name, "-", separator)
		return []string{name, strings.ToUpper(name), strings.ToLower(name), http.CanonicalHeaderKey(name)}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"X-Csrftoken": {"kept"}, "Accept": {"kept"}, "User-Agent": {"kept"}, "X-Upload-Filename": {"kept"}}
	for name := range identityFields {
		for _, separator := range []string{"-", "_", "."} {
			for _, spelled := range spell(name, separator) {
				r.Header[spelled] = []string{"admin"}
			}
		}
	}
	for _, mixed := range []string{"Remote_User", "Remote.user", "REMOTE-uSER", "X_Forwarded-Email", "x.forwarded_user"} {
		r.Header[mixed] = []string{"admin"}
	}
	r.Trailer = http.Header{"Remote-User": {"admin"}}
	Strip(r)
	if len(r.Header) != 4 {
		t.Errorf("the header is %v, want the four harmless fields only", r.Header)
	}
	if r.Trailer != nil {
		t.Errorf("the trailer is %v, want none", r.Trailer)
	}
}

// CVE-2024-45410, CVE-2026-29054: a client names the stamp in Connection, and the
// proxy deletes it as a hop-by-hop field.
func TestConnectionCannotNameTheStamp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		connection []string
		upgrade    string
		want       []string
	}{
		"plain":                     {[]string{"Cookie, Remote-User, X-Forwarded-For"}, "", nil},
		"upper case":                {[]string{"COOKIE"}, "", nil},
		"several lines":             {[]string{"close", "cookie"}, "", nil},
		"beside an upgrade":         {[]string{"Upgrade, Cookie"}, "websocket", []string{"Upgrade"}},
		"upgrade in another line":   {[]string{"cookie", " upgrade"}, "websocket", []string{"Upgrade"}},
		"upgrade without its field": {[]string{"upgrade"}, "", nil},
		"h2c":                       {[]string{"Upgrade, HTTP2-Settings"}, "h2c", nil},
		"h2c beside a WebSocket":    {[]string{"Upgrade"}, "websocket, h2c", nil},
		"TLS":                       {[]string{"Upgrade"}, "TLS/1.2", nil},
		"only the upgrade":          {nil, "h2c", nil},
		"any case":                  {[]string{"upgrade"}, "WebSocket", []string{"Upgrade"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Connection"] = c.connection
			if c.upgrade != "" {
				r.Header.Set("Upgrade", c.upgrade)
			}
			Strip(r)
			got := r.Header["Connection"]
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("Connection is %q, want %q", got, c.want)
			}
			if c.want == nil && r.Header.Get("Upgrade") != "" {
				t.Error("Upgrade is still there without Connection, want both removed")
			}
		})
	}
}
