// The gate's cookies, and the Cookie header field for the application.

package request

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

var rommCookies = AppCookies{Session: "romm_session", Read: []string{"romm_csrftoken"}}

func TestForwardCookies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines []string
		stamp string
		want  string
	}{
		"nothing":                                   {nil, "", ""},
		"only the stamp":                            {nil, "romm_session=S", "romm_session=S"},
		"the gate's cookies are removed":            {[]string{"__Host-romm_oidc=T; romm_csrftoken=C; romm_oidc_login_1_2=L"}, "", "romm_csrftoken=C"},
		"other applications' cookies are removed":   {[]string{"authelia_session=A; a=1; romm_csrftoken=C; Romm_csrftoken=1; xromm_csrftoken=2; romm_csrftokenx=3"}, "romm_session=S", "romm_csrftoken=C; romm_session=S"},
		"20 KB of them":                             {[]string{"a=" + strings.Repeat("x", 10<<10) + "; romm_csrftoken=C", "b=" + strings.Repeat("y", 10<<10)}, "romm_session=S", "romm_csrftoken=C; romm_session=S"},
		"too long for a line":                       {[]string{"romm_csrftoken=" + strings.Repeat("x", 20<<10) + "; romm_csrftoken=C"}, "", "romm_csrftoken=C"},
		"a session of the browser is removed":       {[]string{"romm_session=evil; romm_csrftoken=C"}, "romm_session=S", "romm_csrftoken=C; romm_session=S"},
		"a name with a trailing space":              {[]string{"romm_csrftoken =C; romm_session =evil"}, "romm_session=S", "romm_session=S"},
		"behind a no-break space":                   {[]string{"\u00a0romm_session=evil; \xa0romm_session=evil; \x85romm_session=evil"}, "romm_session=S", "romm_session=S"},
		"inside a value, where SimpleCookie splits": {[]string{"romm_csrftoken=1 romm_session=evil; romm_csrftoken=2,romm_session=evil"}, "romm_session=S", "romm_session=S"},
		"inside quotes":                             {[]string{`romm_csrftoken="x; romm_session=evil; y"`}, "romm_session=S", "romm_session=S"},
		"several lines become one":                  {[]string{"romm_csrftoken=1", "romm_session=evil", "romm_csrftoken=2"}, "romm_session=S", "romm_csrftoken=1; romm_csrftoken=2; romm_session=S"},
		"pairs without a name":                      {[]string{"evil; =x; romm_csrftoken=C; romm_csrftoken"}, "", "romm_csrftoken=C"},
		"a signed value":                            {[]string{"romm_csrftoken=eyJ0b2tlbiI6Ing_-ifQ==.ab-c_d"}, "", "romm_csrftoken=eyJ0b2tlbiI6Ing_-ifQ==.ab-c_d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Header: http.Header{}}
			if c.lines != nil {
				r.Header["Cookie"] = c.lines
			}
			ForwardCookies(r, rommCookies, c.stamp)
			if got := strings.Join(r.Header["Cookie"], "|"); got != c.want {
				t.Errorf("Cookie is %q, want %q", got, c.want)
			}
		})
	}
}

// CVE-2023-28625: an odd Cookie header field crashes the proxy.
func FuzzForwardCookies(f *testing.F) {
	for _, seed := range []string{"", ";", "=", "a", "a=;;b", "romm_session=x", "a=\"romm_session=x", "\xff=\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		ForwardCookies(r, rommCookies, "romm_session=S")
		got := r.Header["Cookie"]
		if len(got) != 1 || strings.Count(got[0], "romm_session") != 1 || !strings.HasSuffix(got[0], "romm_session=S") {
			t.Errorf("the Cookie line %q became %q, want one line with the stamp once, at its end", line, got)
		}
	})
}

func TestTicketCookie(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ origin, want string }{
		{"https://romm.example.com", "__Host-romm_oidc=T; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"},
		{"http://romm.host.local", "romm_oidc=T; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"},
	} {
		origin, err := OriginOf(c.origin)
		if err != nil {
			t.Fatal(err)
		}
		names := CookieNamesFor(origin)
		if got := names.Set(names.Ticket, "T", time.Hour).String(); got != c.want {
			t.Errorf("the ticket cookie at %s is %s, want %s", c.origin, got, c.want)
		}
		// A browser must accept the cookie, and delete it again.
		jar, _ := cookiejar.New(nil)
		u, _ := url.Parse(c.origin)
		jar.SetCookies(u, []*http.Cookie{names.Set(names.Ticket, "T", time.Hour)})
		if len(jar.Cookies(u)) != 1 {
			t.Errorf("%s: the cookie jar refused the ticket, want it stored", c.origin)
		}
		jar.SetCookies(u, []*http.Cookie{names.Unset(names.Ticket)})
		if len(jar.Cookies(u)) != 0 {
			t.Errorf("%s: the ticket is still in the cookie jar, want it deleted", c.origin)
		}
	}
}

func TestCookieValue(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Cookie"] = []string{"xromm_oidc=0; romm_oidcx=1", "a=2; romm_oidc=3=4; romm_oidc=5"}
	if got := CookieValue(r, "romm_oidc"); got != "3=4" {
		t.Errorf("CookieValue of the first romm_oidc = %q, want 3=4", got)
	}
	if got := CookieValue(r, "none"); got != "" {
		t.Errorf("CookieValue of an absent cookie = %q, want an empty string", got)
	}
}
