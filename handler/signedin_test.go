// What a signed-in request becomes on its way to the application.

package handler

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

func TestSignedInIsStamped(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.IdentityHeaders = true })
	ticket := s.ticket(t, alice)
	w := s.do(t, "/api/x", "Cookie", ticket+"; app_session=evil; app_csrf=1; authelia_session=2",
		"Authorization", "Basic x", "Remote-User", "root", "Remote_Groups", "root", "Connection", "Cookie")
	if w.Code != http.StatusOK || len(s.seen) != 1 {
		t.Fatalf("got %d and %d requests at the application, want 200 and 1", w.Code, len(s.seen))
	}
	got := s.seen[0].Header
	for name, want := range map[string]string{
		"Cookie": "app_csrf=1; app_session=app-0", "Authorization": "", "Connection": "",
		"Remote-User": "alice", "Remote-Email": "alice@example.com", "Remote-Name": "Alice", "Remote-Groups": "a,b", "Remote_Groups": "",
	} {
		if strings.Join(got[name], "|") != want {
			t.Errorf("passed on with %s %q, want %q", name, got[name], want)
		}
	}
	if user := s.chain.user(); user != "alice" {
		t.Errorf("the server was told the user %q, want alice", user)
	}
}

// A client's header field must not survive because the claim that would overwrite
// it is absent. A claim that looks like a placeholder is passed on as it is.
func TestAbsentClaimLeavesNoHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.IdentityHeaders = true })
	ticket := s.ticket(t, flow.Identity{Username: "{env.SECRET}", Name: "a\r\nRemote-User: root"})
	s.do(t, "/api/x", "Cookie", ticket, "Remote-Email", "root@example.com", "Remote-Groups", "root")
	got := s.seen[0].Header
	if got.Get("Remote-User") != "{env.SECRET}" || got["Remote-Email"] != nil || got["Remote-Groups"] != nil || got["Remote-Name"] != nil {
		t.Errorf("passed on with %v, want only Remote-User, as the claim says", got)
	}
}

func TestIdentityHeadersAreOffByDefault(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.do(t, "/api/x", "Cookie", s.ticket(t, alice))
	if got := s.seen[0].Header["Remote-User"]; got != nil {
		t.Errorf("passed on with Remote-User %q, want none", got)
	}
}

func TestPolicyEndsASession(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Policy = Policy{Groups: []string{"z"}} })
	ticket := s.ticket(t, alice)
	if w := s.do(t, "/library", append(fields(navigation), "Cookie", ticket)...); w.Code != http.StatusForbidden {
		t.Errorf("GET /library: got %d, want 403", w.Code)
	}
	if ended := s.endedInApplication(t, 1); len(s.seen) != 0 || len(ended) != 1 {
		t.Errorf("%d requests at the application and %v signed out of it, want 0 and one session", len(s.seen), ended)
	}
	if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized {
		t.Errorf("the old ticket: got %d, want 401", w.Code)
	}
}

// A signed-in user follows the application's link to sign in again. The user gets
// to the page that the link names, but never to another site.
func TestSignInWhileSignedIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	for next, want := range map[string]string{
		"/rom/7?a=%2520b": "/rom/7?a=%20b", "": "/", "//evil.com": "/", `/\evil.com`: "/", "https://evil.com": "/",
		"%2F%09/evil.com": "/", request.Base + "/logout": "/",
	} {
		w := s.do(t, "/signin?next="+next, append(fields(navigation), "Cookie", ticket)...)
		if w.Code != http.StatusFound || w.Header().Get("Location") != want {
			t.Errorf("next=%s: got %d with Location %q, want 302 with %q", next, w.Code, w.Header().Get("Location"), want)
		}
	}
}

func TestGuardDecidesForTheSignedIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	if w := s.do(t, "POST /guarded", "Cookie", s.ticket(t, alice)); w.Code != http.StatusForbidden || len(s.seen) != 0 {
		t.Errorf("POST /guarded: got %d and %d requests at the application, want 403 and 0", w.Code, len(s.seen))
	}
}

// The application learns what it answered to each request that can change its
// accounts, even if the browser left before the answer arrived.
func TestApplicationLearnsOfItsAnswers(t *testing.T) {
	t.Parallel()
	write := func(w http.ResponseWriter) { _, _ = w.Write([]byte("account")) }
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request) error
		want  string
	}{
		"the browser waits":         {func(w http.ResponseWriter, _ *http.Request) error { write(w); return nil }, "200 account"},
		"the browser leaves early":  {func(http.ResponseWriter, *http.Request) error { return context.Canceled }, "0"},
		"the browser leaves midway": {func(w http.ResponseWriter, _ *http.Request) error { write(w); panic(http.ErrAbortHandler) }, "200 account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			s.app.credentials, s.app.answered = map[string]application.Recognition{"good": application.Recognized}, []string{}
			ticket := s.ticket(t, alice)
			known := &bearer{runtime: new(sessionRuntime), record: &session.Record{Identity: alice, Upstream: session.Upstream{ID: "app-0"}}, until: time.Now().Add(time.Hour)}
			known.runtime.confirmation.Store(s.handler.nowAsked())
			s.handler.config.Gate.bearers.put(sha256.Sum256([]byte("access")), known, time.Now())
			s.chain.serve = c.serve
			for _, fields := range [][]string{
				{"/a", "Cookie", ticket}, {"/token", "Authorization", "good"}, {"/bearer", "Authorization", "Bearer access"},
			} {
				r := httptest.NewRequest(http.MethodPut, "https://romm.example.com"+fields[0], nil)
				r.TLS.HandshakeComplete = true
				r.Header.Set("Sec-Fetch-Site", "same-origin")
				r.Header.Set(fields[1], fields[2])
				func() {
					defer func() { _ = recover() }()
					_ = s.handler.ServeHTTP(httptest.NewRecorder(), r, s.chain)
				}()
			}
			if want := []string{"/a " + c.want + " app-0", "/token " + c.want, "/bearer " + c.want + " app-0"}; !slices.Equal(s.app.answered, want) {
				t.Errorf("AfterResponse got %q, want %q", s.app.answered, want)
			}
		})
	}
}
