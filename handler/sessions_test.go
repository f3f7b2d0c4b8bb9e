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

var bob = flow.Identity{Issuer: alice.Issuer, Subject: "2", Username: "bob", Email: "bob@example.com"}

// open signs identity in past the provider and returns the cookie and the session.
func (f *fixture) open(tb testing.TB, identity flow.Identity) (string, *session.Session) {
	tb.Helper()
	ticket, s, err := f.handler.config.Gate.Sessions.Create(tb.Context(), session.Record{
		Identity: identity, UpstreamSession: "app-0", Created: time.Now(),
		Tokens: flow.Tokens{Access: "authelia_at_x", Refresh: "authelia_rt_x", ID: "eyJx"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return "__Host-romm_oidc=" + ticket, s
}

// end sends the form of the page of sessions.
func (f *fixture) end(tb testing.TB, body string, more ...string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://romm.example.com"+sessionsPath, strings.NewReader(body))
	r.TLS.HandshakeComplete = true
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	if err := f.handler.ServeHTTP(w, r, f.chain); err != nil {
		tb.Fatal(err)
	}
	return w
}

// Users see their own sessions, and nothing that opens one: no ticket and no
// token (CVE-2024-39315), and nobody else's.
func TestOwnSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cookie, this := f.open(t, alice)
	other, otherSession := f.open(t, alice)
	_, bobs := f.open(t, bob)

	w := f.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...)
	page := w.Body.String()
	if w.Code != http.StatusOK || strings.Count(page, "This browser") != 1 || strings.Count(page, "Another browser") != 1 ||
		!strings.Contains(page, `value="`+otherSession.ID().String()) || !strings.Contains(page, "End all others") || !strings.Contains(page, "alice@example.com") {
		t.Errorf("%d %s", w.Code, page)
	}
	if strings.Index(page, this.ID().String()) > strings.Index(page, otherSession.ID().String()) {
		t.Error("this browser does not come first")
	}
	if w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(page, "<script") {
		t.Errorf("%v", w.Header())
	}

	w = f.do(t, sessionsPath, append(fields(fetch), "Cookie", cookie)...)
	var answer ownSessions
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if answer.User != "alice" || len(answer.Sessions) != 2 || answer.Expires.Sub(answer.Created).Round(time.Minute) != 24*time.Hour ||
		answer.Sessions[0].This == answer.Sessions[1].This {
		t.Errorf("%+v", answer)
	}
	for _, secret := range []string{cookie[len("__Host-romm_oidc="):], other[len("__Host-romm_oidc="):], "authelia_", "eyJ", "app-0", bobs.ID().String(), "bob"} {
		if strings.Contains(page, secret) || strings.Contains(w.Body.String(), secret) {
			t.Errorf("it shows %s", secret)
		}
	}
	if w := f.do(t, sessionsPath+"/", append(fields("Accept=text/html"), "Cookie", cookie)...); !strings.HasPrefix(w.Body.String(), "<!DOCTYPE html>") {
		t.Errorf("an old browser gets %d %.50s", w.Code, w.Body)
	}
	if len(f.seen) > 0 {
		t.Error("the application was asked")
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
		"below":                  {sessionsPath + "/x", fetch, false, 404, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			sent := fields(c.fields)
			if !c.anonymous {
				cookie, _ := f.open(t, alice)
				sent = append(sent, "Cookie", cookie)
			}
			if w := f.do(t, c.target, sent...); w.Code != c.status || !strings.Contains(w.Body.String(), c.code) || strings.Contains(w.Body.String(), "alice") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	f := newFixture(t, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} })
	cookie, _ := f.open(t, bob)
	if w := f.do(t, sessionsPath, append(fields(fetch), "Cookie", cookie)...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") {
		t.Errorf("no longer allowed: %d %s", w.Code, w.Body)
	}
	f = newFixture(t, nil)
	cookie, _ = f.open(t, alice)
	f.storage.fail(errors.New("away"))
	if w := f.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "storage_unavailable") {
		t.Errorf("storage away: %d %s", w.Code, w.Body)
	}
}

