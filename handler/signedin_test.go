package handler

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// forgetful makes the chain behave as an application whose sessions are gone
// but for those that it signed in lately.
func (f *fixture) forgetful(hits *atomic.Int64) {
	f.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		hits.Add(1)
		session := request.CookieValue(r, "app_session")
		if f.app.lives(session) {
			w.Header().Set("X-Session", "alive")
			w.Header().Set("Etag", "fresh")
			_, err := w.Write([]byte("for " + session))
			return err
		}
		w.Header().Set("X-Session", "forgotten")
		w.Header().Set("Etag", "stale")
		w.Header().Set("X-Stale", "1")
		w.WriteHeader(http.StatusUnauthorized)
		_, err := w.Write([]byte("who are you"))
		return err
	}
}

// The application was restarted and knows nobody: a read is asked again with a
// new session, and the browser sees the second answer only.
func TestForgottenSessionIsBrokeredAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	delete(f.app.alive, "app-0")
	var hits atomic.Int64
	f.forgetful(&hits)
	w := f.do(t, "/api/x?a=b", "Cookie", ticket)
	if w.Code != http.StatusOK || w.Body.String() != "for app-i" || w.Header().Get("Etag") != "fresh" || w.Header().Get("X-Stale") != "" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	if hits.Load() != 2 || f.app.signIns != 1 {
		t.Errorf("asked %d times, signed in %d times", hits.Load(), f.app.signIns)
	}
	if w := f.do(t, "/api/x", "Cookie", ticket); w.Body.String() != "for app-i" || hits.Load() != 3 {
		t.Errorf("afterwards: %q, asked %d times", w.Body, hits.Load())
	}
}

// A write cannot be asked again, so the session is confirmed before it.
func TestWriteMeetsALiveSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	delete(f.app.alive, "app-0")
	var hits atomic.Int64
	f.forgetful(&hits)
	w := f.do(t, "POST /api/saves", "Cookie", ticket)
	if w.Code != http.StatusOK || w.Body.String() != "for app-i" || hits.Load() != 1 {
		t.Errorf("%d %q, asked %d times", w.Code, w.Body, hits.Load())
	}
}

// A stampede after a restart costs one sign-in.
func TestBrokeringIsSingleFlight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	delete(f.app.alive, "app-0")
	var hits atomic.Int64
	f.forgetful(&hits)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Cookie", ticket)
			w := httptest.NewRecorder()
			chain := &chainFunc{serve: f.chain.serve}
			if err := f.handler.ServeHTTP(w, r, chain); err != nil || w.Body.String() != "for app-i" {
				t.Errorf("%v %q", err, w.Body)
			}
		})
	}
	wg.Wait()
	if f.app.signIns != 1 {
		t.Errorf("signed in %d times", f.app.signIns)
	}
}

