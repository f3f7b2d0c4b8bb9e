// Sessions that the gate can no longer prove at the provider, and how long they
// remain usable.

package handler

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// longLife lets a session stay idle for longer than the hour of newSite.
func longLife(c *Config) {
	c.Gate.Sessions.Configure(&memory{values: map[string][]byte{}}, session.Limits{Idle: session.DefaultIdle, Lifetime: session.DefaultLifetime})
}

// The user is away for a night, and the refresh token expires. In the morning the
// game that stayed open still saves, and the next page load takes a redirect
// through the provider that the user does not notice.
func TestUnprovenAfterANight(t *testing.T) {
	for name, client := range map[string]func(*authelia.Options){"refresh tokens": refreshingClient, "no refresh tokens": plainClient} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, client, longLife, func(s *siteWithProvider) {
				if name == "refresh tokens" {
					s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
				}
				ticket := s.signInAs("alice")
				socket := s.openSocket(ticket)
				s.advance(9 * time.Hour)
				if name == "refresh tokens" { // the timer kept the session proven; its refresh token expires
					s.op.ExpireRefreshTokens()
					s.advance(time.Hour)
				}
				if !s.handler.unproven(s.session(ticket).Record()) {
					s.Fatal("the session is still proven after 9 hours, want unproven")
				}
				s.save(ticket)
				s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
				s.newPortal()
				w := s.open("/rom/7/ejs?a=b%20c", ticket)
				back := s.through(w, "alice", ticket)
				if back.Code != http.StatusSeeOther || back.Header().Get("Location") != "/rom/7/ejs?a=b%20c" {
					s.Errorf("callback: got %d with Location %q, want 303 to the page", back.Code, back.Header().Get("Location"))
				}
				renewed := s.ticketOf(back)
				if renewed == ticket || s.session(ticket) != nil {
					s.Error("the old ticket still works, want a new one in its place")
				}
				record := s.session(renewed).Record()
				if s.handler.unproven(record) || record.Upstream.ID != "app-i" || s.app.signIns != 1 {
					s.Errorf("session is unproven: %v, of the application's session %q, after %d sign-ins there; want false, app-i, 1", s.handler.unproven(record), record.Upstream.ID, s.app.signIns)
				}
				s.wantUpstream(s.open("/rom/7/ejs?a=b%20c", renewed))
				s.advance(time.Minute)
				if !isOpen(socket) || len(s.endedInApplication(s, 0)) != 0 {
					s.Error("the proof closed the socket or ended the application's session, want both alive")
				}
				_ = s.handler.config.Gate.Sessions.End(s.Context(), s.session(renewed).ID(), "x")
				<-socket
			})
		})
	}
}

// The gate sends only navigations to the provider. Other requests would break there.
func TestOnlyNavigationsGoToTheProvider(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.save(ticket)
		s.settle()
		for _, request := range []string{
			"/api/x Sec-Fetch-Mode=cors Sec-Fetch-Dest=empty", "/api/x", "HEAD / " + navigation, "/x.png Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image",
			"/frame Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe", "POST /form " + navigation + " Origin=https://romm.example.com",
			"/ws/x", "/library Sec-Purpose=prefetch " + navigation,
			"/long?" + strings.Repeat("x", 2800) + " " + navigation, // too long to return to after the callback
		} {
			method, rest, ok := strings.Cut(request, " /")
			if !ok {
				method, rest = http.MethodGet, request[1:]
			}
			path, headers, _ := strings.Cut(rest, " ")
			if w := s.do(s, method+" /"+path, append(fields(headers), "Cookie", ticket)...); w.Code != http.StatusOK {
				s.Errorf("%s: got %d with Location %q, want 200", request, w.Code, w.Header().Get("Location"))
			}
		}
		if w := s.open("/library", ticket); w.Code != http.StatusFound {
			s.Errorf("navigation: got %d, want 302 to the provider", w.Code)
		}
	})
}

// The user does not return to prove the session in time. The session and its
// sockets end, and its next request is anonymous.
func TestUnprovenForTooLong(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket, other := s.signInAs("alice"), s.signInAs("bob")
		socket := s.openSocket(ticket)
		s.advance(24 * time.Hour)
		s.save(ticket)
		s.save(other)
		if !isOpen(socket) {
			s.Error("the socket is closed after 24 hours, want it open")
		}
		s.advance(time.Hour + 5*time.Second)
		if isOpen(socket) {
			s.Error("the socket is open after 25 hours, want it closed")
		}
		s.advance(24 * time.Hour) // without a request of bob
		if w := s.do(s, "/api/x", "Cookie", other); w.Code != http.StatusUnauthorized || !strings.Contains(strings.Join(w.Header()["Set-Cookie"], ""), "__Host-romm_oidc=;") {
			s.Errorf("bob's script: got %d %v, want 401 and the ticket cleared", w.Code, w.Header())
		}
		if w := s.open("/", other); w.Code != http.StatusFound {
			s.Errorf("bob's navigation: got %d, want 302", w.Code)
		}
		if ended := s.endReasons(); len(ended) != 2 || ended[0] != reasonUnproven || ended[1] != reasonUnproven {
			s.Errorf("sessions ended with %v, want twice %s", ended, reasonUnproven)
		}
	})
}

// A provider that is down, or hangs, does not disturb a signed-in user.
func TestProviderAwayInTheMorning(t *testing.T) {
	for name, fail := range map[string]func(*authelia.Server){
		"down": (*authelia.Server).Down, "unavailable": (*authelia.Server).Unavailable, "hangs": (*authelia.Server).Hang,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				s.advance(9 * time.Hour)
				fail(s.op)
				for range 5 {
					began := time.Now()
					s.wantUpstream(s.open("/library", ticket))
					if waited := time.Since(began); waited > 2*provenWait {
						s.Errorf("a navigation waited %s, want %s at most", waited, 2*provenWait)
					}
					s.advance(10 * time.Second)
				}
				s.op.Up()
				s.advance(2 * time.Minute)
				if w := s.open("/library", ticket); w.Code != http.StatusFound {
					s.Errorf("navigation after the outage: got %d, want 302 to the provider", w.Code)
				}
			})
		})
	}
}

// A restarted gate has nothing in memory. The stored session says that it is
// unproven.
func TestUnprovenOutlivesARestart(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		limits := session.Limits{Idle: 12 * time.Hour, Lifetime: 24 * time.Hour}
		s.handler.config.Gate.Sessions.Configure(s.storage, limits)
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.save(ticket)
		s.settle()
		store := session.New(session.Options{Gate: "gate", Logger: zap.NewNop()})
		store.Configure(s.storage, limits)
		_, text, _ := strings.Cut(ticket, "=")
		if found, err := store.Lookup(s.Context(), text); err != nil || found == nil || !s.handler.unproven(found.Record()) {
			s.Errorf("Lookup after a restart: got %v, %v, want an unproven session", found, err)
		}
	})
}
