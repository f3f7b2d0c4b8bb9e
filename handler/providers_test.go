// Providers other than Authelia, as the stand-in plays them: from the sign-in to its
// end.

package handler

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// atProvider runs test with a site that signs its users in at another provider, with
// the settings of docs/other-providers.md.
func atProvider(t *testing.T, p *authelia.Provider, test func(*siteWithProvider)) {
	t.Helper()
	inBubble(t, func(o *authelia.Options) {
		c := &o.Clients[0]
		c.GrantTypes = []string{"authorization_code", "refresh_token"}
		if p.Offline {
			c.Scopes = append(c.Scopes, "offline_access")
		}
		for i := range o.Users {
			o.Users[i].DisplayName = o.Users[i].Name
		}
	}, longLife, func(s *siteWithProvider) {
		s.op.ActAs(p)
		party := s.party
		party.UsernameClaim = p.UsernameClaim
		s.handler.config.RelyingParty = flow.New(party)
		test(s)
	})
}

// groups returns the groups of a ticket's session.
func (s *siteWithProvider) groups(ticket string) []string {
	s.Helper()
	found := s.session(ticket)
	if found == nil {
		s.Fatalf("sessions ended with %v, want this one alive", s.endReasons())
	}
	return found.Record().Identity.Groups
}

// A user signs in, plays for a day while tokens are refreshed and groups change,
// and signs out here.
func TestOtherProviders(t *testing.T) {
	for _, p := range authelia.Providers() {
		t.Run(p.Name, func(t *testing.T) {
			atProvider(t, &p, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				record := s.session(ticket).Record()
				if record.Tokens.Refresh == "" || record.Identity.Username != "alice" || record.Identity.Email != "alice@example.com" {
					s.Fatalf("signed in as %+v with refresh token %q, want alice and one", record.Identity, record.Tokens.Refresh)
				}
				if lines := s.logs.FilterMessageSnippet("lack a scope").Len(); lines > 0 {
					s.Errorf("%d lines about a missing scope, want none", lines)
				}
				s.useFor(24*time.Hour, ticket)
				if fresh := s.session(ticket); fresh == nil || fresh.Record().Tokens.Refresh == record.Tokens.Refresh || s.handler.unproven(fresh.Record()) {
					s.Fatalf("after a day: %v, sessions ended with %v, want the session alive with refreshed tokens", fresh, s.endReasons())
				}

				seen := s.handler.config.Recheck + time.Minute
				if p.Echo { // only a refresh brings other claims
					seen = time.Hour
				}
				s.op.SetGroups("alice", "b")
				s.useFor(seen, ticket)
				if groups := s.groups(ticket); !slices.Equal(groups, []string{"b"}) {
					s.Errorf("in another group: got %q, want b", groups)
				}
				s.op.SetGroups("alice")
				s.useFor(seen, ticket)
				if groups := s.groups(ticket); len(groups) > 0 {
					s.Errorf("in no group: got %q, want none", groups)
				}

				s.do(s, "/api/x", "Cookie", ticket) // makes a check that is due, which the sign-out would race with
				s.settle()
				idToken := s.session(ticket).Record().Tokens.ID
				w := s.do(s, "POST /signout", "Cookie", ticket)
				switch away := strings.Contains(w.Body.String(), s.op.Issuer()+"/end?"); {
				case away != p.Logout || p.Logout && !strings.Contains(w.Body.String(), "id_token_hint="+idToken):
					s.Errorf("the sign-out answered %s, want the way to the end-session endpoint: %v", w.Body, p.Logout)
				case !p.Logout && !strings.Contains(w.Body.String(), signedOutPath):
					s.Errorf("the sign-out answered %s, want the way to the signed-out page", w.Body)
				}
				s.wantEnded(ticket, reasonSignedOut, false)
			})
		})
	}
}

// The user signs out at the provider, or an administrator ends the session there.
func TestOtherProvidersSignOut(t *testing.T) {
	for _, p := range authelia.Providers() {
		if !p.Logout {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			atProvider(t, &p, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				socket := s.openSocket(ticket)
				token := s.op.LogoutToken("romm", authelia.SignedProperly, authelia.Edits(
					authelia.Set("sid", "session-1"), authelia.Set("sub", s.op.Subject("alice")),
				))
				if w := (&siteWithBackchannel{s.site, s.op}).postLogout(s, form(token)); w.Code != http.StatusOK {
					s.Errorf("the logout request: got %d %s, want 200", w.Code, w.Body)
				}
				<-socket
				s.wantEnded(ticket, reasonBackchannel, false)
			})
		})
	}
}
