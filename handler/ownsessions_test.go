// The page where users see and end their own sessions.

package handler

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// signIn signs a user in without the provider and returns the cookie and the session.
func (s *site) signIn(tb testing.TB, identity flow.Identity) (string, *session.Session) {
	tb.Helper()
	ticket, opened, err := s.handler.config.Gate.Sessions.Create(tb.Context(), session.Record{
		Identity: identity, Upstream: session.Upstream{ID: "app-0"}, Created: time.Now(),
		Tokens: flow.Tokens{Access: "authelia_at_x", Refresh: "authelia_rt_x", ID: "eyJx"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return "__Host-romm_oidc=" + ticket, opened
}

// postEnd sends the form of the session page.
func (s *site) postEnd(tb testing.TB, body string, more ...string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://romm.example.com"+sessionsPath, strings.NewReader(body))
	r.TLS.HandshakeComplete = true
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	if err := s.handler.ServeHTTP(w, r, s.chain); err != nil {
		tb.Fatal(err)
	}
	return w
}

// Users see their own sessions only. The page contains nothing that opens a session:
// no ticket and no token (CVE-2024-39315).
func TestOwnSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	cookie, this := s.signIn(t, alice)
	other, otherSession := s.signIn(t, alice)
	_, bobs := s.signIn(t, bob)

	w := s.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...)
	page := w.Body.String()
	if w.Code != http.StatusOK || strings.Count(page, "This browser") != 1 || strings.Count(page, "Another browser") != 1 ||
		!strings.Contains(page, `value="`+otherSession.ID().String()) || !strings.Contains(page, "End all others") || !strings.Contains(page, "alice@example.com") {
		t.Errorf("got %d, want 200 with this browser and one other:\n%s", w.Code, page)
	}
	if strings.Index(page, this.ID().String()) > strings.Index(page, otherSession.ID().String()) {
		t.Error("the other browser comes first, want this one")
	}
	if w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(page, "<script") {
		t.Errorf("got %v, want no-store, a policy without sources and no script", w.Header())
	}

	w = s.do(t, sessionsPath, append(fields(fetch), "Cookie", cookie)...)
	var answer ownSessions
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("as JSON: got %d %s, %v, want 200", w.Code, w.Body, err)
	}
	if answer.User != "alice" || len(answer.Sessions) != 2 || answer.Expires.Sub(answer.Created).Round(time.Minute) != 24*time.Hour ||
		answer.Sessions[0].This == answer.Sessions[1].This {
		t.Errorf("as JSON: got %+v, want alice's two sessions, one of them this one, for 24 hours", answer)
	}
	for _, secret := range []string{cookie[len("__Host-romm_oidc="):], other[len("__Host-romm_oidc="):], "authelia_", "eyJ", "app-0", bobs.ID().String(), "bob"} {
		if strings.Contains(page, secret) || strings.Contains(w.Body.String(), secret) {
			t.Errorf("the response contains %q, want it absent", secret)
		}
	}
	if w := s.do(t, sessionsPath+"/", append(fields("Accept=text/html"), "Cookie", cookie)...); !strings.HasPrefix(w.Body.String(), "<!DOCTYPE html>") {
		t.Errorf("old browser: got %d %.50s, want a page", w.Code, w.Body)
	}
	if len(s.seen) > 0 {
		t.Errorf("%d requests reached the application, want 0", len(s.seen))
	}
}

func TestOwnSessionsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target, fields string
		anonymous      bool
		status         int
		code           string
	}{
		"script, not signed in":  {sessionsPath, fetch, true, 401, "not_signed_in"},
		"POST, not signed in":    {"POST " + sessionsPath, navigation, true, 401, "not_signed_in"},
		"a frame, not signed in": {sessionsPath, "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe", true, 401, ""},
		"another site's script":  {sessionsPath, fetch + " Origin=https://evil.com", false, 403, "cross_origin"},
		"PUT":                    {"PUT " + sessionsPath, fetch, false, 405, "method_not_allowed"},
		"prefetch":               {sessionsPath, navigation + " Sec-Purpose=prefetch", false, 503, ""},
		"path below":             {sessionsPath + "/x", fetch, false, 404, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			sent := fields(c.fields)
			if !c.anonymous {
				cookie, _ := s.signIn(t, alice)
				sent = append(sent, "Cookie", cookie)
			}
			if w := s.do(t, c.target, sent...); w.Code != c.status || !strings.Contains(w.Body.String(), c.code) || strings.Contains(w.Body.String(), "alice") {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.code)
			}
		})
	}
	s := newSite(t, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} })
	cookie, _ := s.signIn(t, bob)
	if w := s.do(t, sessionsPath, append(fields(fetch), "Cookie", cookie)...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") {
		t.Errorf("user no longer allowed: got %d %s, want 403 not_allowed", w.Code, w.Body)
	}
	s = newSite(t, nil)
	cookie, _ = s.signIn(t, alice)
	s.storage.fail(errors.New("storage down"))
	if w := s.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "storage_unavailable") {
		t.Errorf("storage down: got %d %s, want 503 storage_unavailable", w.Code, w.Body)
	}
}

