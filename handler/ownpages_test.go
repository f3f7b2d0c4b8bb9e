// The gate's own endpoints in browsers that say little, and what nothing may cause.

package handler

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// A browser guesses what its user will open. Speculation rules on a sibling
// subdomain send the ticket and Sec-Fetch-Site: none; on http there is a Purpose
// at most. No own endpoint starts, ends or clears anything for that, or for HEAD.
func TestSpeculationChangesNothing(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		for _, path := range []string{"", "?code=c&state=r.x", "/login", "/login?next=/x", "/logout", "/signed-out", "/session", "/failed", "/x"} {
			for _, how := range []string{
				"GET " + navigation + " Sec-Fetch-Site=none Sec-Fetch-User=?1 Sec-Purpose=prefetch",
				"GET " + navigation + " Sec-Fetch-Site=none Sec-Purpose=prefetch;prerender",
				"GET " + navigation + " Sec-Fetch-Site=same-origin Sec-Purpose=prefetch;anonymous-client-ip",
				"GET " + oldNavigation + " Purpose=prefetch", "GET Accept=text/html Purpose=prefetch", "GET " + oldNavigation + " X-Moz=prefetch",
				"GET " + oldNavigation + " X-Purpose=preview", "HEAD " + navigation + " Sec-Fetch-Site=none Sec-Fetch-User=?1", "HEAD Accept=text/html", "HEAD ",
			} {
				method, headers, _ := strings.Cut(how, " ")
				for _, cookie := range []string{"__Host-romm_oidc_signed_out=1", ticket} {
					w := s.do(s, method+" "+request.Base+path, append(fields(headers), "Cookie", cookie)...)
					if len(w.Header()["Set-Cookie"]) != 0 || w.Header().Get("Clear-Site-Data") != "" || w.Header().Get("Location") != "" {
						s.Errorf("%s, %s: got %d %v, want no effect", how, path, w.Code, w.Header())
					}
				}
			}
		}
		if s.session(ticket) == nil {
			s.Error("a guess signed the user out")
		}
	})
}

// Browsers without Fetch Metadata get pages and redirects at the paths that only
// browsers open.
func TestOldBrowserAtOwnEndpoints(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		for _, accept := range []string{oldNavigation, "Accept=text/html"} {
			for target, want := range map[string]int{"/signin": 302, request.Base + "/login": 302, sessionsPath: 302, request.Base + "/x": 404, request.Base + "/logout": 303} {
				w := s.do(s, target, fields(accept)...)
				if w.Code != want || strings.Contains(w.Body.String(), `{"detail"`) {
					s.Errorf("%s, %s: got %d %s, want %d and no JSON", accept, target, w.Code, w.Body, want)
				}
			}
		}
		if w := s.do(s, sessionsPath, append(fields(oldNavigation), "Cookie", ticket)...); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "This browser") {
			s.Errorf("the page of sessions: got %d %s, want the page", w.Code, w.Body)
		}
		if w := s.postEnd(s, "end=others", append(fields(oldNavigation), "Cookie", ticket, "Origin", "https://romm.example.com")...); w.Code != http.StatusSeeOther {
			s.Errorf("its form: got %d %s, want 303", w.Code, w.Body)
		}
		if w := s.postEnd(s, "end=x", append(fields(oldNavigation), "Cookie", ticket, "Origin", "https://romm.example.com")...); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), `{"detail"`) {
			s.Errorf("its form with an unknown session: got %d %s, want a page", w.Code, w.Body)
		}
	})
}

// A site that sets Referrer-Policy: no-referrer makes the page's own form come with
// Origin: null.
func TestFormUnderNoReferrer(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	for site, want := range map[string]int{"same-origin": 303, "same-site": 403, "cross-site": 403, "none": 403, "": 403} {
		headers := append(fields(navigation), "Cookie", ticket, "Origin", "null")
		if site != "" {
			headers = append(headers, "Sec-Fetch-Site", site)
		}
		if w := s.postEnd(t, "end=others", headers...); w.Code != want {
			t.Errorf("Sec-Fetch-Site %q: got %d %s, want %d", site, w.Code, w.Body, want)
		}
	}
}

// The signed-out page looks before it says that the user is signed out, and an
// address for signing out needs no button where nothing is to be ended.
func TestSignedOutPageLooksFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	w := s.do(t, request.Base+"/signed-out", append(fields(navigation), "Cookie", ticket)...)
	if body := w.Body.String(); w.Code != http.StatusOK || strings.Contains(body, "You are signed out") || !strings.Contains(body, "You are signed in as alice") || w.Header().Get("Clear-Site-Data") != "" {
		t.Errorf("signed in: got %d %v %s, want the user's name", w.Code, w.Header(), body)
	}
	w = s.do(t, request.Base+"/signed-out", append(fields(navigation), "Cookie", "__Host-romm_oidc="+strings.Repeat("A", 43))...)
	if !strings.Contains(w.Body.String(), "You are signed out") {
		t.Errorf("void ticket: got %d %s, want the signed-out page", w.Code, w.Body)
	}
	for _, headers := range []string{navigation + " Sec-Fetch-Site=none Sec-Fetch-User=?1", navigation + " Sec-Fetch-Site=none", navigation + " Sec-Fetch-Site=cross-site", oldNavigation} {
		w := s.do(t, request.Base+"/logout", fields(headers)...)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != signedOutPath {
			t.Errorf("%s: got %d with Location %q, want 303 to the signed-out page", headers, w.Code, w.Header().Get("Location"))
		}
	}
}

