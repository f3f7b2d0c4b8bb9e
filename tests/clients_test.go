package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// A handheld with a token of RomM's works without signing in at Authelia; RomM
// checks the token, and nothing is stamped.
func TestClientToken(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	handheld := s.browser()
	token := s.romm.NewClientToken("root", "me.read roms.read")
	if me := handheld.do("/api/users/me", "Authorization", "Bearer "+token); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"root"`) {
		t.Errorf("%d %s", me.StatusCode, me.body)
	}
	unknown := "rmm_" + strings.Repeat("0", 64)
	if me := handheld.do("/api/users/me", "Authorization", "Bearer "+unknown); me.StatusCode != http.StatusUnauthorized {
		t.Errorf("an unknown token: %d %s", me.StatusCode, me.body)
	}
	request, _ := s.romm.LastRequest("/api/users/me")
	if request.Header.Get("Authorization") != "Bearer "+unknown || request.Header.Get("Cookie") != "" {
		t.Errorf("RomM saw %v", request.Header)
	}
	// A ticket beside a token wins: the request is the signed-in visitor's.
	alice := s.as("alice")
	if me := alice.fetch("/api/users/me", "Authorization", "Bearer "+token); !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("beside a ticket: %d %s", me.StatusCode, me.body)
	}
}

// What enrols a handheld, and what tells it that RomM is there, needs nobody
// signed in. A junk Authorization does not turn it into RomM's 500.
func TestEnrollingAHandheld(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	handheld := s.browser()
	for _, authorization := range []string{"", "Bearer junk", "Basic junk", "x"} {
		for _, target := range []string{"/api/heartbeat", "/api/heartbeat/"} {
			if answer := handheld.do(target, "Authorization", authorization); answer.StatusCode != http.StatusOK {
				t.Errorf("%s with %q: %d", target, authorization, answer.StatusCode)
			}
		}
	}
	s.romm.ForgetRequests()
	for _, target := range []string{
		"POST /api/client-tokens/exchange", "GET /api/client-tokens/pair/ABCDEFGH/status",
		"POST /api/auth/device/init", "POST /api/auth/device/token",
	} {
		handheld.do(target)
	}
	if passed := len(s.romm.Requests()); passed != 4 {
		t.Errorf("%d of 4 reached RomM", passed)
	}
}

// A page of another origin asks with a preflight, which has no credentials.
func TestPreflight(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	answer := s.browser().do("OPTIONS /api/roms", "Origin", "https://app.example.org", "Access-Control-Request-Method", "GET")
	if answer.StatusCode/100 != 2 || answer.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
}
