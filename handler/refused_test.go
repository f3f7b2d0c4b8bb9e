// Re-checks that are answered, and whose answer cannot be applied.

package handler

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// saysOf makes userinfo describe all users as edit says.
func (s *siteWithProvider) saysOf(edit authelia.Edit) {
	s.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Userinfo = func(claims map[string]any) any {
			edit(claims)
			return claims
		}
	})
}

// A user changes their own address at the provider, which is then unverified or
// missing, so that a sign-in would be refused. That must not freeze their session
// in the role it has: the session ends.
func TestRecheckThatASignInWouldRefuse(t *testing.T) {
	for code, edit := range map[string]authelia.Edit{
		problem.EmailUnverified.Code: authelia.Set("email_verified", false),
		problem.EmailMissing.Code:    authelia.Without("email"),
		problem.EmailNotASCII.Code:   authelia.Set("email", "jörg@example.com"),
		problem.UsernameMissing.Code: authelia.Set("preferred_username", ""),
		reasonAccountGone:            authelia.Set("preferred_username", nil),
	} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				socket := s.openSocket(ticket)
				s.saysOf(authelia.Edits(edit, authelia.Set("groups", []string{})))
				s.advance(6 * time.Minute)
				if isOpen(socket) {
					s.Error("the socket is open, want it closed")
				}
				s.wantEnded(ticket, code, true)
			})
		})
	}
}

// A user matches no role any more, by the application's rules. The re-check ends
// the session by the same rules as a sign-in.
func TestRecheckWithoutARole(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.app.role = func(identity *flow.Identity) (string, error) {
			if len(identity.Groups) == 0 {
				return "", &problem.Problem{Code: reasonNoRole, Status: http.StatusForbidden}
			}
			return "user", nil
		}
		s.op.SetGroups("alice")
		s.advance(6 * time.Minute)
		s.do(s, "/api/x", "Cookie", ticket)
		s.wantEnded(ticket, reasonNoRole, true)
	})
}

// The application takes no new sign-in of a user who lost a group. It is asked again
// at each re-check, and after three of them the session ends.
func TestRefusedChangeEndsTheSession(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.app.err = &problem.Problem{Code: "app_refused", Status: http.StatusBadGateway}
		s.op.SetGroups("alice")
		s.useFor(19*time.Minute, ticket)
		if s.session(ticket) == nil {
			s.Fatalf("the session ended with %v after 19 minutes, want it alive", s.endReasons())
		}
		if n := s.app.signIns; n < 4 || n > 6 {
			s.Errorf("%d sign-ins to the application, want one per re-check", n)
		}
		s.advance(3 * time.Minute)
		s.do(s, "/api/x", "Cookie", ticket)
		s.wantEnded(ticket, reasonRecheckFailed, true)
	})
}

// The application that does not answer ends nothing, however long it is away.
func TestApplicationAwayEndsNothing(t *testing.T) {
	for name, err := range map[string]error{"no answer": errors.New("away"), "its own 502": &problem.Problem{Code: "x", Status: http.StatusBadGateway, Away: true}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				s.app.err = err
				s.op.SetGroups("alice")
				s.useFor(70*time.Minute, ticket)
				if s.session(ticket) == nil || s.handler.unproven(s.session(ticket).Record()) {
					s.Errorf("sessions ended with %v, want this one alive and proven", s.endReasons())
				}
			})
		})
	}
}

// A user makes their display name so long that the application refuses it. The
// group that they lose at the same time is taken away without the name.
func TestChangeIsAppliedWithoutTheName(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.app.refuses = func(identity flow.Identity) error {
			if identity.Name != "" {
				return &problem.Problem{Code: "claims_too_large", Status: http.StatusForbidden}
			}
			return nil
		}
		s.op.SetDisplayName("alice", "a very long name")
		s.op.SetGroups("alice")
		s.advance(6 * time.Minute)
		s.save(ticket)
		s.settle()
		if found := s.session(ticket); found == nil || len(s.app.as.Groups) > 0 || len(found.Record().Identity.Groups) > 0 {
			s.Errorf("the application's last sign-in is %+v, sessions ended with %v; want one without groups and name", s.app.as, s.endReasons())
		}
	})
}

