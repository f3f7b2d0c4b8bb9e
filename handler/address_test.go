// The addresses of the site: also, proxies, and what a 421 says.

package handler

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// atLAN is a site that is reached at http://192.168.1.5:9080 too.
func atLAN(tb testing.TB) *site {
	tb.Helper()
	s := newSite(tb, func(c *Config) {
		c.Also = []request.Origin{{Scheme: "https", Host: "romm.lan"}, {Scheme: "http", Host: "192.168.1.5:9080"}}
	})
	s.app.credentials = map[string]application.Recognition{"good": application.Recognized, "bad": application.Unrecognized}
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		s.seen = append(s.seen, r)
		http.SetCookie(w, &http.Cookie{Name: "app_csrf", Value: "x"})
		_, err := w.Write([]byte("upstream"))
		return err
	}
	return s
}

// lan sends a request to the address in the local network.
func (s *site) lan(tb testing.TB, target string, headers ...string) *httptest.ResponseRecorder {
	tb.Helper()
	method, path, ok := strings.Cut(target, " ")
	if !ok {
		method, path = http.MethodGet, target
	}
	r := httptest.NewRequest(method, "http://192.168.1.5:9080"+path, nil)
	r.RequestURI, s.chain.uri = path, path
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	if err := s.handler.ServeHTTP(w, r, s.chain); err != nil {
		tb.Fatal(err)
	}
	return w
}

// At an address of also, clients with a credential are served, browsers are sent
// to the public origin, and everything else is misdirected. A ticket that was read
// on a plain http network must open nothing there.
func TestAlsoServesClientsOnly(t *testing.T) {
	t.Parallel()
	s := atLAN(t)
	ticket := s.ticket(t, alice)
	for name, c := range map[string]struct {
		target, fields string
		status         int
		location       string
	}{
		"a token":                    {"/token", "Authorization=good", 200, ""},
		"a token with a cookie":      {"/token", "Authorization=good Cookie=" + ticket, 200, ""},
		"a wrong token":              {"/token", "Authorization=bad", 401, ""},
		"an open path":               {"/open", "", 200, ""},
		"a navigation":               {"/rom/7?tab=saves", navigation, 302, "https://romm.example.com/rom/7?tab=saves"},
		"an old browser":             {"/rom/7?tab=saves", oldNavigation, 302, "https://romm.example.com/rom/7?tab=saves"},
		"a navigation with a ticket": {"/", navigation + " Cookie=" + ticket, 302, "https://romm.example.com/"},
		"a double slash":             {"//evil.com/x", navigation, 302, "https://romm.example.com//evil.com/x"},
		"an own endpoint, typed":     {request.Base + "/session", navigation, 302, "https://romm.example.com" + request.Base + "/session"},
		"a script with a ticket":     {"/api/x", fetch + " Cookie=" + ticket, 421, ""},
		"a script":                   {"/api/x", fetch, 421, ""},
		"a form":                     {"POST /library", navigation, 421, ""},
		"an own endpoint":            {request.Base + "/session", "Cookie=" + ticket, 421, ""},
		"a logout token":             {"POST " + request.Base + "/backchannel-logout", "", 421, ""},
		"a sign-out":                 {"POST /signout", "Cookie=" + ticket, 421, ""},
		"a socket":                   {"/ws/x", "Connection=Upgrade Upgrade=websocket Cookie=" + ticket, 421, ""},
		"a prefetch":                 {"/library", navigation + " Sec-Purpose=prefetch", 421, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.seen = nil
			w := s.lan(t, c.target, fields(c.fields)...)
			if w.Code != c.status || w.Header().Get("Location") != c.location || len(w.Header()["Set-Cookie"]) != 0 {
				t.Errorf("got %d %v, want %d with Location %q and no cookie", w.Code, w.Header(), c.status, c.location)
			}
			if (len(s.seen) > 0) != (c.status == 200) || len(s.seen) > 0 && s.seen[0].Header.Get("Cookie") != "" {
				t.Errorf("the application got %d requests, want none but those answered 200, without cookies", len(s.seen))
			}
		})
	}
	if w := s.do(t, "/api/x", "Cookie", ticket, "Host", "romm.lan"); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("the https address: got %d, want 421", w.Code)
	}
	if w := s.do(t, "/token", "Authorization", "good", "Host", "ROMM.lan:443"); w.Code != http.StatusOK {
		t.Errorf("the https address with a token: got %d, want 200", w.Code)
	}
	if w := s.do(t, "/token", "Authorization", "good", "Host", "192.168.1.5:9080"); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("https at the http address: got %d, want 421", w.Code)
	}
}

// Wrong tokens at an address of also count like those at the public origin.
func TestAlsoHasTheSameLimits(t *testing.T) {
	t.Parallel()
	s := atLAN(t)
	for i := range attemptLimit {
		guess := fmt.Sprint("guess", i)
		s.app.credentials[guess] = application.Unrecognized
		s.lan(t, "/token", "Authorization", guess)
	}
	if w := s.lan(t, "/token", "Authorization", "good"); w.Code != http.StatusTooManyRequests {
		t.Errorf("at the same address: got %d, want 429", w.Code)
	}
	if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusTooManyRequests {
		t.Errorf("at the public origin: got %d, want 429", w.Code)
	}
}