// A local target never leads to an endpoint of the gate, however its path is
// spelled: another site's link could make the user's own browser sign out.
func TestNextHasOneNormalForm(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, next := range []string{
		"/api/oauth/openid", "/api/oauth/openid/", "/api/oauth/openid/logout", "/api//oauth/openid/logout", "/api/oauth//openid/logout", "/api/oauth/openid//logout",
		"/api/%6fauth/openid/logout", "/api%2Foauth/openid/logout", "/api/oauth/openid%2Flogout", "/api///oauth%2F%2Fopenid/logout", "/api//oauth/openid/session", "/api/oauth/openid/session/",
		"/api/oauth/openid?code=c", "/api//oauth/openid?code=c", "/api/oauth/openid/failed?reference=x", "/api/x/../oauth/openid/logout", "/%2fapi/oauth/openid/logout", "//evil.com", `/\evil.com`,
	} {
		if got := s.handler.localTarget(next); got != "/" {
			t.Errorf("%s leads to %s, want /", next, got)
		}
	}
	for _, next := range []string{"/rom/7", "/api/oauth/openidx", "/api/roms/1/content/a.zip", "/?next=/api/oauth/openid/logout", "/a//b", sessionsPath, `/x?a=\b`} {
		if got := s.handler.localTarget(next); got != next {
			t.Errorf("%s leads to %s, want it kept", next, got)
		}
	}
	ticket := s.ticket(t, alice)
	w := s.do(t, request.Base+"/login?next="+url.QueryEscape("/api//oauth/openid/logout"), append(fields(navigation), "Cookie", ticket, "Sec-Fetch-Site", "cross-site")...)
	if w.Header().Get("Location") != "/" {
		t.Errorf("got %d with Location %q, want /", w.Code, w.Header().Get("Location"))
	}
}

// The attacker's links begin sign-ins that lead to pages with long addresses, and end
// others on the page of a failure. Together, the cookies must not outgrow the 8 KiB that
// servers accept in a line: one in front of Caddy would then refuse every request.
func TestLinksDoNotFillTheCookieLine(t *testing.T) {
	for _, length := range []int{1, 300, 900, 1500, 2350, 2680} {
		t.Run(strconv.Itoa(length), func(t *testing.T) {
			inBubble(t, plainClient, nil, func(s *siteWithProvider) {
				v, most := s.visitor(), 0
				v.cookies["__Host-romm_oidc_hint"] = strings.Repeat("h", 2700) // the largest; see hintLimit
				for i := range 60 {
					v.get(request.Base + "/login?next=/" + strings.Repeat("a", length))
					if i%3 == 0 {
						v.get(request.Base + "?code=x&state=unknown" + strconv.Itoa(i))
					}
					line := len("__Host-romm_oidc=") + 100
					for name, value := range v.cookies {
						line += len(name) + len(value) + 3
					}
					most = max(most, line)
				}
				if most > 8<<10 {
					s.Errorf("the cookies have %d bytes, want at most 8 KiB", most)
				}
			})
		})
	}
}

// A browser restores two dozen tabs: each comes back to its page.
func TestManyTabsAtOnce(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		v := s.visitor()
		begun := map[string]string{}
		for i := range 20 {
			page := "/rom/" + string(rune('a'+i)) + "?tab=saves"
			w := v.get(page)
			v.atPortal(w)
			begun[page] = w.Header().Get("Location")
		}
		bytes := 0
		for name, value := range v.cookies {
			bytes += len(name) + len(value) + 3
		}
		if bytes > 8<<10 {
			s.Errorf("20 tabs have %d bytes of cookies, want at most 8 KiB", bytes)
		}
		for page, location := range begun {
			callback, err := s.op.SignIn(s.portal, location, "alice", "alice-password")
			if err != nil {
				s.Fatal(err)
			}
			u, _ := url.Parse(callback)
			if back := v.get(u.RequestURI()); back.Header().Get("Location") != page {
				s.Errorf("%s: the tab came back to %q", page, back.Header().Get("Location"))
			}
		}
	})
}

// The page of sessions says how long the end of another session lasts.
func TestSessionsPageSaysHowLongAnEndLasts(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	w := s.do(t, sessionsPath, append(fields(navigation), "Cookie", s.ticket(t, alice))...)
	if !strings.Contains(w.Body.String(), "will be signed in here again when it reloads") || strings.Contains(w.Body.String(), "{provider}") {
		t.Errorf("got %s, want a word about the portal's session", w.Body)
	}
}
