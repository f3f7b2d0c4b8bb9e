// Users who are out: tokens that the provider withdrew, clients that were replaced,
// claims that were spoiled, and sessions that come back after a pause.

package tests

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// groupRoles makes members of romm-admins administrators.
const groupRoles = "scopes openid profile email groups\nroles {\n admin romm-admins\n user *\n}\n"

func groupsScope(o *authelia.Options) {
	o.Clients[0].Scopes = append(o.Clients[0].Scopes, "groups")
}

// wantOut fails the test unless the browser, its socket and the user's client token
// are out within 10 seconds.
func (s *stack) wantOut(b *browser, user, token string) {
	s.t.Helper()
	eventually(s.t, func() bool { return b.out() })
	eventually(s.t, func() bool {
		return s.browser().do("/api/roms", "Authorization", "Bearer "+token).StatusCode == http.StatusUnauthorized
	})
	if answer := b.fetch("POST /api/client-tokens", "Origin", public); answer.StatusCode/100 != 4 {
		s.t.Errorf("%s, who is out, made a client token: %d %s", user, answer.StatusCode, answer.body)
	}
}

// documentedFor returns the lines of docs/other-providers.md for a provider, without
// the addresses and the client of the example.
func documentedFor(t *testing.T, provider string) string {
	t.Helper()
	_, section, ok := strings.Cut(readFile(t, "../docs/other-providers.md"), "\n## "+provider+"\n")
	_, block, opened := strings.Cut(section, "\tromm_oidc {\n")
	block, _, closed := strings.Cut(block, "\n\t}\n")
	if !ok || !opened || !closed {
		t.Fatalf("docs/other-providers.md has no Caddyfile for %s", provider)
	}
	var lines []string
	for line := range strings.SplitSeq(block, "\n") {
		if word := strings.Fields(line)[0]; !slices.Contains([]string{"issuer", "client_id", "client_secret", "redirect_uri", "provider"}, word) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// Keycloak, node-oidc-provider and Dex refuse the tokens of a user who is disabled.
// The session, its socket and the user's token in RomM are out within `recheck`,
// with the documented settings and with others.
func TestWithdrawnByTheProvider(t *testing.T) {
	for _, p := range authelia.Providers() {
		for kind, directive := range map[string]string{
			"as documented":     documentedFor(t, p.Name),
			"no refresh tokens": rolesByMail + "username_claim " + p.UsernameClaim + "\n",
		} {
			t.Run(p.Name+", "+kind, func(t *testing.T) {
				s := start(t, options{
					directive: directive + recheckSoon,
					authelia: func(o *authelia.Options) {
						refreshing(o)
						groupsScope(o)
						o.Users = []authelia.User{{Name: "alice", Password: "alice-password", DisplayName: "alice", Email: "alice@example.com", Groups: []string{"romm-admins"}}}
						if kind == "no refresh tokens" {
							o.Clients[0].GrantTypes = []string{"authorization_code"}
						}
					},
					prepare: func(s *stack) { s.authelia.ActAs(&p) },
				})
				s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
				b := s.as("alice")
				token := s.romm.NewClientToken("alice", "me.read roms.read")
				socket, err := s.socket(b.ticket(), public)
				if err != nil {
					t.Fatal(err)
				}
				s.authelia.DisableUser("alice")
				s.wantOut(b, "alice", token)
				if until(socket, "never") {
					t.Error("the socket is open")
				}
			})
		}
	}
}

// The client was replaced by one that may not refresh, or got another secret. The
// session ends `unproven` after its access token, with one refused request at the
// token endpoint.
func TestReplacedClientEndsSessions(t *testing.T) {
	for name, change := range map[string]func(*authelia.Client){
		"without refresh tokens": func(c *authelia.Client) { c.GrantTypes = []string{"authorization_code"} },
		"another secret":         func(c *authelia.Client) { c.Secret = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{
				directive: rolesByMail + "session {\n recheck 50ms\n unproven 1s\n}\n" + refreshingScopes,
				authelia: func(o *authelia.Options) {
					refreshing(o)
					o.Lifespans = authelia.Lifespans{AccessToken: 3 * time.Second}
				},
			})
			b := s.as("alice")
			s.authelia.UpdateClient("romm", change)
			s.authelia.ForgetRequests()
			if answer := b.fetch("/api/users/me"); answer.StatusCode != http.StatusOK {
				t.Errorf("while the access token lives: %d, want 200", answer.StatusCode)
			}
			eventually(t, func() bool { return b.out() })
			if n := s.authelia.Calls(authelia.EndpointToken); n != 1 {
				t.Errorf("%d token requests, want 1", n)
			}
		})
	}
}

