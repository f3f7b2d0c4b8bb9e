// Sign-ins that fail: what the browser shows, keeps and tries again.

package handler

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// An attacker reads the browser's history, or the Referer in an access log. A
// failed callback must not leave its code and state there. The page can be
// loaded again, on another node too, and in another browser it gives nothing away.
func TestFailedCallbackLeavesNoCode(t *testing.T) {
	inBubble(t, plainClient, func(c *Config) { c.Policy = Policy{Emails: []string{"bob@example.com"}} }, func(s *siteWithProvider) {
		v := s.visitor()
		back := v.at(v.get("/rom/7?tab=saves"), nil)
		page, address := v.failed(back, "not_allowed")
		if page.Code != http.StatusForbidden || !strings.Contains(page.Body.String(), "as alice.") || !strings.Contains(page.Body.String(), "another account") {
			s.Errorf("got %d %s, want 403 with the user and another account", page.Code, page.Body)
		}
		if again := v.get(address); again.Code != page.Code || again.Body.String() != page.Body.String() {
			s.Errorf("loaded again: got %d %s, want the same page", again.Code, again.Body)
		}
		if w := s.open(address); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "sign_in_failed · reference") || strings.Contains(w.Body.String(), "alice") {
			s.Errorf("another browser: got %d %s, want 400 sign_in_failed without the user", w.Code, w.Body)
		}
		node := newSite(s, func(c *Config) {
			c.Gate.Sessions.Configure(s.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
		})
		s.handler = node.handler
		if w := v.get(address); w.Code != http.StatusForbidden {
			s.Errorf("another node: got %d %s, want the same page", w.Code, w.Body)
		}
		for name, value := range v.cookies {
			if strings.Contains(name, "failed_") {
				forged := []byte(value)
				forged[0] ^= 1
				v.cookies[name] = string(forged)
			}
		}
		if w := v.get(address); !strings.Contains(w.Body.String(), "sign_in_failed") {
			s.Errorf("forged page: got %s, want sign_in_failed", w.Body)
		}
		if w := v.get(failedPath + "?reference=%3Cscript%3E&next=//evil.com"); strings.Contains(w.Body.String(), "script>") || strings.Contains(w.Body.String(), "evil") {
			s.Errorf("made-up reference: got %s, want nothing of it on the page", w.Body)
		}
	})
}

// Whatever fails at the callback, the browser is led to a page that tries again
// with a new sign-in, and never loads the spent callback again. The page that was
// asked for survives any number of tries.
func TestRetryKeepsThePageAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(*siteWithProvider)
		code    string
		refresh bool
	}{
		"token endpoint answers 503": {func(s *siteWithProvider) { s.fault(authelia.EndpointToken, authelia.Fault{Status: 503}) }, "provider_unavailable", true},
		"token endpoint answers 429": {func(s *siteWithProvider) { s.fault(authelia.EndpointToken, authelia.Fault{Status: 429}) }, "provider_unavailable", true},
		"userinfo answers 503":       {func(s *siteWithProvider) { s.fault(authelia.EndpointUserinfo, authelia.Fault{Status: 503}) }, "provider_unavailable", true},
		"code refused": {func(s *siteWithProvider) {
			s.fault(authelia.EndpointToken, authelia.Fault{Status: 400, Body: `{"error":"invalid_grant"}`})
		}, "token_refused", false},
		"application away": {func(s *siteWithProvider) {
			s.app.err = &problem.Problem{Code: "app_away", Status: 502, Way: problem.WayRetry, Retry: 5 * time.Second}
		}, "app_away", true},
		"server_error": {func(s *siteWithProvider) {
			s.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.AuthorizationResponse = func(v url.Values) { v.Del("code"); v.Set("error", "server_error") }
			})
		}, "provider_error", false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, nil, func(s *siteWithProvider) {
				const target = `/library?q=a\b&x=%2F`
				retry := request.Base + "/login?next=" + url.QueryEscape(target)
				v := s.visitor()
				c.spoil(s)
				next := target
				for range 5 {
					page, _ := v.failed(v.at(v.get(next), nil), c.code)
					if got := page.Header().Get("Refresh"); c.refresh && !strings.HasSuffix(got, "; url="+retry) || !c.refresh && got != "" {
						s.Fatalf("Refresh is %q, want the retry's address: %v", got, c.refresh)
					}
					if !strings.Contains(page.Body.String(), `id="retry" href="`+strings.ReplaceAll(retry, "&", "&amp;")+`"`) {
						s.Fatalf("the page does not lead to %s:\n%s", retry, page.Body)
					}
					next = retry
					s.advance(5 * time.Second)
				}
				s.op.Behave()
				s.app.err = nil
				s.advance(2 * time.Minute)
				if back := v.at(v.get(retry), nil); back.Header().Get("Location") != target {
					s.Errorf("got %d with Location %q, want the page that was asked for", back.Code, back.Header().Get("Location"))
				}
			})
		})
	}
}