// Somebody else's session cannot be ended, nor is it told whether there is
// one; and another site cannot end one in its user's name.
func TestEndSomebodyElsesSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cookie, _ := f.open(t, alice)
	bobs, bobsSession := f.open(t, bob)
	elsewhere, elsewhereSession := f.open(t, alice)
	for name, c := range map[string]struct {
		body   string
		fields []string
		status int
	}{
		"bob's":               {"end=" + bobsSession.ID().String(), nil, 404},
		"an id of none":       {"end=" + strings.Repeat("0", 32), nil, 404},
		"no id":               {"end=alice", nil, 404},
		"in upper case":       {"end=" + strings.ToUpper(elsewhereSession.ID().String()), nil, 404},
		"nothing":             {"", nil, 404},
		"too much":            {"end=" + elsewhereSession.ID().String() + "&x=" + strings.Repeat("x", endFormLimit), nil, 404},
		"by another site":     {"end=" + elsewhereSession.ID().String(), []string{"Origin", "https://evil.com"}, 403},
		"by a sibling":        {"end=others", []string{"Origin", "https://x.example.com"}, 403},
		"by no site in sight": {"end=others", []string{"Origin", "null"}, 403},
		"all, by another":     {"end=others", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			if w := f.end(t, c.body, append(c.fields, "Cookie", cookie)...); w.Code != c.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for _, cookie := range []string{cookie, bobs, elsewhere} {
		if w := f.do(t, "/api/x", "Cookie", cookie); w.Code != http.StatusOK {
			t.Errorf("a session has ended: %d", w.Code)
		}
	}
}

func TestEndOwnSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cookie, this := f.open(t, alice)
	bobs, _ := f.open(t, bob)
	lives := func(cookie string) bool {
		t.Helper()
		return f.do(t, "/api/x", "Cookie", cookie).Code == http.StatusOK
	}
	same := []string{"Origin", "https://romm.example.com", "Cookie", cookie}

	one, oneSession := f.open(t, alice)
	if w := f.end(t, "end="+oneSession.ID().String(), same...); w.Code != http.StatusSeeOther || w.Header().Get("Location") != sessionsPath || lives(one) || !lives(cookie) {
		t.Errorf("one: %d %v", w.Code, w.Header())
	}
	two, _ := f.open(t, alice)
	three, _ := f.open(t, alice)
	if w := f.end(t, "end=others", same...); w.Code != http.StatusSeeOther || lives(two) || lives(three) || !lives(cookie) || !lives(bobs) {
		t.Errorf("others: %d %v", w.Code, w.Header())
	}
	if w := f.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...); strings.Contains(w.Body.String(), "End all others") {
		t.Error("there are no others")
	}
	w := f.end(t, url.Values{"end": {this.ID().String()}}.Encode(), same...)
	if w.Code != http.StatusSeeOther || !strings.HasSuffix(w.Header().Get("Location"), request.Base+"/signed-out") || lives(cookie) ||
		w.Header().Get("Clear-Site-Data") != `"cache"` || len(f.app.ended) == 0 {
		t.Errorf("this one: %d %v", w.Code, w.Header())
	}
}

// A sign-in may come back to the page of sessions, and to no other endpoint of ours.
func TestReturnToOwnSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for target, want := range map[string]string{
		sessionsPath: sessionsPath, sessionsPath + "?x": "/", sessionsPath + "/": "/", request.Base + "/login": "/", request.Base: "/",
		request.Base + "/session/../login": "/", request.Base + "/%73ession": "/",
	} {
		if got := f.handler.localTarget(target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

// What a name holds is text on the page (CVE-2024-21496).
func TestNamesAreTextOnThePage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	identity := alice
	identity.Username, identity.Email = `<script>alert(1)</script>`, `"><img src=x>@example.com`
	cookie, _ := f.open(t, identity)
	w := f.do(t, sessionsPath, append(fields(navigation), "Cookie", cookie)...)
	if body := w.Body.String(); w.Code != http.StatusOK || strings.Contains(body, "<script") || strings.Contains(body, "<img") {
		t.Errorf("%s", body)
	}
}
