// Tests of sessions: how long they live, what ends them and what revives them.

package romm

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newServer(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// signedIn returns a browser in which ada, an administrator, has signed in with
// her password.
func signedIn(t *testing.T, options Options) (*Server, *browser) {
	t.Helper()
	s := New(options)
	s.AddUser(User{Username: "ada", Email: "ada@example.com", Password: "secret", Role: "admin"})
	b := newBrowser(t, s)
	wantStatus(t, b.post("/api/login", "", basic("ada", "secret")), http.StatusOK)
	b.get("/api/heartbeat")
	return s, b
}

func basic(name, password string) header {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return header{"Authorization": r.Header.Get("Authorization")}
}

// wantNull expects the Set-Cookie with which RomM clears a session.
func wantNull(t *testing.T, r *answered) {
	t.Helper()
	want := sessionCookie + "=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=strict"
	if line := setCookie(r, sessionCookie); line != want {
		t.Errorf("session cookie is %q, want %q", line, want)
	}
}

func TestSessionSlides(t *testing.T) {
	t.Parallel()
	c := &clock{at: start}
	_, b := signedIn(t, Options{Now: c.Now})
	id := b.cookies[sessionCookie]
	for range 3 {
		c.advance(13 * 24 * time.Hour)
		answer := b.get("/api/heartbeat")
		if line := setCookie(answer, sessionCookie); line != sessionCookie+"="+id+"; path=/; Max-Age=1209600; httponly; samesite=strict" {
			t.Fatalf("session cookie is %q, want the same id for another 14 days", line)
		}
	}
	c.advance(15 * 24 * time.Hour)
	answer := b.get("/api/heartbeat")
	wantStatus(t, answer, http.StatusOK)
	wantNull(t, answer)
}

func TestEndedSessionIsClearedByEveryResponse(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(*Server){
		"Redis emptied":    (*Server).DropSessions,
		"account disabled": func(s *Server) { s.Disable("ada") },
		"account renamed":  func(s *Server) { s.Rename("ada", "eva") },
		"account deleted":  func(s *Server) { s.DeleteUser("ada") },
		"password reset":   func(s *Server) { s.ResetPassword("ada", "other") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for path, status := range map[string]int{"/api/heartbeat": 200, "/api/users/me": 401, "/api/nothing": 404} {
				s, b := signedIn(t, Options{})
				kill(s)
				answer := b.get(path)
				wantStatus(t, answer, status)
				wantNull(t, answer)
			}
		})
	}
}

func TestSessionSurvivesChangesByAnAdministrator(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	s.SetPassword("ada", "other")
	s.SetRole("ada", "user")
	if me := b.me(); me["username"] != "ada" || me["role"] != "user" {
		t.Errorf("user is %v, want ada with role user", me)
	}
}

func TestUnknownSessionIsNotAdopted(t *testing.T) {
	t.Parallel()
	p := newOP(t)
	b := newBrowser(t, New(p.options("")))
	const foreign = "11111111-1111-4111-8111-111111111111"
	b.cookies[sessionCookie] = foreign
	b.signIn(p)
	if id := b.cookies[sessionCookie]; id == foreign || len(id) != 36 {
		t.Errorf("session id is %q, want a new one", id)
	}
}

func TestStaticFilesSetNoCookies(t *testing.T) {
	t.Parallel()
	_, b := signedIn(t, Options{})
	for _, path := range []string{"/", "/rom/1", "/assets/romm/resources/roms/1/cover.png"} {
		if answer := b.get(path); len(answer.cookies) != 0 {
			t.Errorf("%s sets cookies %v, want none", path, answer.cookies)
		}
	}
}

// A request that arrives before the logout and is answered after it brings the
// session back.
func TestLateResponseRevivesTheSession(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	late := newBrowser(t, s)
	late.cookies[sessionCookie] = b.cookies[sessionCookie]
	arrived, release := s.Hold("/api/roms")
	done := make(chan *answered)
	go func() { done <- late.get("/api/roms") }()
	<-arrived
	wantStatus(t, b.post("/api/logout", ""), http.StatusOK)
	if s.Sessions() != 0 {
		t.Fatalf("%d sessions are left after the logout, want 0", s.Sessions())
	}
	release()
	<-done
	if s.Sessions() != 1 || late.me()["username"] != "ada" {
		t.Errorf("%d sessions after the late response, want ada's again", s.Sessions())
	}
}

// changeOwn changes the account of ada, who is signed in, and ends her session.
func (b *browser) changeOwn(form string) {
	b.t.Helper()
	answer := b.do(http.MethodPut, "/api/users/1", form, header{
		"X-Csrftoken": b.cookies[csrfCookie], "Content-Type": "application/x-www-form-urlencoded",
	})
	wantStatus(b.t, answer, http.StatusOK)
	wantNull(b.t, answer)
}