// Authorization errors have words of their own: none of them says that the
// provider is away, that a code was refused, or that the browser keeps no cookies.
func TestAuthorizationErrorsSayWhatHappened(t *testing.T) {
	for refused, code := range map[string]string{
		"access_denied": "sign_in_denied", "server_error": "provider_error", "temporarily_unavailable": "provider_unavailable",
		"login_required": "login_required", "interaction_required": "login_required", "consent_required": "login_required",
		"account_selection_required": "login_required", "invalid_scope": "provider_refused", "unauthorized_client": "provider_refused",
	} {
		t.Run(refused, func(t *testing.T) {
			inBubble(t, plainClient, nil, func(s *siteWithProvider) {
				v := s.visitor()
				back := v.at(v.get("/rom/7"), func(q url.Values) { q.Del("code"); q.Set("error", refused) })
				page, _ := v.failed(back, code)
				if !strings.Contains(page.Body.String(), "next=%2From%2F7") {
					s.Errorf("the page lost the page asked for:\n%s", page.Body)
				}
				if refresh := page.Header().Get("Refresh"); (refresh != "") != (code == "provider_unavailable") {
					s.Errorf("Refresh is %q: only an outage is tried again by itself", refresh)
				}
			})
		})
	}
}

// Authelia disables a user who is signed in at its portal. Every try ends on a page
// that says so, and none on "Your browser does not accept cookies".
func TestDisabledUserWithALivePortalSession(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.signInAs("alice")
		s.op.DisableUser("alice")
		v := s.visitor()
		next := "/rom/7"
		for range 4 {
			page, address := v.failed(v.at(v.get(next), nil), "provider_error")
			if page.Header().Get("Refresh") != "" || !strings.Contains(page.Body.String(), "another account") {
				s.Errorf("got %v %s, want a page that waits and offers another account", page.Header(), page.Body)
			}
			if again := v.get(address); !strings.Contains(again.Body.String(), "provider_error") {
				s.Errorf("F5: got %s, want the same page", again.Body)
			}
			next = request.Base + "/login?next=%2From%2F7"
		}
	})
}

// A proxy drops or changes the state, or an error response has none. The browser
// must not go round in circles: after two tries there is a page with the cause, and
// a line in the log.
func TestLostStateDoesNotLoop(t *testing.T) {
	for name, c := range map[string]struct {
		change func(url.Values)
		cause  string
	}{
		"missing state":                {func(q url.Values) { q.Del("state") }, "it has no state"},
		"wrong state":                  {func(q url.Values) { q.Set("state", "another-state") }, "its state is that of no sign-in"},
		"wrong state, marked":          {func(q url.Values) { q.Set("state", "r.another-state") }, "its state is that of no sign-in"},
		"an error without a state":     {func(q url.Values) { clear(q); q.Set("error", "invalid_request") }, "the error invalid_request"},
		"an error that is no code":     {func(q url.Values) { clear(q); q.Set("error", "<script>") }, "it has no state"},
		"the query is dropped":         {func(q url.Values) { clear(q) }, "without a query"},
		"the state twice, first wrong": {func(q url.Values) { q["state"] = []string{"another", q.Get("state")} }, "its state is that of no sign-in"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, nil, func(s *siteWithProvider) {
				v := s.visitor()
				w := v.get("/rom/7")
				for range 2 {
					w = v.at(w, c.change)
				}
				page, _ := v.failed(v.at(w, c.change), "state_lost")
				if body := page.Body.String(); !strings.Contains(body, "next=%2From%2F7") || strings.Contains(body, "<script>") {
					s.Errorf("got %s, want the way back to the page asked for", body)
				}
				lines := s.logs.FilterMessage("request refused").FilterField(zap.String("code", "state_lost")).All()
				if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["cause"].(string), c.cause) {
					s.Errorf("the log says %v, want one line with %q", lines, c.cause)
				}
				// Mended, the next try works, and starts from zero.
				if back := v.at(v.get(request.Base+"/login?next=%2From%2F7"), nil); back.Header().Get("Location") != "/rom/7" {
					s.Errorf("got %d with Location %q, want /rom/7", back.Code, back.Header().Get("Location"))
				}
				if _, counted := v.cookies["__Host-romm_oidc_restarts"]; counted {
					s.Error("the count of tries outlives the sign-in")
				}
			})
		})
	}
}

// Only a browser that sent none of our cookies is told that it keeps none.
func TestCookiesMissingOnlyIfNoneCame(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		for name, c := range map[string]struct {
			query, cookie, code string
		}{
			"second try without cookies": {"code=c&state=r.unknown", "", "cookies_missing"},
			"no state and no cookies":    {"code=c", "", "cookies_missing"},
			"cookies of other apps":      {"code=c&state=r.unknown", "a=b; authelia_session=c", "cookies_missing"},
			"our login cookie came":      {"code=c&state=r.unknown", "__Host-romm_oidc_login_x_y=z", ""},
			"our ticket came":            {"code=c&state=r.unknown", "__Host-romm_oidc=z", ""},
			"first try without cookies":  {"code=c&state=unknown", "", ""},
		} {
			w := s.open(request.Base+"?"+c.query, c.cookie)
			if c.code == "" {
				if !strings.HasPrefix(w.Header().Get("Location"), "https://auth.example.com/") {
					s.Errorf("%s: got %d with Location %q, want another try", name, w.Code, w.Header().Get("Location"))
				}
				continue
			}
			// The browser keeps none on the way to the page either.
			if page := s.open(w.Header().Get("Location"), c.cookie); !strings.Contains(page.Body.String(), c.code+" · reference") {
				s.Errorf("%s: got %d %s, want the page %s", name, page.Code, page.Body, c.code)
			}
		}
	})
}