// userinfo named the groups at sign-in and leaves them out when there are none, as
// Keycloak does. The ID token's old groups do not fill the gap.
func TestLastGroupRemovedThoughTheIDTokenHasIt(t *testing.T) {
	inBubble(t, func(o *authelia.Options) {
		refreshingClient(o)
		o.Clients[0].ClaimsPolicy = []string{"groups", "email", "email_verified"}
	}, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} }, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.saysOf(authelia.Without("groups"))
		s.advance(6 * time.Minute)
		s.do(s, "/api/x", "Cookie", ticket)
		s.wantEnded(ticket, problem.NotAllowed.Code, true)
	})
}

// Only the ID token names groups, and refreshed ID tokens do not repeat them. That
// changes nothing.
func TestRefreshedIDTokenWithoutGroups(t *testing.T) {
	inBubble(t, func(o *authelia.Options) {
		refreshingClient(o)
		o.Clients[0].ClaimsPolicy = []string{"groups"}
	}, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} }, func(s *siteWithProvider) {
		s.saysOf(authelia.Set("groups", nil))
		ticket := s.signInAs("alice")
		s.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Without("groups") })
		s.useFor(130*time.Minute, ticket)
		if found := s.session(ticket); found == nil || !slices.Equal(found.Record().Identity.Groups, []string{"a"}) {
			s.Errorf("sessions ended with %v, want this one alive with the group a", s.endReasons())
		}
	})
}

// beforeGroupScope signs alice and bob in without the scope for groups. It returns the
// configuration with it, and their tickets.
func (s *siteWithProvider) beforeGroupScope() (withGroups Config, alices, bobs string) {
	withGroups = s.handler.config
	s.party.Scopes = []string{"openid", "profile", "email"}
	s.handler.config.RelyingParty = flow.New(s.party)
	alices = s.signInAs("alice")
	s.newPortal()
	return withGroups, alices, s.signInAs("bob")
}

// A session reads a rule that needs groups for which its sign-in did not ask. It is
// not refused: its next page view asks for them. Scripts continue until then.
func TestGroupsWereAddedToTheScopes(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		withGroups, ticket, other := s.beforeGroupScope()

		withGroups.Policy, withGroups.GroupRules = Policy{Groups: []string{"romm"}}, true
		s.op.SetGroups("alice", "romm")
		s.handler = New(withGroups) // as a reload does
		s.save(ticket)
		s.save(other)
		s.advance(6 * time.Minute)
		s.save(ticket)
		s.settle()
		if s.session(ticket) == nil || s.session(other) == nil {
			s.Fatalf("sessions ended with %v, want both unproven", s.endReasons())
		}
		s.newPortal()
		renewed := s.ticketOf(s.through(s.open("/library", ticket), "alice", ticket))
		s.wantUpstream(s.open("/library", renewed))
		s.newPortal()
		if w := s.through(s.open("/library", other), "bob", other); w.Code != http.StatusForbidden {
			s.Errorf("the sign-in of bob, who is in no group: got %d, want 403", w.Code)
		}
		s.settle()
		if s.session(other) != nil {
			s.Error("bob's session lives, want it ended with the refused sign-in")
		}
	})
}

// A reload adds the scope for groups, because roles name them now, and takes alice out
// of allow, which names addresses only. No group could let her in, so that she is out at
// once. So is bob when his address changes.
func TestScopeForGroupsSparesNoOtherRule(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		withGroups, ticket, other := s.beforeGroupScope()
		withGroups.Policy, withGroups.GroupRules = Policy{Emails: []string{"bob@example.com"}}, true
		s.handler = New(withGroups) // as a reload does
		if w := s.do(s, "POST /api/saves", "Cookie", ticket); w.Code != http.StatusForbidden {
			s.Errorf("alice: got %d, want 403", w.Code)
		}
		s.wantEnded(ticket, problem.NotAllowed.Code, true)
		s.save(other)
		s.saysOf(authelia.Set("email", "bob@elsewhere.example"))
		s.advance(6 * time.Minute)
		s.do(s, "/api/x", "Cookie", other)
		s.settle()
		if s.session(other) != nil {
			s.Error("bob has a session after his address changed, want it ended")
		}
	})
}

// A sign-in that was to prove a session is refused for what the provider says about
// the user. Neither the session nor the account continues.
func TestRefusedSignInEndsTheFormerSession(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.saysOf(authelia.Set("email_verified", false))
		s.newPortal()
		if w := s.through(s.open("/library", ticket), "alice", ticket); w.Code == http.StatusOK {
			s.Errorf("the callback: got %d, want the page of the refusal", w.Code)
		}
		s.wantEnded(ticket, problem.EmailUnverified.Code, true)
	})
}