// A user was disabled while their session was not used. A hundred scripts at once
// come back, and none of them reaches RomM.
func TestHundredScriptsAfterAPause(t *testing.T) {
	s := start(t, options{
		directive: rolesByMail + "session {\n recheck 300ms\n}\n" + refreshingScopes, authelia: refreshing,
	})
	b := s.as("alice")
	fields := b.csrf()
	time.Sleep(400 * time.Millisecond) // the pause
	s.authelia.DisableUser("alice")
	s.romm.ForgetRequests()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if answer := b.fetch("POST /api/client-tokens", fields...); answer.StatusCode/100 != 4 {
				t.Errorf("a script answered %d, want a refusal: %s", answer.StatusCode, answer.body)
			}
		})
	}
	all.Wait()
	for _, request := range s.romm.Requests() {
		if strings.HasPrefix(request.Path, "/api/client-tokens") {
			t.Fatalf("RomM got %s %s", request.Method, request.Path)
		}
	}
}

// A user changes their address at the provider, which is unverified then. A sign-in
// would be refused. So the session ends, and does not keep the role of a group
// that the user has lost.
func TestUnverifiedEmailKeepsNoRole(t *testing.T) {
	for name, edit := range map[string]authelia.Edit{"unverified": authelia.Set("email_verified", false), "missing": authelia.Without("email")} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: groupRoles + recheckSoon, authelia: groupsScope})
			s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
			b := s.as("alice")
			token := s.romm.NewClientToken("alice", "me.read roms.read")
			s.authelia.Misbehave(func(m *authelia.Misbehaviour) {
				m.Userinfo = func(claims map[string]any) any { edit(claims); return claims }
			})
			s.authelia.SetGroups("alice")
			s.wantOut(b, "alice", token)
		})
	}
}

// A provider leaves out groups that are empty, while the ID token still lists the
// old ones.
func TestLastGroupLeftOut(t *testing.T) {
	s := start(t, options{directive: groupRoles + recheckSoon, authelia: func(o *authelia.Options) {
		groupsScope(o)
		o.Clients[0].ClaimsPolicy = []string{"groups"}
	}})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	b := s.as("alice")
	if user, _ := s.romm.User("alice"); user.Role != "admin" {
		t.Fatalf("alice is %s, want admin", user.Role)
	}
	s.authelia.Misbehave(func(m *authelia.Misbehaviour) {
		m.Userinfo = func(claims map[string]any) any { delete(claims, "groups"); return claims }
	})
	eventually(t, func() bool { b.fetch("/api/users/me"); user, _ := s.romm.User("alice"); return user.Role == "user" })
	if b.out() {
		t.Error("alice is signed out, want only her role lowered")
	}
}

// A refresh answers with another user's ID token.
func TestRefreshedForAnotherSubject(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon + refreshingScopes, authelia: func(o *authelia.Options) {
		refreshing(o)
		o.Lifespans = authelia.Lifespans{AccessToken: 3 * time.Second} // refreshed in its last quarter
	}})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	b := s.as("alice")
	token := s.romm.NewClientToken("alice", "me.read roms.read")
	s.authelia.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("sub", "another") })
	s.wantOut(b, "alice", token)
}

// The operator adds groups to scopes and a rule that needs them. A member who is
// signed in is not refused: the next page passes through Authelia.
func TestGroupsAddedToTheScopes(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon, authelia: func(o *authelia.Options) {
		groupsScope(o)
		o.Clients[0].ConsentMode = "implicit"
	}})
	b := s.as("alice")
	s.load(options{directive: groupRoles + "allow {\n groups romm-users\n}\n" + recheckSoon})
	for range 10 {
		if answer := b.fetch("/api/users/me"); answer.StatusCode != http.StatusOK {
			t.Fatalf("a script answered %d, want 200: %s", answer.StatusCode, answer.body)
		}
		time.Sleep(20 * time.Millisecond)
	}
	answer := b.open("/rom/7")
	if answer.StatusCode != http.StatusFound || !strings.HasPrefix(answer.Header.Get("Location"), issuer) {
		t.Fatalf("a navigation answered %d to %q, want 302 to Authelia", answer.StatusCode, answer.Header.Get("Location"))
	}
	callback, err := s.authelia.SignIn(b.client, answer.Header.Get("Location"), "alice", "no password was asked for")
	if err != nil {
		t.Fatal(err)
	}
	if answer := b.open(callback); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/rom/7" {
		t.Errorf("the callback answered %d to %q, want 303 to the page", answer.StatusCode, answer.Header.Get("Location"))
	}
	if user, _ := s.romm.User("alice"); user.Role != "admin" {
		t.Errorf("alice is %s, want admin", user.Role)
	}
}
