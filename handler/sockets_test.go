// Sockets of users whose role in the application changed.

package handler

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// An administrator of the application takes alice's role away there. The gate learns
// that accounts changed, here or on another node, and closes the sockets that were
// opened in the old role. Other changes close none.
func TestRoleTakenInTheApplicationClosesSockets(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.app.set(func() { s.app.own = "admin" })
		ticket := s.signInAs("alice")
		socket := s.openSocket(ticket)
		s.advance(5 * time.Second)
		s.handler.config.Gate.doubtAccounts()
		s.advance(5 * time.Second)
		if !isOpen(socket) {
			s.Fatal("the socket closed at a change of another account, want it open")
		}
		s.app.set(func() { s.app.own = "user" })
		s.handler.config.Gate.doubtAccounts()
		s.advance(5 * time.Second)
		if isOpen(socket) {
			s.Error("the socket is open after alice lost her role in the application, want it closed")
		}
		again := s.openSocket(ticket)
		s.advance(time.Minute)
		if !isOpen(again) {
			s.Error("the new socket was closed, want it open")
		}
	})
}

// The account was disabled or removed, so that the application knows no session of it,
// or is too large to read. An application that is away for a moment closes no socket.
func TestUnconfirmedSocketsClose(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(app *fakeApplication)
		soon  bool // it closes at once
	}{
		"removed":    {func(app *fakeApplication) { clear(app.alive) }, true},
		"unreadable": {func(app *fakeApplication) { app.away = errors.New("too large") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, nil, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				socket := s.openSocket(ticket)
				s.advance(5 * time.Second)
				s.app.set(func() { c.fault(s.app) })
				s.handler.config.Gate.doubtAccounts()
				s.advance(10 * time.Second)
				if open := isOpen(socket); open == c.soon {
					s.Errorf("the socket is open: %t, want %t after 10 s", open, !c.soon)
				}
				if c.soon {
					return
				}
				s.app.set(func() { s.app.away = nil })
				s.advance(10 * time.Second)
				if !isOpen(socket) {
					s.Error("the socket closed though the application answered in time, want it open")
				}
				s.app.set(func() { c.fault(s.app) })
				s.handler.config.Gate.doubtAccounts()
				s.advance(time.Minute)
				if isOpen(socket) {
					s.Error("the socket is open after a minute in which the application did not confirm its session, want it closed")
				}
			})
		})
	}
}

// The application is away for a moment when accounts change, and again minutes later. In
// between, it confirmed the session to a request. Its socket stays open.
func TestTwoShortOutagesCloseNoSocket(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		socket := s.openSocket(ticket)
		s.advance(5 * time.Second)
		for range 2 {
			s.app.set(func() { s.app.away = errors.New("restarting") })
			s.handler.config.Gate.doubtAccounts()
			s.advance(5 * time.Second)
			s.app.set(func() { s.app.away = nil })
			if w := s.do(s, "POST /api/x", "Cookie", ticket, "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusOK {
				s.Fatalf("a request after the outage answered %d, want 200", w.Code)
			}
			s.advance(2 * time.Minute)
		}
		if !isOpen(socket) {
			s.Error("the socket is closed, want it open: the application was away for a few seconds each time")
		}
	})
}

// Alice loses her role. A poll that continues a socket from before is refused, until the
// application has forgotten it. She can open a new one.
func TestPollContinuesNoSocketOfAnotherRole(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		role := "admin"
		s.app.role = func(*flow.Identity) (string, error) { return role, nil }
		ticket := s.signInAs("alice")
		poll := func(query string) int {
			return s.do(s, "/ws/socket.io/?EIO=4&transport=polling"+query, "Cookie", ticket).Code
		}
		if got := poll("&sid=x"); got != http.StatusOK {
			s.Fatalf("a poll answered %d, want 200", got)
		}
		role = "user"
		s.op.SetGroups("alice")
		s.advance(6 * time.Minute)
		poll("") // the check is due
		s.settle()
		for query, want := range map[string]int{
			"": http.StatusOK, "&sid=x": http.StatusServiceUnavailable, "&%73id=x": http.StatusServiceUnavailable, "&sid=%zz": http.StatusServiceUnavailable,
		} {
			if got := poll(query); got != want {
				s.Errorf("after the loss of the role, a poll with %q answered %d, want %d", query, got, want)
			}
		}
		if got := s.do(s, "/ws/play/socket.io/?EIO=4&transport=polling&sid=x", "Cookie", ticket).Code; got != http.StatusOK {
			s.Errorf("a poll of a socket without roles answered %d, want 200", got)
		}
		s.advance(2 * time.Minute)
		if got := poll("&sid=x"); got != http.StatusOK {
			s.Errorf("two minutes later, a poll answered %d, want 200", got)
		}
	})
}

// The same where the poll comes to another node than before, which does not know in
// which role the socket was opened.
func TestPollOnAnotherNode(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		poll := func(handler *Handler) int {
			s.handler = handler
			return s.do(s, "/ws/socket.io/?EIO=4&transport=polling&sid=x", "Cookie", ticket).Code
		}
		here, other := s.handler, s.otherNode()
		if got := poll(here); got != http.StatusOK {
			s.Errorf("a poll on the node of the sign-in answered %d, want 200", got)
		}
		if got := poll(other); got != http.StatusServiceUnavailable {
			s.Errorf("a poll on another node answered %d, want 503", got)
		}
		s.advance(2 * time.Minute)
		if got := poll(other); got != http.StatusOK {
			s.Errorf("two minutes later, a poll there answered %d, want 200", got)
		}
	})
}

// Alice uses two browsers. The application takes her role away when one of
// them learns of it: the sockets of the other close, too.
func TestLostRoleClosesSocketsOfOtherSessions(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.app.set(func() { s.app.own = "admin" })
		role := "admin"
		s.app.role = func(*flow.Identity) (string, error) { return role, nil }
		other := s.openSocket(s.signInAs("alice"))
		s.advance(5 * time.Second)
		ticket := s.signInAs("alice")
		role = "user"
		s.app.set(func() { s.app.own = "user" })
		s.ticketOf(s.through(s.open("/api/oauth/openid/login", ticket), "alice", ticket))
		s.advance(5 * time.Second)
		if isOpen(other) {
			s.Error("the socket of the other session is open, want it closed")
		}
	})
}
