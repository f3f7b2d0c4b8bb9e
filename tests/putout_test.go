// Attacks: what the gate has learnt about a user must reach everything that they have.

package tests

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Bob has two sessions, of which one is unproven. He is disabled. The gate learns so
// from the provider, ends the one session and shuts his account. The other one goes
// on for a day, with all his rights.
func TestUnprovenSessionOutlivesTheAccount(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon, authelia: func(o *authelia.Options) {
		o.Lifespans = authelia.Lifespans{AccessToken: 2 * time.Second}
	}})
	s.romm.AddUser(root)
	old := s.as("bob")
	time.Sleep(2200 * time.Millisecond)
	old.fetch("/api/roms")
	fresh := s.as("bob")
	s.authelia.DisableUser("bob")
	eventually(t, fresh.out)
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read roms.read")
	eventually(t, func() bool { return s.refuses(token) })
	time.Sleep(500 * time.Millisecond)
	if me := old.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
		t.Errorf("the provider told the gate that bob is gone, his account is shut, and his other session answers %d", me.StatusCode)
	}
}

// The same where the rules put bob out at a sign-in that the gate refuses.
func TestUnprovenSessionOutlivesARefusedSignIn(t *testing.T) {
	s := start(t, options{directive: "scopes openid profile email groups\nallow {\n groups romm-users\n}\n" + recheckSoon, authelia: func(o *authelia.Options) {
		groupsScope(o)
		o.Lifespans = authelia.Lifespans{AccessToken: 2 * time.Second}
	}})
	s.romm.AddUser(root)
	old := s.as("bob")
	time.Sleep(2200 * time.Millisecond)
	old.fetch("/api/roms")
	s.authelia.SetGroups("bob")
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "not_allowed")
	time.Sleep(500 * time.Millisecond)
	if me := old.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
		t.Errorf("bob was just refused with not_allowed, and his other session answers %d", me.StatusCode)
	}
}

// Bob uses an access token of the provider. A new policy, or the provider, puts him
// out, and the gate says so to the access token. His RomM token goes on.
func TestRefusedBearerShutsTheAccount(t *testing.T) {
	o := options{directive: rolesByMail + "clients bearer\n"}
	s := start(t, o)
	s.romm.AddUser(root)
	access, _ := s.tokensOf("bob", "romm", public+base)
	if me := s.browser().do("/api/users/me", "Authorization", "Bearer "+access); me.StatusCode != http.StatusOK {
		t.Fatalf("access token: %d %s", me.StatusCode, me.body)
	}
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read roms.read")
	o.directive += "allow {\n emails alice@example.com\n}\n"
	s.load(o)
	refused := s.browser().do("/api/users/me", "Authorization", "Bearer "+access)
	time.Sleep(500 * time.Millisecond)
	if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode == http.StatusOK {
		t.Errorf("bob's access token is refused (%d), his RomM token answers 200", refused.StatusCode)
	}
}

// Alice loses the administrators' group while RomM does not answer, and the gate
// learns of it. She signs out. Nothing remembers that her role has to go, and her
// token is an administrator's for ever.
func TestLostRoleIsForgottenAtSignOut(t *testing.T) {
	const groups = "scopes openid profile email groups\nroles {\n admin romm-admins\n user *\n}\n"
	s := start(t, options{directive: groups + recheckSoon, authelia: func(o *authelia.Options) {
		o.Clients[0].Scopes = append(o.Clients[0].Scopes, "groups")
	}})
	s.romm.AddUser(root)
	alice := s.as("alice")
	if u, _ := s.romm.User("alice"); u.Role != "admin" {
		t.Fatalf("alice's role is %q", u.Role)
	}
	token := "Bearer " + s.romm.NewClientToken("alice", "me.read me.write users.read users.write")
	s.romm.Fault("/api/login/openid", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s.authelia.SetGroups("alice")
	before := s.authelia.Calls(authelia.EndpointUserinfo)
	eventually(t, func() bool { alice.fetch("/api/roms"); return s.authelia.Calls(authelia.EndpointUserinfo) > before })
	time.Sleep(300 * time.Millisecond)
	answer := alice.fetch("POST /api/logout", "Origin", public)
	t.Log("sign-out:", answer.StatusCode)
	s.romm.Fault("/api/login/openid", nil)
	time.Sleep(3 * time.Second)
	u, _ := s.romm.User("alice")
	if got := s.browser().do("/api/users", "Authorization", token); got.StatusCode == http.StatusOK {
		t.Errorf("alice lost her role, the gate knew, and her token lists users: %d, RomM has her as %q", got.StatusCode, u.Role)
	}
}

// The check finds that bob is gone while bob signs out: his account stays open.
func TestSignOutDuringTheCheck(t *testing.T) {
	var held atomic.Bool
	arrived := make(chan struct{}, 8)
	release := make(chan struct{})
	s := start(t, options{directive: rolesByMail + recheckSoon, prepare: func(s *stack) {
		provider := s.authelia
		s.autheliaURL = serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if held.Load() && strings.Contains(r.URL.Path, "userinfo") {
				arrived <- struct{}{}
				<-release
			}
			provider.ServeHTTP(w, r)
		}))
	}})
	s.romm.AddUser(root)
	bob := s.as("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read roms.read")
	s.authelia.DisableUser("bob")
	time.Sleep(40 * time.Millisecond)
	held.Store(true)
	done := make(chan struct{})
	go func() { defer close(done); time.Sleep(60 * time.Millisecond); bob.fetch("/api/roms") }()
	<-arrived
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, public+base+"/logout", http.NoBody)
	r.Header.Set("Origin", public)
	r.Header.Set("Cookie", ticketName+"="+bob.ticket())
	answer, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err == nil {
		_ = answer.Body.Close()
		t.Log("sign-out:", answer.StatusCode)
	}
	close(release)
	<-done
	time.Sleep(time.Second)
	if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode == http.StatusOK {
		t.Errorf("the provider told the gate that bob is out, and his token answers %d", answer.StatusCode)
	}
}