// Proxies write X-Forwarded-Proto in any case, and a row of them as a list. A page
// for a misdirected request says what came, what was expected and what differs.
func TestMisdirectedSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted     bool
		host, proto string
		hint        string // empty: 200
	}{
		"upper case":                     {true, "romm.example.com", "HTTPS", ""},
		"a row of proxies":               {true, "romm.example.com", "https, http", ""},
		"a row of proxies, no space":     {true, "romm.example.com", "HTTPS,http", ""},
		"http first":                     {true, "romm.example.com", "http, https", "but its X-Forwarded-Proto is &#34;http&#34;"},
		"trusted, http":                  {true, "romm.example.com", "http", "but its X-Forwarded-Proto is &#34;http&#34;"},
		"trusted, nothing":               {true, "romm.example.com", "", "there is no X-Forwarded-Proto"},
		"not trusted":                    {false, "romm.example.com", "HTTPS", "which trusted_proxies does not list"},
		"not trusted, a list":            {false, "romm.example.com", "https, http", "which trusted_proxies does not list"},
		"another port":                   {true, "romm.example.com:8443", "https", "The port differs"},
		"another host":                   {true, "192.168.1.5", "https", "The host differs"},
		"another host, not ASCII":        {true, "b\u00fccher", "https", "Caddy got a request for https://b?cher"},
		"what came and what is expected": {false, "romm.example.com", "", "Caddy got a request for http://romm.example.com; redirect_uri says https://romm.example.com."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			s.chain.trusted = c.trusted
			r := httptest.NewRequest(http.MethodGet, "http://romm.example.com/open", nil)
			r.Host = c.host
			if c.proto != "" {
				r.Header.Set("X-Forwarded-Proto", c.proto)
			}
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "document")
			w := httptest.NewRecorder()
			if err := s.handler.ServeHTTP(w, r, s.chain); err != nil {
				t.Fatal(err)
			}
			if c.hint == "" && w.Code != http.StatusOK || c.hint != "" && (w.Code != http.StatusMisdirectedRequest || !strings.Contains(w.Body.String(), c.hint)) {
				t.Errorf("got %d %s, want %q", w.Code, w.Body, c.hint)
			}
		})
	}
	t.Run("no port where there should be one", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, func(c *Config) { c.Origin.Host = "romm.example.com:8443" })
		if w := s.do(t, "/open", fields(navigation)...); w.Code != http.StatusMisdirectedRequest || !strings.Contains(w.Body.String(), "The port differs") {
			t.Errorf("got %d %s, want 421 that names the port", w.Code, w.Body)
		}
	})
}

// Cookies do not know ports: two gates at one host name must not take each other's
// tickets for their own, nor end them. A ticket from before the port was part of
// the name is read once more.
func TestTwoGatesAtOneHost(t *testing.T) {
	t.Parallel()
	at := func(host string) *site {
		return newSite(t, func(c *Config) { c.Origin.Host = host })
	}
	first, second, third := at("romm.example.com"), at("romm.example.com:8443"), at("romm.example.com:9443")
	value := func(s *site) string {
		_, ticket, _ := strings.Cut(s.ticket(t, alice), "=")
		return ticket
	}
	a, b, c := value(first), value(second), value(third)
	jar := "__Host-romm_oidc=" + a + "; __Host-romm_oidc_8443=" + b + "; __Host-romm_oidc_9443=" + c
	for host, s := range map[string]*site{"romm.example.com": first, "romm.example.com:8443": second, "romm.example.com:9443": third} {
		if w := s.do(t, "/api/x", "Host", host, "Cookie", jar); w.Code != http.StatusOK || len(w.Header()["Set-Cookie"]) != 0 {
			t.Errorf("%s: got %d %v, want 200 and no cookie", host, w.Code, w.Header())
		}
	}
	w := second.do(t, "POST "+request.Base+"/logout", "Host", "romm.example.com:8443", "Cookie", jar, "Origin", "https://romm.example.com:8443")
	if set := strings.Join(w.Header()["Set-Cookie"], "\n"); !strings.Contains(set, "__Host-romm_oidc_8443=;") || strings.Contains(set, "__Host-romm_oidc=;") {
		t.Errorf("the sign-out at 8443 sets %s, want its own ticket only to go", set)
	}
	if w := second.do(t, "/api/x", "Host", "romm.example.com:8443", "Cookie", "__Host-romm_oidc="+a); w.Code != http.StatusUnauthorized || len(w.Header()["Set-Cookie"]) != 0 {
		t.Errorf("another gate's ticket under the former name: got %d %v, want 401 and no cookie", w.Code, w.Header())
	}
	w = third.do(t, "/api/x", "Host", "romm.example.com:9443", "Cookie", "__Host-romm_oidc="+c)
	if set := strings.Join(w.Header()["Set-Cookie"], "\n"); w.Code != http.StatusOK || !strings.Contains(set, "__Host-romm_oidc_9443="+c) || !strings.Contains(set, "__Host-romm_oidc=;") {
		t.Errorf("the former name: got %d %s, want 200 and the ticket under its new name", w.Code, set)
	}
}
