// Tokens that the provider withdrew, and tokens that ran out.

package handler

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// wantEnded fails the test unless a ticket's session has ended for this reason,
// and whether the user's account was shut with it.
func (s *siteWithProvider) wantEnded(ticket, reason string, shut bool) {
	s.Helper()
	s.settle()
	if s.session(ticket) != nil {
		s.Errorf("the session lives, want it ended with %s", reason)
	}
	if ended := s.endReasons(); !slices.Contains(ended, reason) {
		s.Errorf("sessions ended with %v, want %s", ended, reason)
	}
	s.app.mu.Lock()
	defer s.app.mu.Unlock()
	if got := slices.Contains(s.app.gone, "alice"); got != shut {
		s.Errorf("the account was shut: %v, want %v", got, shut)
	}
}

// Providers other than Authelia refuse the tokens of a user who is disabled or
// deleted, or whose session an administrator ended. That is no expired token: the
// session ends within the interval, as if the provider had said that the account
// is gone.
func TestWithdrawnTokensEndTheSession(t *testing.T) {
	for _, p := range authelia.Providers() {
		for what, withdraw := range map[string]func(*authelia.Server, string){
			"disabled": (*authelia.Server).DisableUser, "deleted": (*authelia.Server).DeleteUser, "signed out there": (*authelia.Server).RevokeTokens,
		} {
			for kind, refreshing := range map[string]bool{"refresh tokens": true, "no refresh tokens": false} {
				t.Run(p.Name+", "+what+", "+kind, func(t *testing.T) {
					atProvider(t, &p, func(s *siteWithProvider) {
						if !refreshing { // so the access token has to outlive the test
							s.op.UpdateClient("romm", func(c *authelia.Client) { c.GrantTypes = []string{"authorization_code"} })
							s.op.SetLifespans(authelia.Lifespans{AccessToken: time.Hour})
						}
						ticket := s.signInAs("alice")
						socket := s.openSocket(ticket)
						s.useFor(3*time.Minute, ticket)
						withdraw(s.op, "alice")
						began := time.Now()
						<-socket
						if took := time.Since(began); took > s.handler.config.Recheck+5*time.Second {
							s.Errorf("the socket closed %s after the user was %s, want %s at most", took, what, s.handler.config.Recheck+5*time.Second)
						}
						s.wantEnded(ticket, reasonWithdrawn, true)
					})
				})
			}
		}
	}
}

// The same refusals after the access token's own end, or where the provider did
// not say when that is, only say that the tokens ran out.
func TestTokensThatRanOutAreNotWithdrawn(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*siteWithProvider) // before the sign-in
		wait   time.Duration
	}{
		"expired": {func(*siteWithProvider) {}, 61 * time.Minute},
		"within the leeway": {func(s *siteWithProvider) {
			s.op.SetLifespans(authelia.Lifespans{AccessToken: 5*time.Minute + 5*time.Second})
		}, 5*time.Minute + 2*time.Second},
		"lifetime not stated": {func(s *siteWithProvider) {
			s.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = authelia.Without("expires_in") })
		}, 7 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
				row.change(s)
				ticket := s.signInAs("alice")
				s.advance(row.wait)
				s.op.ExpireAccessTokens()
				s.save(ticket)
				s.settle()
				if found := s.session(ticket); found == nil || len(s.app.gone) > 0 {
					s.Fatalf("sessions ended with %v, want the session alive and unproven", s.endReasons())
				}
				s.advance(10 * time.Second)
				if w := s.open("/library", ticket); w.Code != http.StatusFound {
					s.Errorf("the next page view: got %d, want 302 to the provider", w.Code)
				}
			})
		})
	}
}