// A session stores the user's name. After a rename an unused session stays in
// Redis and belongs to the next user with that name.
func TestRenameLeavesOtherSessionsToTheNextUserOfTheName(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	other := newBrowser(t, s)
	other.post("/api/login", "", basic("ada", "secret"))
	b.changeOwn("username=eva")
	next := s.AddUser(User{Username: "ada", Password: "other"})
	if me := other.me(); me["id"] != float64(next.ID) {
		t.Errorf("the other session's user is %v, want the new ada (%d)", me, next.ID)
	}
}

// Up to 5.2; later releases end all sessions of the user.
func TestUserWhoChangesTheirPasswordEndsOnlyThisSession(t *testing.T) {
	t.Parallel()
	for version, others := range map[string]int{"5.2.0": http.StatusOK, "5.3.0": http.StatusUnauthorized} {
		s, b := signedIn(t, Options{Version: version})
		other := newBrowser(t, s)
		other.post("/api/login", "", basic("ada", "secret"))
		b.changeOwn("password=better")
		wantStatus(t, other.get("/api/users/me"), others)
	}
}

// After 5.2, an account that OpenID Connect created has no password, and no crash.
func TestPasswordOfAnOIDCUser(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"5.2.0": http.StatusInternalServerError, "5.3.0": http.StatusUnauthorized} {
		s := New(Options{Version: version})
		s.AddUser(User{Username: "oidc"})
		wantStatus(t, newBrowser(t, s).get("/api/users/me", basic("oidc", "x")), want)
	}
}

func TestSessionBefore45IsASignedCookie(t *testing.T) {
	t.Parallel()
	c := &clock{at: start}
	s, b := signedIn(t, Options{Version: "4.4.0", Now: c.Now})
	if strings.Count(b.cookies[sessionCookie], ".") != 2 || s.Sessions() != 0 {
		t.Fatalf("session cookie is %q with %d sessions in Redis, want a JWT and 0", b.cookies[sessionCookie], s.Sessions())
	}
	c.advance(10 * 24 * time.Hour)
	wantStatus(t, b.get("/api/users/me"), http.StatusOK)
	c.advance(5 * 24 * time.Hour) // the expiry does not slide
	answer := b.get("/api/heartbeat")
	wantNull(t, answer)
	b.cookies[sessionCookie] = "junk"
	wantCrash(t, b.get("/api/heartbeat"))
	b.cookies[sessionCookie] = New(Options{}).sign(sessionData{Issuer: sessionIssuer, Subject: "ada"})
	if answer = b.get("/api/heartbeat"); setCookie(answer, sessionCookie) != "" {
		t.Errorf("session cookie is %q, want none for a foreign signature", setCookie(answer, sessionCookie))
	}
}

func TestSignedSessionSurvivesARestart(t *testing.T) {
	t.Parallel()
	p := newOP(t)
	options := p.options("4.4.0")
	options.SecretKey = strings.Repeat("k", 64)
	s := New(options)
	b := newBrowser(t, s)
	wantStatus(t, b.signIn(p), http.StatusTemporaryRedirect)
	s.Restart()
	if b.me()["username"] != "Kim" {
		t.Error("the user is not Kim after the restart, want the signed session to last")
	}
}

// Without a secret key in the environment a restart ends signed sessions, and no
// response clears the cookie.
func TestRestartWithoutASecretKeyEndsSignedSessions(t *testing.T) {
	t.Parallel()
	p := newOP(t)
	s := New(p.options("4.4.0"))
	b := newBrowser(t, s)
	wantStatus(t, b.signIn(p), http.StatusTemporaryRedirect)
	s.Restart()
	answer := b.get("/api/users/me")
	wantStatus(t, answer, http.StatusForbidden)
	if line := setCookie(answer, sessionCookie); line != "" {
		t.Errorf("session cookie is %q, want none", line)
	}
}

func TestLogoutReturnsTheProvidersLogoutURL(t *testing.T) {
	t.Parallel()
	p := newOP(t)
	options := p.options("")
	options.OIDC.RPInitiatedLogout = true
	b := newBrowser(t, New(options))
	b.signIn(p)
	b.get("/api/heartbeat")
	body := decoded(t, b.post("/api/logout", ""))
	if target, _ := body["oidc_logout_url"].(string); !strings.HasPrefix(target, p.URL+"/end?id_token_hint=ey") {
		t.Errorf("body is %v, want oidc_logout_url with the ID token", body)
	}
}