// A user cannot end another user's session, or find out whether it exists. Another
// site cannot end a session in the user's name.
func TestEndAnotherUsersSession(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	cookie, _ := s.signIn(t, alice)
	bobs, bobsSession := s.signIn(t, bob)
	elsewhere, elsewhereSession := s.signIn(t, alice)
	for name, c := range map[string]struct {
		body   string
		fields []string
		status int
	}{
		"another user's session":     {"end=" + bobsSession.ID().String(), nil, 404},
		"unknown ID":                 {"end=" + strings.Repeat("0", 32), nil, 404},
		"not an ID":                  {"end=alice", nil, 404},
		"ID in upper case":           {"end=" + strings.ToUpper(elsewhereSession.ID().String()), nil, 404},
		"empty form":                 {"", nil, 404},
		"form too large":             {"end=" + elsewhereSession.ID().String() + "&x=" + strings.Repeat("x", endFormLimit), nil, 404},
		"one, by another site":       {"end=" + elsewhereSession.ID().String(), []string{"Origin", "https://evil.com"}, 403},
		"others, by a sibling":       {"end=others", []string{"Origin", "https://x.example.com"}, 403},
		"others, with a null Origin": {"end=others", []string{"Origin", "null"}, 403},
		"others, by another site":    {"end=others", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			if w := s.postEnd(t, c.body, append(c.fields, "Cookie", cookie)...); w.Code != c.status {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
	for _, cookie := range []string{cookie, bobs, elsewhere} {
		if w := s.do(t, "/api/x", "Cookie", cookie); w.Code != http.StatusOK {
			t.Errorf("a session has ended: got %d, want 200", w.Code)
		}
	}
}

func TestEndOwnSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	cookie, this := s.signIn(t, alice)
	bobs, _ := s.signIn(t, bob)
	lives := func(cookie string) bool {
		t.Helper()
		return s.do(t, "/api/x", "Cookie", cookie).Code == http.StatusOK
	}
	same := []string{"Origin", "https://romm.example.com", "Cookie", cookie}

	one, oneSession := s.signIn(t, alice)
	if w := s.postEnd(t, "end="+oneSession.ID().String(), same...); w.Code != http.StatusSeeOther || w.Header().Get("Location") != sessionsPath || lives(one) || !lives(cookie) {
		t.Errorf("end one: got %d %v, want 303 to the page, and only that session ended", w.Code, w.Header())
	}
	two, _ := s.signIn(t, alice)
	three, _ := s.signIn(t, alice)
	if w := s.postEnd(t, "end=others", same...); w.Code != http.StatusSeeOther || lives(two) || lives(three) || !lives(cookie) || !lives(bobs) {
		t.Errorf("end others: got %d %v, want 303, and alice's other sessions ended", w.Code, w.Header())
	}
	if w := s.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...); strings.Contains(w.Body.String(), "End all others") {
		t.Error("the page offers \"End all others\", want it absent without others")
	}
	w := s.postEnd(t, url.Values{"end": {this.ID().String()}}.Encode(), same...)
	if w.Code != http.StatusSeeOther || !strings.HasSuffix(w.Header().Get("Location"), request.Base+"/signed-out") || lives(cookie) ||
		w.Header().Get("Clear-Site-Data") != `"cache"` || len(s.app.ended) == 0 {
		t.Errorf("end this one: got %d %v, want 303 to the signed-out page, and the session ended", w.Code, w.Header())
	}
}

// A sign-in may return to the session page, but to no other endpoint of the gate.
func TestReturnToOwnSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for target, want := range map[string]string{
		sessionsPath: sessionsPath, sessionsPath + "?x": "/", sessionsPath + "/": "/", request.Base + "/login": "/", request.Base: "/",
		request.Base + "/session/../login": "/", request.Base + "/%73ession": "/",
	} {
		if got := s.handler.localTarget(target); got != want {
			t.Errorf("localTarget(%q) = %q, want %q", target, got, want)
		}
	}
}

// A user's name is text on the page, not markup (CVE-2024-21496).
func TestNamesAreTextOnThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	identity := alice
	identity.Username, identity.Email = `<script>alert(1)</script>`, `"><img src=x>@example.com`
	cookie, _ := s.signIn(t, identity)
	w := s.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...)
	if body := w.Body.String(); w.Code != http.StatusOK || strings.Contains(body, "<script") || strings.Contains(body, "<img") {
		t.Errorf("got %d, want 200 without the user's markup:\n%s", w.Code, body)
	}
}