// What the application has against somebody ends on a page, and not in a loop.
func TestRefusedBrokeringEndsOnAPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	delete(f.app.alive, "app-0")
	f.app.err = problem.NotAllowed
	var hits atomic.Int64
	f.forgetful(&hits)
	for range 3 {
		w := f.do(t, "/library", append(fields(navigation), "Cookie", ticket)...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") || strings.Contains(w.Body.String(), "who are you") {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	}
	if f.app.signIns != 1 {
		t.Errorf("signed in %d times", f.app.signIns)
	}
}

// The application's page, told that nobody is signed in, starts a sign-in by
// itself; somebody whom the application refuses must not go round for ever.
func TestRefusedSignInDoesNotLoop(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	delete(f.app.alive, "app-0")
	f.app.err = problem.NotAllowed
	for range 3 {
		w := f.do(t, "/signin?next=/rom/7", append(fields(navigation), "Cookie", ticket)...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") {
			t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
		}
	}
}

// The end of a session ends its sockets, and an answer that is on its way.
func TestEndClosesStreams(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	started, ended := make(chan struct{}), make(chan error, 1)
	socket := &chainFunc{serve: func(_ http.ResponseWriter, r *http.Request) error {
		close(started)
		select {
		case <-r.Context().Done():
			ended <- nil
		case <-time.After(5 * time.Second):
			ended <- errors.New("still open")
		}
		return nil
	}}
	go func() {
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/ws/x", nil)
		r.TLS.HandshakeComplete = true
		r.Header.Set("Cookie", ticket)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		_ = f.handler.ServeHTTP(httptest.NewRecorder(), r, socket)
	}()
	<-started
	if w := f.do(t, "POST /signout", "Cookie", ticket); w.Code != http.StatusOK {
		t.Fatalf("%d", w.Code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// CVE-2024-21492: a session that survives its sign-out.
func TestSignOutByScript(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	w := f.do(t, "POST /signout", "Cookie", ticket)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"next":"https://romm.example.com/api/oauth/openid/signed-out"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	set := strings.Join(w.Header()["Set-Cookie"], "\n")
	for _, want := range []string{"__Host-romm_oidc=; Path=/; Max-Age=0", "app_csrf=; Path=/; Max-Age=0", "__Host-romm_oidc_signed_out=1"} {
		if !strings.Contains(set, want) {
			t.Errorf("no %q in\n%s", want, set)
		}
	}
	if w.Header().Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("Clear-Site-Data: %s", w.Header().Get("Clear-Site-Data"))
	}
	if ended := f.endedInApplication(t, 1); len(ended) != 1 || ended[0] != "app-0" {
		t.Errorf("ended in the application: %v", ended)
	}
	if w := f.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized || len(f.seen) != 0 {
		t.Errorf("the old ticket gives %d", w.Code)
	}
}

// The application's page, right after its user signed out, starts a sign-in by
// itself. It ends on the signed-out page.
func TestNoSignInByItselfAfterSignOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	w := f.do(t, "/signin", append(fields(navigation), "Cookie", "__Host-romm_oidc_signed_out=1")...)
	if w.Code != http.StatusFound || w.Header().Get("Location") != "https://romm.example.com"+request.Base+"/signed-out" {
		t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
	}
	w = f.do(t, request.Base+"/signed-out", "Cookie", "__Host-romm_oidc_signed_out=1")
	if w.Header().Get("Clear-Site-Data") != `"cache"` {
		t.Error("Back leads to a page of the application's")
	}
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "You are signed out") ||
		!strings.Contains(strings.Join(w.Header()["Set-Cookie"], ""), "__Host-romm_oidc_signed_out=; Path=/; Max-Age=0") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// A form of another site comes without the ticket, since that is Lax. Answered
// as the application's own button is, it would take the ticket away all the same.
func TestForeignFormWithoutTicketSignsNobodyOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, fields := range [][]string{{"Origin", "https://evil.com"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		w := f.do(t, "POST /signout", fields...)
		if w.Code != http.StatusForbidden || len(w.Header()["Set-Cookie"]) != 0 {
			t.Errorf("%v: %d, %v", fields, w.Code, w.Header()["Set-Cookie"])
		}
	}
}

// A link on another site signs nobody out.
func TestSignOutLinkOfAnotherSite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	for name, c := range map[string]struct {
		target, fields string
		status         int
		ends           bool
	}{
		"link of another site": {"/logout", navigation + " Sec-Fetch-Site=cross-site", 200, false},
		"image":                {"/logout", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image Sec-Fetch-Site=same-origin", 200, false},
		"old browser":          {"/logout", "", 200, false},
		"form of another site": {"POST /logout", "Origin=https://evil.com", 403, false},
		"form of a sibling":    {"POST /logout", "Sec-Fetch-Site=same-site", 403, false},
		"typed":                {"/logout", navigation + " Sec-Fetch-Site=none", 303, true},
		"our form":             {"POST /logout", "Origin=https://romm.example.com Sec-Fetch-Site=same-origin", 303, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, id, _ := strings.Cut(ticket, "=")
			method, path, ok := strings.Cut(c.target, " ")
			if !ok {
				method, path = "GET", c.target
			}
			w := f.do(t, method+" "+request.Base+path, append(fields(c.fields), "Cookie", ticket)...)
			s, err := f.handler.config.Gate.Sessions.Lookup(t.Context(), id)
			if err != nil || w.Code != c.status || (s == nil) != c.ends {
				t.Errorf("%d, session %v, %v", w.Code, s, err)
			}
			if c.ends {
				ticket = f.ticket(t, alice)
			}
		})
	}
}

// perUser is an application that signs everybody in under their own name.
type perUser struct{ *fakeApplication }

func (a perUser) SignIn(_ context.Context, _ application.Caller, identity flow.Identity) (string, error) {
	return identity.Username, nil
}

func (a perUser) Confirm(context.Context, application.Caller, string) (bool, error) {
	return false, nil
}

// CVE-2026-71326: a key of a single-flight that two users share gives one the
// other's identity. Two whose sessions the application keeps forgetting are
// brokered at the same time, again and again, and never crossed.
func TestTwoUsersAreNeverCrossed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Application = perUser{c.Application.(*fakeApplication)} })
	var wg sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		ticket := f.ticket(t, flow.Identity{Subject: name, Username: name, Email: name + "@example.com"})
		serve := func(w http.ResponseWriter, r *http.Request) error {
			if got := request.CookieValue(r, "app_session"); got != name && got != "app-0" {
				t.Errorf("%s got the session of %s", name, got)
			}
			w.Header().Set("X-Session", "forgotten")
			_, err := w.Write(nil)
			return err
		}
		for range 4 {
			wg.Go(func() {
				for range 2500 {
					r := httptest.NewRequest(http.MethodPost, "https://romm.example.com/api/x", nil)
					r.TLS.HandshakeComplete = true
					r.Header.Set("Cookie", ticket)
					if err := f.handler.ServeHTTP(httptest.NewRecorder(), r, &chainFunc{serve: serve}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// The same, a million times over, on the key alone: who is answered by the
// other's flight is not confirmed themselves.
func TestSingleFlightsAreNeverCrossed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	var wg sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		_, text, _ := strings.Cut(f.ticket(t, flow.Identity{Subject: name, Username: name}), "=")
		s, err := f.handler.config.Gate.Sessions.Lookup(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		v := runtimeOf(s)
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/", nil)
		wg.Go(func() {
			for range 500_000 {
				v.confirmedAt.Store(0)
				if err := f.handler.ensureConfirmed(r, f.chain, s, v); err != nil || v.confirmedAt.Load() == 0 {
					t.Errorf("%s was answered for somebody else, %v", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Whom the application refuses may still ask what anybody may: its page would
// ask its heartbeat again at once, without end.
func TestRefusedBrokeringLeavesOpenPathsOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *Config) { cfg.IdentityHeaders = true })
	ticket := f.ticket(t, alice)
	delete(f.app.alive, "app-0")
	f.app.err = problem.NotAllowed
	var hits atomic.Int64
	f.forgetful(&hits)
	var last http.Header
	application := f.chain.serve
	f.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		last = r.Header
		return application(w, r)
	}
	for range 3 {
		if w := f.do(t, "/open", "Cookie", ticket); w.Body.String() != "who are you" { // the application's own answer
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if last.Get("Cookie") != "" || last.Get("Remote-User") != "" {
			t.Errorf("asked for nobody with %v", last)
		}
	}
}

// The application learns of every answer, whoever waited for it: what a request
// changed there it changed all the same.
func TestApplicationLearnsOfItsAnswers(t *testing.T) {
	t.Parallel()
	write := func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request) error
		want  string
	}{
		"it arrives":                {func(w http.ResponseWriter, _ *http.Request) error { write(w); return nil }, "204"},
		"the browser leaves early":  {func(http.ResponseWriter, *http.Request) error { return context.Canceled }, "0"},
		"the browser leaves midway": {func(w http.ResponseWriter, _ *http.Request) error { write(w); panic(http.ErrAbortHandler) }, "204"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.app.credentials, f.app.answered = map[string]application.Recognition{"good": application.Recognized}, []string{}
			ticket := f.ticket(t, alice)
			known := &bearer{runtime: new(sessionRuntime), record: &session.Record{Identity: alice, UpstreamSession: "app-0"}, until: time.Now().Add(time.Hour)}
			known.runtime.confirm(time.Now())
			f.handler.config.Gate.bearers.put(sha256.Sum256([]byte("access")), known, time.Now())
			f.chain.serve = c.serve
			for _, fields := range [][]string{
				{"/a", "Cookie", ticket}, {"/token", "Authorization", "good"}, {"/bearer", "Authorization", "Bearer access"},
			} {
				r := httptest.NewRequest(http.MethodGet, "https://romm.example.com"+fields[0], nil)
				r.TLS.HandshakeComplete = true
				r.Header.Set(fields[1], fields[2])
				func() {
					defer func() { _ = recover() }()
					_ = f.handler.ServeHTTP(httptest.NewRecorder(), r, f.chain)
				}()
			}
			if want := []string{"/a " + c.want + " app-0", "/token " + c.want, "/bearer " + c.want + " app-0"}; !slices.Equal(f.app.answered, want) {
				t.Errorf("it learned of %q, want %q", f.app.answered, want)
			}
		})
	}
}
