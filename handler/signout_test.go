// Sign-out: what it ends, and that other sites cannot cause it.

package handler

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// CVE-2024-21492: a session survives its sign-out.
func TestSignOutByScript(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	w := s.do(t, "POST /signout", "Cookie", ticket)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"next":"https://romm.example.com/api/oauth/openid/signed-out"`) {
		t.Errorf("POST /signout: got %d %s, want 200 with the signed-out page as next", w.Code, w.Body)
	}
	set := strings.Join(w.Header()["Set-Cookie"], "\n")
	for _, want := range []string{"__Host-romm_oidc=; Path=/; Max-Age=0", "app_csrf=; Path=/; Max-Age=0", "__Host-romm_oidc_signed_out=1"} {
		if !strings.Contains(set, want) {
			t.Errorf("Set-Cookie has no %q:\n%s", want, set)
		}
	}
	if w.Header().Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("Clear-Site-Data is %q, want \"cache\" in quotes", w.Header().Get("Clear-Site-Data"))
	}
	if ended := s.endedInApplication(t, 1); len(ended) != 1 || ended[0] != "app-0" {
		t.Errorf("signed out of the application: %v, want [app-0]", ended)
	}
	if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized || len(s.seen) != 0 {
		t.Errorf("the old ticket: got %d and %d requests at the application, want 401 and 0", w.Code, len(s.seen))
	}
}

// The end of a session closes its sockets and cuts off responses under way.
func TestEndClosesStreams(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	started, ended := make(chan struct{}), make(chan error, 1)
	socket := &chainFunc{serve: func(_ http.ResponseWriter, r *http.Request) error {
		close(started)
		select {
		case <-r.Context().Done():
			ended <- nil
		case <-time.After(5 * time.Second):
			ended <- errors.New("the socket is open after 5s, want it closed")
		}
		return nil
	}}
	go func() {
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/ws/x", nil)
		r.TLS.HandshakeComplete = true
		r.Header.Set("Cookie", ticket)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		_ = s.handler.ServeHTTP(httptest.NewRecorder(), r, socket)
	}()
	<-started
	if w := s.do(t, "POST /signout", "Cookie", ticket); w.Code != http.StatusOK {
		t.Fatalf("POST /signout: got %d, want 200", w.Code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Right after the user signed out, the application's page starts a sign-in. It
// ends on the signed-out page instead.
func TestNoSignInByItselfAfterSignOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	w := s.do(t, "/signin", append(fields(navigation), "Cookie", "__Host-romm_oidc_signed_out=1")...)
	if w.Code != http.StatusFound || w.Header().Get("Location") != "https://romm.example.com"+request.Base+"/signed-out" {
		t.Errorf("GET /signin: got %d with Location %q, want 302 to the signed-out page", w.Code, w.Header().Get("Location"))
	}
	w = s.do(t, request.Base+"/signed-out", "Cookie", "__Host-romm_oidc_signed_out=1")
	if w.Header().Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("Clear-Site-Data is %q, want the cache cleared: Back would show a page of the application", w.Header().Get("Clear-Site-Data"))
	}
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "You are signed out") ||
		!strings.Contains(strings.Join(w.Header()["Set-Cookie"], ""), "__Host-romm_oidc_signed_out=; Path=/; Max-Age=0") {
		t.Errorf("signed-out page: got %d %v, want 200 and the marker cookie cleared", w.Code, w.Header())
	}
}

// The ticket is a Lax cookie, so another site's form arrives without it. If the gate
// answered it like the application's own sign-out button, the answer would clear
// the ticket.
func TestForeignFormWithoutTicketSignsNoUserOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, fields := range [][]string{{"Origin", "https://evil.com"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		w := s.do(t, "POST /signout", fields...)
		if w.Code != http.StatusForbidden || len(w.Header()["Set-Cookie"]) != 0 {
			t.Errorf("%v: got %d with Set-Cookie %v, want 403 without cookies", fields, w.Code, w.Header()["Set-Cookie"])
		}
	}
}

// A link on another site does not sign the user out.
func TestSignOutLinkOfAnotherSite(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	for name, c := range map[string]struct {
		target, fields string
		status         int
		ends           bool
	}{
		"link of another site":   {"/logout", navigation + " Sec-Fetch-Site=cross-site", 200, false},
		"image":                  {"/logout", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-origin", 200, false},
		"old browser":            {"/logout", "", 200, false},
		"form of another site":   {"POST /logout", "Origin=https://evil.com", 403, false},
		"form of a sibling":      {"POST /logout", "Sec-Fetch-Site=same-site", 403, false},
		"typed address":          {"/logout", navigation + " Sec-Fetch-Site=none Sec-Fetch-User=?1", 303, true},
		"typed in WebKit":        {"/logout", navigation + " Sec-Fetch-Site=none", 200, false},
		"prefetch of a sibling":  {"/logout", navigation + " Sec-Fetch-Site=none Sec-Purpose=prefetch", 503, false},
		"prerender of a sibling": {"/logout", navigation + " Sec-Fetch-Site=none Sec-Fetch-User=?1 Sec-Purpose=prefetch;prerender", 503, false},
		"prefetch on http":       {"/logout", oldNavigation + " Purpose=prefetch", 503, false},
		"HEAD":                   {"HEAD /logout", navigation + " Sec-Fetch-Site=none Sec-Fetch-User=?1", 200, false},
		"prefetch of a form":     {"POST /logout", "Origin=https://romm.example.com Sec-Fetch-Site=same-origin Sec-Purpose=prefetch", 503, false},
		"form, no-referrer":      {"POST /logout", "Origin=null Sec-Fetch-Site=same-origin", 303, true},
		"form, opaque origin":    {"POST /logout", "Origin=null Sec-Fetch-Site=cross-site", 403, false},
		"the gate's own form":    {"POST /logout", "Origin=https://romm.example.com Sec-Fetch-Site=same-origin", 303, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, id, _ := strings.Cut(ticket, "=")
			method, path, ok := strings.Cut(c.target, " ")
			if !ok {
				method, path = "GET", c.target
			}
			w := s.do(t, method+" "+request.Base+path, append(fields(c.fields), "Cookie", ticket)...)
			found, err := s.handler.config.Gate.Sessions.Lookup(t.Context(), id)
			if err != nil || w.Code != c.status || (found == nil) != c.ends {
				t.Errorf("got %d, session ended: %v, error %v; want %d, %v, nil", w.Code, found == nil, err, c.status, c.ends)
			}
			if c.ends {
				ticket = s.ticket(t, alice)
			}
		})
	}
}

// Another site embeds our signed-out page as an image. It must not clear the user's
// cache.
func TestForeignImageOfTheSignedOutPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for headers, cleared := range map[string]bool{
		"Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=cross-site":   false,
		"Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe Sec-Fetch-Site=cross-site": false,
		navigation: true,
		"":         true, // a browser without Sec-Fetch headers
	} {
		w := s.do(t, request.Base+"/signed-out", append(fields(headers), "Cookie", "__Host-romm_oidc_signed_out=1")...)
		if got := w.Header().Get("Clear-Site-Data") != ""; w.Code != http.StatusOK || got != cleared || (w.Header().Get("Set-Cookie") != "") != cleared {
			t.Errorf("%s: got %d %v, want 200, cleared: %v", headers, w.Code, w.Header(), cleared)
		}
	}
}

// A provider sends the browser back from its end-session endpoint. Only the state
// of this browser's own sign-out is taken for an answer to it, and only once.
func TestLogoutStateIsChecked(t *testing.T) {
	inBubble(t, func(*authelia.Options) {}, nil, func(s *siteWithProvider) {
		s.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Metadata = authelia.Set("end_session_endpoint", s.op.Issuer()+"/end")
		})
		ticket := s.signInAs("alice")
		w := s.do(s, "POST /signout", "Cookie", ticket)
		var sent, cookie string
		if _, query, ok := strings.Cut(w.Body.String(), "state="); ok {
			sent, _, _ = strings.Cut(strings.ReplaceAll(query, `"`, "\\"), "\\")
		}
		for _, c := range w.Result().Cookies() {
			if strings.HasSuffix(c.Name, "_logout") {
				cookie = c.Name + "=" + c.Value
			}
		}
		if sent == "" || !strings.HasSuffix(cookie, "="+sent) {
			s.Fatalf("the sign-out sent the state %q with the cookie %q: %s", sent, cookie, w.Body)
		}
		path := request.Base + "/signed-out?state="
		for name, c := range map[string]struct{ state, cookie string }{
			"another state": {"x", cookie}, "no cookie": {sent, ""}, "another browser": {sent, strings.Split(cookie, "=")[0] + "=x"},
		} {
			w := s.do(s, path+c.state, append(fields(navigation), "Cookie", c.cookie)...)
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "logout_unknown") {
				s.Errorf("%s: got %d %s, want 400 logout_unknown", name, w.Code, w.Body)
			}
		}
		w = s.do(s, path+sent, append(fields(navigation), "Cookie", cookie)...)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != signedOutPath || !strings.Contains(strings.Join(w.Header()["Set-Cookie"], ""), "_logout=; Path=/; Max-Age=0") {
			s.Errorf("the right state: got %d %v, want 303 to the signed-out page without the cookie", w.Code, w.Header())
		}
	})
}

// A provider that gained an end-session endpoint since its metadata were read is
// asked for it at the next sign-out.
func TestNewEndSessionEndpoint(t *testing.T) {
	inBubble(t, func(*authelia.Options) {}, nil, func(s *siteWithProvider) {
		edit := authelia.Set("authorization_endpoint", s.op.Issuer()+"/elsewhere")
		s.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = edit })
		if w := s.do(s, "POST /signout"); !strings.Contains(w.Body.String(), signedOutPath) {
			s.Fatalf("the sign-out answered %d %s, want the signed-out page", w.Code, w.Body)
		}
		s.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Metadata = func(d map[string]any) { edit(d); d["end_session_endpoint"] = s.op.Issuer() + "/end" }
		})
		s.advance(11 * time.Second)
		if w := s.do(s, "POST /signout"); !strings.Contains(w.Body.String(), s.op.Issuer()+"/end?") {
			s.Errorf("the sign-out answered %d %s, want the new endpoint", w.Code, w.Body)
		}
	})
}
