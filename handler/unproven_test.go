package handler

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// longLife lets a session go unused for longer than the fixture's hour.
func longLife(c *Config) {
	c.Gate.Sessions.Configure(&memory{values: map[string][]byte{}}, session.Limits{Idle: session.DefaultIdle, Lifetime: session.DefaultLifetime})
}

// A night without use: in the morning the refresh token is dead. The game that
// was left open saves all the same, and the next page that is opened passes
// through the provider, of which its user sees nothing.
func TestNight(t *testing.T) {
	for name, client := range map[string]func(*authelia.Options){"refreshing": refreshingClient, "plain": plainClient} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, client, longLife, func(s *site) {
				if name == "refreshing" {
					s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
				}
				ticket := s.as("alice")
				socket := s.socket(ticket)
				s.after(9 * time.Hour)
				if name == "refreshing" { // the timer kept it alive; the provider lost it
					s.op.RevokeTokens("alice")
					s.after(10 * time.Minute)
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
				s.upstream(s.open("/rom/7/ejs?a=b%20c", renewed))
				s.after(time.Minute)
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
func TestOnlyNavigationsProve(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *site) {
		ticket := s.as("alice")
		s.after(2 * time.Hour)
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
	inBubble(t, plainClient, longLife, func(s *site) {
		ticket, other := s.as("alice"), s.as("bob")
		socket := s.socket(ticket)
		s.after(24 * time.Hour)
		s.save(ticket)
		s.save(other)
		if !isOpen(socket) {
			s.Error("the socket was closed too early")
		}
		s.after(time.Hour + 5*time.Second)
		if isOpen(socket) {
			s.Error("the socket is still open")
		}
		s.after(24 * time.Hour) // of which bob does nothing
		if w := s.do(s, "/api/x", "Cookie", other); w.Code != http.StatusUnauthorized || !strings.Contains(strings.Join(w.Header()["Set-Cookie"], ""), "__Host-romm_oidc=;") {
			s.Errorf("bob: %d %v", w.Code, w.Header())
		}
		if w := s.open("/", other); w.Code != http.StatusFound {
			s.Errorf("bob's next page: %d", w.Code)
		}
		if ended := s.ended(); len(ended) != 2 || ended[0] != reasonUnproven || ended[1] != reasonUnproven {
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
			inBubble(t, plainClient, longLife, func(s *site) {
				ticket := s.as("alice")
				s.after(9 * time.Hour)
				away(s.op)
				for range 5 {
					began := time.Now()
					s.upstream(s.open("/library", ticket))
					if waited := time.Since(began); waited > 2*provenWait {
						s.Errorf("waited %s", waited)
					}
					s.after(10 * time.Second)
				}
				s.op.Up()
				s.after(2 * time.Minute)
				if w := s.open("/library", ticket); w.Code != http.StatusFound {
					s.Errorf("when it is back: %d", w.Code)
				}
			})
		})
	}
}

// The provider knows somebody else by now: the old session ends, everywhere,
// and the new one is theirs alone.
func TestSomebodyElseComesBack(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *site) {
		ticket := s.as("alice")
		socket := s.socket(ticket)
		s.after(2 * time.Hour)
		s.newPortal()
		back := s.through(s.open("/library", ticket), "bob", ticket)
		renewed := s.ticketOf(back)
		if s.session(ticket) != nil || s.session(renewed).Record().Identity.Username != "bob" {
			s.Error("the session is not bob's alone")
		}
		s.settle()
		if isOpen(socket) {
			s.Error("alice's socket is open")
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" || s.session(renewed).Record().UpstreamSession != "app-ii" {
			s.Errorf("ended in the application: %v", ended)
		}
		if ended := s.ended(); len(ended) != 1 || ended[0] != reasonSignedInAs {
			s.Errorf("ended %v", ended)
		}
	})
}

// What the provider says has changed overnight: the application is told anew.
func TestChangedOvernight(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *site) {
		ticket := s.as("alice")
		s.after(2 * time.Hour)
		s.op.SetGroups("alice", "b")
		s.op.DropSessions() // or it would tell what it remembers
		renewed := s.ticketOf(s.through(s.open("/library", ticket), "alice", ticket))
		if record := s.session(renewed).Record(); record.UpstreamSession != "app-ii" || record.Identity.Groups[0] != "b" {
			s.Errorf("%+v", record)
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
			s.Errorf("ended in the application: %v", ended)
		}
	})
}