// The client at the provider was replaced by one without refresh tokens, or got
// another secret. There is one refused request a session and one warning for
// all; the sessions stay proven until their access tokens end, and end `unproven`
// after that, whether or not they are used.
func TestRefusedRefreshesEnd(t *testing.T) {
	for name, change := range map[string]func(*authelia.Client){
		"unauthorized_client": func(c *authelia.Client) { c.GrantTypes = []string{"authorization_code"} },
		"invalid_client":      func(c *authelia.Client) { c.Secret = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
				longRefreshing(s)
				ticket := s.signInAs("alice")
				s.newPortal()
				other := s.signInAs("bob")
				expires := s.session(ticket).Record().Tokens.Expires
				s.op.UpdateClient("romm", change)
				s.op.ForgetRequests()
				for range 59 {
					s.advance(time.Minute)
					s.save(ticket)
					s.save(other)
				}
				s.settle()
				s.wantCalls(authelia.EndpointToken, 2)
				if n := s.logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
					s.Errorf("%d warnings, want 1: %v", n, s.logs.FilterLevelExact(zapcore.WarnLevel).All())
				}
				if s.handler.unproven(s.session(ticket).Record()) {
					s.Error("the session is unproven before its access token has expired")
				}
				s.useFor(2*time.Minute, ticket)
				if since := s.handler.unprovenSince(s.session(ticket).Record()); !since.Equal(expires) {
					s.Errorf("the session is unproven since %s, want %s, when its access token expired", since, expires)
				}
				s.useFor(23*time.Hour, ticket)
				s.advance(time.Until(expires.Add(24*time.Hour + time.Second)))
				if w := s.do(s, "POST /api/client-tokens", "Cookie", ticket, "Origin", "https://romm.example.com"); w.Code != http.StatusUnauthorized {
					s.Errorf("a script after `unproven`: got %d, want 401", w.Code)
				}
				s.wantCalls(authelia.EndpointToken, 2)
				s.wantEnded(ticket, reasonUnproven, false)
			})
		})
	}
}

// A provider answers every refresh with 500, as Dex does for users who were
// deleted. That postpones the end, but not for ever.
func TestUnansweredRefreshesPostponeTheEnd(t *testing.T) {
	inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusInternalServerError})
		})
		s.useFor(24*time.Hour, ticket)
		if s.handler.unproven(s.session(ticket).Record()) {
			s.Error("the session is unproven after 23 hours without an answer, want it as it was")
		}
		s.useFor(80*time.Minute, ticket)
		if !s.handler.unproven(s.session(ticket).Record()) {
			s.Error("the session is proven after `unproven` without an answer, want unproven")
		}
		s.useFor(23*time.Hour, ticket)
		s.advance(2 * time.Hour)
		if s.session(ticket) != nil {
			s.do(s, "/api/x", "Cookie", ticket)
		}
		s.wantEnded(ticket, reasonUnproven, false)
	})
}

// userinfo answers, but never about the user, while refreshes succeed. Tokens that
// nothing confirms do not keep a session for ever.
func TestRefreshesAloneProveNothing(t *testing.T) {
	for name, fault := range map[string]authelia.Fault{
		"404":                {Status: http.StatusNotFound},
		"no JSON":            {Body: "<html>"},
		"of another user":    {Body: `{"sub":"another","preferred_username":"bob"}`},
		"401 for new tokens": {Status: http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
				longRefreshing(s)
				ticket := s.signInAs("alice")
				s.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointUserinfo, fault) })
				s.useFor(55*time.Minute, ticket)
				if s.handler.unproven(s.session(ticket).Record()) {
					s.Error("the session is unproven while its first access token lives")
				}
				s.useFor(20*time.Minute, ticket)
				if !s.handler.unproven(s.session(ticket).Record()) {
					s.Error("the session is proven, want unproven since its first access token expired")
				}
			})
		})
	}
}

// A refreshed ID token is for another client too. The session ends at once, and its
// new tokens are never used.
func TestRefreshedForTwoClients(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.useFor(50*time.Minute, ticket)
		s.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("aud", []string{"romm", "another"}) })
		s.useFor(8*time.Minute, ticket)
		s.advance(time.Minute)
		s.do(s, "/api/x", "Cookie", ticket)
		s.settle()
		if w := s.do(s, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized {
			s.Errorf("a script after the refresh: got %d, want 401", w.Code)
		}
		s.wantEnded(ticket, reasonSubjectChanged, true)
	})
}
