// Sessions reach RomM as the account that they were signed in to, whatever happens
// to names in RomM.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// change changes an account of RomM as its own page does.
func (b *browser) change(user romm.User, form string) {
	b.t.Helper()
	fields := append(b.csrf(), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
	answer := b.send("PUT /api/users/"+itoa(user.ID), strings.NewReader(form), fields...)
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("changing the account with %s answered %d, want 200: %s", form, answer.StatusCode, answer.body)
	}
}

// RomM's session holds a user name. The attacker gives himself a name that an
// administrator will get, parks a session under it, and gives the name back. The
// parked session must never be the administrator's.
func TestRTRenamedAccountHijack(t *testing.T) {
	for name, change := range map[string]func(s *stack, bob romm.User, form string){
		"in a browser": func(s *stack, bob romm.User, form string) { s.as("bob").change(bob, form) },
		"directly in RomM": func(s *stack, _ romm.User, form string) {
			_, to, _ := strings.Cut(form, "=")
			from := map[string]string{"alice": "bob", "bob": "alice"}[to]
			s.romm.Rename(from, to)
		},
	} {
		for _, target := range []string{"/api/users/me", "/", "POST /api/saves"} {
			t.Run(name+", "+target, func(t *testing.T) {
				s := start(t, options{directive: rolesByMail})
				s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
				s.as("bob")
				bob, _ := s.romm.User("bob")
				change(s, bob, "username=alice")
				parked := s.browser()
				if answer := parked.signIn("/", "bob"); answer.StatusCode != http.StatusSeeOther {
					if name == "directly in RomM" { // the gate does not know of the name: it refuses, which is as good
						return
					}
					t.Fatalf("parking a session answered %d, want 303: %s", answer.StatusCode, answer.body)
				}
				parked.wantUser("alice")
				fields := parked.csrf()
				change(s, bob, "username=bob")
				s.as("alice").wantUser("alice")
				before := len(s.romm.Requests())
				parked.fetch(target, fields...)
				for _, request := range s.romm.Requests()[before:] {
					own := request.Path == "/api/users/me" || request.Path == "/api/logout" // the gate's calls
					if request.User == "alice" && !own {
						t.Errorf("%s %s of bob's reached RomM as alice", request.Method, request.Path)
					}
				}
				if me := parked.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"bob"`) {
					t.Errorf("bob's parked browser is %d %s, want bob", me.StatusCode, me.body)
				}
			})
		}
	}
}

// The same with a client token only.
func TestRTRenamedByToken(t *testing.T) {
	s := start(t, options{})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	s.as("bob")
	bob, _ := s.romm.User("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write")
	rename := func(to string) {
		t.Helper()
		answer := s.browser().send("PUT /api/users/"+itoa(bob.ID), strings.NewReader("username="+to),
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", token)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("renaming with a token answered %d, want 200: %s", answer.StatusCode, answer.body)
		}
	}
	rename("carol")
	parked := s.as("bob")
	parked.wantUser("carol")
	fields := parked.csrf()
	rename("bob")
	s.as("carol").wantUser("carol")
	if save := parked.fetch("POST /api/saves", fields...); save.StatusCode == http.StatusCreated || save.StatusCode == http.StatusOK {
		for _, request := range s.romm.Requests() {
			if request.Method == http.MethodPost && request.Path == "/api/saves" && request.User == "carol" {
				t.Error("bob's save reached RomM as carol")
			}
		}
	}
	parked.wantUser("bob")
}

// An administrator gives a name that a user took to its owner, as the page of the
// owner's refused sign-in says.
func TestRTHintLeadsIntoHijack(t *testing.T) {
	s := start(t, options{directive: "roles {\n admin root@example.com alice@example.com\n user *\n}\n", authelia: func(o *authelia.Options) {
		o.Users = append(o.Users, authelia.User{Name: "root", Password: "root-password", Email: "root@example.com"})
	}})
	root, parked := s.as("root"), s.as("bob")
	bob, _ := s.romm.User("bob")
	parked.change(bob, "username=alice")
	parked.wantUser("alice")
	root.change(bob, "username=bob")
	s.as("alice").wantUser("alice")
	parked.wantUser("bob")
	if list := parked.fetch("/api/users"); list.StatusCode == http.StatusOK {
		t.Errorf("bob lists RomM's users: %s", list.body)
	}
}

// The operator takes roles away by a new configuration. It acts on sessions that
// are there, at their next request, as `allow` does.
func TestRolesOfAReload(t *testing.T) {
	o := options{directive: "roles {\n admin alice@example.com carol@example.com\n user bob@example.com\n}\n"}
	s := start(t, o)
	carol, alice, bob := s.as("carol"), s.as("alice"), s.as("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read")
	o.directive = "roles {\n admin carol@example.com\n user alice@example.com\n}\n"
	s.load(o)
	if list := alice.fetch("/api/users"); list.StatusCode != http.StatusForbidden {
		t.Errorf("alice, a user by the new roles, lists RomM's users: %d, want 403", list.StatusCode)
	}
	alice.wantUser("alice")
	s.problem(bob.open("/"), http.StatusForbidden, "no_role")
	if me := bob.fetch("/api/users/me"); me.StatusCode != http.StatusUnauthorized {
		t.Errorf("bob without a role: %d, want 401", me.StatusCode)
	}
	eventually(t, func() bool {
		return s.browser().do("/api/roms", "Authorization", token).StatusCode == http.StatusUnauthorized
	})
	if list := carol.fetch("/api/users"); list.StatusCode != http.StatusOK {
		t.Errorf("carol, still an administrator, lists RomM's users: %d, want 200", list.StatusCode)
	}
}

// After a restart, too.
func TestRolesAfterARestart(t *testing.T) {
	o := options{directive: "roles {\n admin alice@example.com carol@example.com\n user *\n}\n"}
	s := start(t, o)
	s.as("carol")
	alice := s.as("alice")
	s.unload()
	o.directive = "roles {\n admin carol@example.com\n user *\n}\n"
	s.load(o)
	if list := alice.fetch("/api/users"); list.StatusCode != http.StatusForbidden {
		t.Errorf("alice, a user by the new roles, lists RomM's users: %d, want 403", list.StatusCode)
	}
}

// The attacker sends a User-Agent that Caddy takes and RomM's nginx does not. The
// gate's own calls must not carry it: they would fail for as long as the session
// lives, and the attacker would keep a role that Authelia took away.
func TestRTPoisonedUserAgent(t *testing.T) {
	const limits = "scopes openid profile email groups\nroles {\n admin romm-admins\n user romm-users\n}\nsession {\n recheck 1s\n}\n"
	o := options{directive: limits, authelia: func(o *authelia.Options) {
		o.Clients[0].Scopes = append(o.Clients[0].Scopes, "groups")
		o.Users = append(o.Users, authelia.User{Name: "root", Password: "root-password", Email: "root@example.com", Groups: []string{"romm-admins"}})
	}, prepare: func(s *stack) {
		app := s.romm
		s.rommURL = serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, lines := range r.Header {
				for _, line := range lines {
					if len(line) > 16<<10 { // as nginx's large_client_header_buffers
						w.WriteHeader(http.StatusBadRequest)
						return
					}
				}
			}
			app.ServeHTTP(w, r)
		}))
	}}
	s := start(t, o)
	s.as("root")
	alice := s.as("alice")
	alice.client.Transport = alice.protocols()["HTTP/1.1"].Transport
	s.unload() // the gate remembers the client that it sees first after a start
	s.load(o)
	poison := []string{"User-Agent", strings.Repeat("x", 17_000)} // Caddy's limit is for all fields: 16 KiB, and 4 KiB on top
	if answer := alice.fetch("/api/users/me", poison...); answer.StatusCode != http.StatusBadRequest {
		t.Fatalf("the poisoned request answered %d, want RomM's 400", answer.StatusCode)
	}
	alice.wantUser("alice")
	s.authelia.SetGroups("alice")
	eventually(t, func() bool { return alice.refused("/api/users") && alice.refused("/api/users", poison...) })
}

// An operator ends everything of a user: the user's access tokens of Authelia are
// refused at once, and counted.
func TestRTBearerAfterEndUser(t *testing.T) {
	for _, command := range [][]string{{"end-user", "bob"}, {"end-user", "bob@example.com"}, {"end-all", "--yes"}} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			s := start(t, options{directive: rolesByMail + "clients bearer\n"})
			s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
			access, _ := s.tokensOf("bob", "romm", public+base)
			script := s.browser()
			if me := script.do("/api/users/me", "Authorization", "Bearer "+access); me.StatusCode != http.StatusOK {
				t.Fatalf("before the end: %d, want 200: %s", me.StatusCode, me.body)
			}
			output, code := s.command(append([]string{"sessions"}, command...)...)
			if code != 0 || !strings.Contains(output, "Access tokens of the provider that ended: 1.") {
				t.Errorf("%v exited with %d, want one access token counted: %s", command, code, output)
			}
			for range 3 {
				if me := script.do("/api/users/me", "Authorization", "Bearer "+access); me.StatusCode != http.StatusUnauthorized {
					t.Errorf("after the end: %d, want 401: %s", me.StatusCode, me.body)
				}
			}
			s.unload() // and after a restart
			s.load(options{directive: rolesByMail + "clients bearer\n"})
			if me := script.do("/api/users/me", "Authorization", "Bearer "+access); me.StatusCode != http.StatusUnauthorized {
				t.Errorf("after a restart: %d, want 401: %s", me.StatusCode, me.body)
			}
		})
	}
}