// A proof that fails shows why, once; the page opened after it is served, and
// no browser goes round in circles.
func TestFailedProofDoesNotLoop(t *testing.T) {
	asking := func(o *authelia.Options) { o.Clients[0].ConsentMode = "auto" }
	inBubble(t, asking, longLife, func(s *site) {
		ticket := s.as("alice")
		s.after(2 * time.Hour)
		s.save(ticket)
		s.settle()
		w := s.open("/library", ticket)
		callback, err := s.op.Refuse(s.portal, w.Header().Get("Location"), "alice", "alice-password")
		if err != nil {
			s.Fatal(err)
		}
		if w := s.callback(w, callback, ticket); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), problem.SignInDenied.Code) {
			s.Errorf("got %d %s", w.Code, w.Body)
		}
		if s.session(ticket) == nil {
			s.Error("the session is lost")
		}
		s.upstream(s.open("/library", ticket))
		s.upstream(s.open("/library", ticket))
		s.after(renewPause)
		if w := s.open("/library", ticket); w.Code != http.StatusFound {
			s.Errorf("a minute later: %d", w.Code)
		}
	})
}

// Authelia answers for somebody who was disabled with an error of its own. That
// is no breakdown: the page says so, and the page asked for is not shown.
func TestDisabledShowsAtTheProof(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *site) {
		s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
		ticket := s.as("alice")
		s.after(2 * time.Hour)
		s.as("alice") // so that Authelia has just looked
		s.op.DisableUser("alice")
		if w := s.through(s.open("/library", ticket), "alice", ticket); w.Code != http.StatusServiceUnavailable || w.Header().Get("Location") != "" {
			s.Errorf("got %d %s", w.Code, w.Header().Get("Location"))
		}
	})
}

// The provider breaks down while the browser is there: back to the page.
func TestProviderBreaksDownDuringTheProof(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *site) {
		ticket := s.as("alice")
		s.after(2 * time.Hour)
		s.save(ticket)
		s.settle()
		w := s.open("/library", ticket)
		s.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusServiceUnavailable})
		})
		back := s.through(w, "alice", ticket)
		if back.Code != http.StatusSeeOther || back.Header().Get("Location") != "/library" {
			s.Errorf("%d %s", back.Code, back.Body)
		}
		s.upstream(s.open("/library", ticket))
		// Who has no session is told.
		if back := s.through(s.open("/"), "bob"); back.Code != http.StatusServiceUnavailable {
			s.Errorf("%d", back.Code)
		}
	})
}

// A provider whose tokens are dead on arrival sends nobody round in circles.
func TestTokensDeadOnArrival(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *site) {
		ticket := s.as("alice")
		s.after(2 * time.Hour)
		for range 3 {
			back := s.through(s.open("/library", ticket), "alice", ticket)
			ticket = s.ticketOf(back)
			s.op.ExpireAccessTokens()
			err := s.handler.loseProof(s.Context(), s.session(ticket), s.session(ticket).Record().Tokens)
			if err != nil || !unproven(s.session(ticket).Record()) {
				s.Fatal(err)
			}
			s.upstream(s.open("/library", ticket))
			s.after(renewPause)
		}
	})
}

// Somebody who was disabled in the night sees nothing in the morning: their
// first navigation waits for the check. With a provider that hangs it does not
// wait for long, and no script waits at all.
func TestFirstNavigationAfterLongIdle(t *testing.T) {
	inBubble(t, refreshingClient, longLife, func(s *site) {
		s.op.SetLifespans(authelia.Lifespans{RefreshToken: 30 * 24 * time.Hour})
		ticket, other := s.as("alice"), s.as("bob")
		s.after(9 * time.Hour)
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
		s.upstream(s.open("/library", other))
		s.upstream(s.open("/library", other))
		if waited := time.Since(began); waited != provenWait {
			s.Errorf("two navigations waited %s", waited)
		}
		s.op.Up()
	})
}

// After a restart the gate's memory is empty; what it stored says that the
// session is unproven.
func TestUnprovenOutlivesARestart(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *site) {
		limits := session.Limits{Idle: 12 * time.Hour, Lifetime: 24 * time.Hour}
		s.handler.config.Gate.Sessions.Configure(s.storage, limits)
		ticket := s.as("alice")
		s.after(2 * time.Hour)
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
