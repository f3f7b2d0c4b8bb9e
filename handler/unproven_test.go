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

// longLife lets a session go unused for longer than the fixture's hour.
func longLife(c *Config) {
	c.Gate.Sessions.Configure(&memory{values: map[string][]byte{}}, session.Limits{})
}

// A night without use: in the morning the refresh token is dead. The game that
// was left open saves all the same, and the next page that is opened passes
// through the provider, of which its user sees nothing.
func TestUnprovenAfterANight(t *testing.T) {
	for name, client := range map[string]func(*authelia.Options){"refreshing": refreshingClient, "plain": plainClient} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, client, longLife, func(s *siteWithProvider) {
				if name == "refreshing" {
					s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
				}
				ticket := s.signInAs("alice")
				socket := s.openSocket(ticket)
				s.advance(9 * time.Hour)
				if name == "refreshing" { // the timer kept it alive; the provider lost it
					s.op.RevokeTokens("alice")
					s.advance(10 * time.Minute)
				}
				if !unproven(s.session(ticket).Record()) {
					s.Fatal("still proven")
				}
				s.save(ticket)
				s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
				s.newPortal()
				w := s.open("/rom/7/ejs?a=b%20c", ticket)
				back := s.through(w, "alice", ticket)
				if back.Code != http.StatusSeeOther || back.Header().Get("Location") != "/rom/7/ejs?a=b%20c" {
					s.Errorf("came back %d %s", back.Code, back.Header().Get("Location"))
				}
				renewed := s.ticketOf(back)
				if renewed == ticket || s.session(ticket) != nil {
					s.Error("the old ticket lives")
				}
				record := s.session(renewed).Record()
				if unproven(record) || record.UpstreamSession != "app-i" || s.app.signIns != 1 {
					s.Errorf("unproven %v, application's session %s, signed in there %d times", unproven(record), record.UpstreamSession, s.app.signIns)
				}
				s.wantUpstream(s.open("/rom/7/ejs?a=b%20c", renewed))
				s.advance(time.Minute)
				if !isOpen(socket) || len(s.endedInApplication(s, 0)) != 0 {
					s.Error("what was under way was ended")
				}
				_ = s.handler.config.Gate.Sessions.End(s.Context(), s.session(renewed).ID(), "x")
				<-socket
			})
		})
	}
}

// Nothing but a navigation is sent to the provider: the rest would break.
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
			"/long?" + strings.Repeat("x", 1100) + " " + navigation, // it could not come back there
		} {
			method, rest, ok := strings.Cut(request, " /")
			if !ok {
				method, rest = http.MethodGet, request[1:]
			}
			path, headers, _ := strings.Cut(rest, " ")
			if w := s.do(s, method+" /"+path, append(fields(headers), "Cookie", ticket)...); w.Code != http.StatusOK {
				s.Errorf("%s: %d %s", request, w.Code, w.Header().Get("Location"))
			}
		}
		if w := s.open("/library", ticket); w.Code != http.StatusFound {
			s.Errorf("a navigation: %d", w.Code)
		}
	})
}

// Nobody came to prove the session: it ends, with its sockets, and what is
// asked for next is answered as to anybody.
func TestUnprovenForTooLong(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket, other := s.signInAs("alice"), s.signInAs("bob")
		socket := s.openSocket(ticket)
		s.advance(24 * time.Hour)
		s.save(ticket)
		s.save(other)
		if !isOpen(socket) {
			s.Error("the socket was closed too early")
		}
		s.advance(time.Hour + 5*time.Second)
		if isOpen(socket) {
			s.Error("the socket is still open")
		}
		s.advance(24 * time.Hour) // of which bob does nothing
		if w := s.do(s, "/api/x", "Cookie", other); w.Code != http.StatusUnauthorized || !strings.Contains(strings.Join(w.Header()["Set-Cookie"], ""), "__Host-romm_oidc=;") {
			s.Errorf("bob: %d %v", w.Code, w.Header())
		}
		if w := s.open("/", other); w.Code != http.StatusFound {
			s.Errorf("bob's next page: %d", w.Code)
		}
		if ended := s.endReasons(); len(ended) != 2 || ended[0] != reasonUnproven || ended[1] != reasonUnproven {
			s.Errorf("ended %v", ended)
		}
	})
}

// Whoever is signed in does not notice that the provider is away, or that it hangs.
func TestProviderAwayInTheMorning(t *testing.T) {
	for name, away := range map[string]func(*authelia.Server){
		"down": (*authelia.Server).Down, "503": (*authelia.Server).Unavailable, "hangs": (*authelia.Server).Hang,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				s.advance(9 * time.Hour)
				away(s.op)
				for range 5 {
					began := time.Now()
					s.wantUpstream(s.open("/library", ticket))
					if waited := time.Since(began); waited > 2*provenWait {
						s.Errorf("waited %s", waited)
					}
					s.advance(10 * time.Second)
				}
				s.op.Up()
				s.advance(2 * time.Minute)
				if w := s.open("/library", ticket); w.Code != http.StatusFound {
					s.Errorf("when it is back: %d", w.Code)
				}
			})
		})
	}
}

// Somebody who was disabled in the night sees nothing in the morning: their
// first navigation waits for the check. With a provider that hangs it does not
// wait for long, and no script waits at all.
func TestFirstNavigationAfterLongIdle(t *testing.T) {
	inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
		s.op.SetLifespans(authelia.Lifespans{RefreshToken: 30 * 24 * time.Hour})
		ticket, other := s.signInAs("alice"), s.signInAs("bob")
		s.advance(9 * time.Hour)
		s.op.DisableUser("alice")
		before := s.answers.n
		if w := s.open("/library", ticket); w.Code != http.StatusFound || s.answers.n != before {
			s.Errorf("got %d", w.Code)
		}
		s.op.Hang()
		began := time.Now()
		s.save(other)
		if waited := time.Since(began); waited != 0 {
			s.Errorf("a save waited %s", waited)
		}
		s.wantUpstream(s.open("/library", other))
		s.wantUpstream(s.open("/library", other))
		if waited := time.Since(began); waited != provenWait {
			s.Errorf("two navigations waited %s", waited)
		}
		s.op.Up()
	})
}

// After a restart the gate's memory is empty; what it stored says that the
// session is unproven.
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
		if found, err := store.Lookup(s.Context(), text); err != nil || found == nil || !unproven(found.Record()) {
			s.Errorf("%v, %v", found, err)
		}
	})
}
