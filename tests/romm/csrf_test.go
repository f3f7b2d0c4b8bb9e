// Tests of the CSRF check.

package romm

import (
	"net/http"
	"strings"
	"testing"
)

func TestCSRFCheck(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, answer *answered) {
		t.Helper()
		wantStatus(t, answer, http.StatusForbidden)
		if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") || text(t, answer) != "CSRF token verification failed" {
			t.Errorf("Content-Type is %q, want text/plain with RomM's CSRF refusal", kind)
		}
	}
	for name, test := range map[string]func(t *testing.T, s *Server, b *browser){
		"cookie and header": func(t *testing.T, s *Server, b *browser) {
			t.Helper()
			wantStatus(t, b.post("/api/saves", "x"), http.StatusOK)
			if s.SaveCount() != 1 {
				t.Errorf("RomM has %d saves, want 1", s.SaveCount())
			}
		},
		"cookie without header": func(t *testing.T, _ *Server, b *browser) {
			t.Helper()
			answer := b.do(http.MethodPost, "/api/saves", "x")
			refused(t, answer)
			if setCookie(answer, sessionCookie) == "" {
				t.Error("the refusal has no session cookie, want one as on every response of a session")
			}
		},
		"header without cookie": func(t *testing.T, _ *Server, b *browser) {
			t.Helper()
			token := b.cookies[csrfCookie]
			delete(b.cookies, csrfCookie)
			refused(t, b.post("/api/saves", "x", header{"X-Csrftoken": token}))
		},
		"another user's cookie and header": func(t *testing.T, s *Server, b *browser) {
			t.Helper()
			s.AddUser(User{Username: "bob", Password: "secret"})
			bob := newBrowser(t, s)
			bob.post("/api/login", "", basic("bob", "secret"))
			bob.get("/api/heartbeat")
			b.cookies[csrfCookie] = bob.cookies[csrfCookie]
			refused(t, b.post("/api/saves", "x"))
		},
		"forged cookie and header": func(t *testing.T, _ *Server, b *browser) {
			t.Helper()
			b.cookies[csrfCookie] = "eyJ0b2tlbiI6IngifQ.00"
			refused(t, b.post("/api/saves", "x"))
		},
		"anonymous logout without cookie": func(t *testing.T, s *Server, _ *browser) {
			t.Helper()
			refused(t, newBrowser(t, s).do(http.MethodPost, "/api/logout", ""))
		},
		"invalid Authorization beside a session": func(t *testing.T, _ *Server, b *browser) {
			t.Helper()
			answer := b.do(http.MethodPost, "/api/saves", "x", header{"Authorization": "Basic junk"})
			wantStatus(t, answer, http.StatusOK)
			b.cookies = map[string]string{sessionCookie: b.cookies[sessionCookie]}
			if answer = b.get("/api/heartbeat", header{"Authorization": "Bearer x"}); setCookie(answer, csrfCookie) != "" {
				t.Error("the response sets a CSRF cookie, want none beside Authorization")
			}
		},
		"exempt paths": func(t *testing.T, s *Server, _ *browser) {
			t.Helper()
			for path, status := range map[string]int{
				"/api/token": 400, "/api/client-tokens/exchange": 422, "/api/auth/device/init/": 422, "/api/auth/device/token": 422,
			} {
				wantStatus(t, newBrowser(t, s).do(http.MethodPost, path, ""), status)
			}
		},
		"anonymous with a user's token": func(t *testing.T, _ *Server, b *browser) {
			t.Helper()
			delete(b.cookies, sessionCookie)
			wantStatus(t, b.post("/api/logout", ""), http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := signedIn(t, Options{})
			test(t, s, b)
		})
	}
	t.Run("anonymous with a user's token before 5.2", func(t *testing.T) {
		t.Parallel()
		_, b := signedIn(t, Options{Version: "5.1.0"})
		delete(b.cookies, sessionCookie)
		refused(t, b.post("/api/logout", ""))
	})
	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		_, b := signedIn(t, Options{DisableCSRFProtection: true})
		wantStatus(t, b.do(http.MethodPost, "/api/saves", "x"), http.StatusOK)
		if b.cookies[csrfCookie] != "" {
			t.Error("the response sets a CSRF cookie, want none with the protection switched off")
		}
	})
}

// A CSRF token from before the sign-in is accepted up to 4.4.0 and refused from
// 4.4.1 to 4.8. From 4.9 the first response replaces it.
func TestCSRFTokenFromBeforeTheSignIn(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{
		"3.10.0": 200, "4.4.0": 200, "4.4.1": 403, "4.8.0": 403, "4.9.0": 200, "5.2.0": 200,
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := newOP(t)
			b := newBrowser(t, New(p.options(version)))
			b.get("/api/heartbeat")
			wantStatus(t, b.signIn(p), http.StatusTemporaryRedirect)
			b.get("/api/heartbeat")
			wantStatus(t, b.post("/api/saves", "x"), want)
		})
	}
}
