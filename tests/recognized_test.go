// What a credential opens that RomM knows, and what the others are told.

package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// openToUsers are paths that RomM serves to all its users, with a check of its own or
// without one.
var openToUsers = []string{
	"/api/platforms", "//api/platforms", "//api//platforms//", "/api/stats", "//api/stats", "/api/stats/", "/api/heartbeat/metadata/igdb", "/api/config", "/api/docs", "/api/redoc",
	"/openapi.json", "//openapi.json", "/api/feeds/tinfoil", "//api/heartbeat", "/assets/romm/resources/roms/1/cover/big.png", "//assets/romm/resources/roms/1/cover/big.png",
	"HEAD /assets/romm/resources/roms/1/manual/1.pdf", "/", "/library", "/api/collections/virtual/YWJj", "/api/collections/virtual/YQ%3D%3D",
}

// closedToCredentials are paths that RomM opens to anonymous requests to sign in or
// to be set up, sockets, and paths that two servers could read differently.
var closedToCredentials = []string{
	"POST /api/users", "POST //api/users", "POST /api/users/", "POST /api/users/invite-link", "POST /api/users/register", "/api/setup/library", "POST /api/setup/platforms",
	"POST /api/login", "/api/login/openid", "POST /api/token", "POST /api/forgot-password", "POST /api/reset-password", "/api/logout",
	"/ws/socket.io/?EIO=4&transport=polling", "/netplay/socket.io/?EIO=4&transport=polling",
	"/api/%70latforms", "/api%2Fplatforms", "/api/x/../platforms", "/api/x/%2e%2e/platforms", "/api%5cplatforms", "/api/roms/1/content/a%2Fb.zip", "/api/collections/virtual/a%2541",
}

// A credential that RomM knows passes wherever RomM lets its user. Where the gate is
// closed to it the answer is 403: apps take 401 for the end of their credential.
func TestKnownCredential(t *testing.T) {
	for _, version := range []string{"5.2.0", "4.8.0"} {
		s := start(t, options{directive: "clients password", romm: func(o *romm.Options) { o.Version = version }})
		s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
		s.romm.AddUser(romm.User{Username: "robot", Email: "robot@example.com", Password: "secret", Role: "user"})
		for kind, credential := range map[string][]string{
			"token":    {"Authorization", "Bearer " + s.romm.NewClientToken("robot", "me.read platforms.read collections.read")},
			"password": basic("robot", "secret"),
		} {
			for _, target := range openToUsers {
				if answer := s.browser().do(target, credential...); answer.StatusCode != http.StatusOK {
					t.Errorf("RomM %s: %s with a known %s answered %d, want 200: %.200s", version, target, kind, answer.StatusCode, answer.body)
				}
			}
			for _, target := range closedToCredentials {
				if target == "POST /api/token" {
					continue // the password grant
				}
				answer := s.browser().do(target, credential...)
				if answer.StatusCode != http.StatusForbidden || answer.Header.Get("WWW-Authenticate") != "" || !strings.Contains(answer.body, "credential_not_allowed") {
					t.Errorf("RomM %s: %s with a known %s answered %d, want 403 credential_not_allowed without a challenge: %.200s", version, target, kind, answer.StatusCode, answer.body)
				}
			}
		}
		for _, asked := range s.romm.Requests() {
			if asked.Method == http.MethodPost || strings.HasPrefix(asked.Path, "/api/setup") || strings.HasPrefix(asked.Path, "/ws") {
				t.Errorf("RomM %s got %s %s, want none of the closed requests", version, asked.Method, asked.Path)
			}
		}
	}
}

// A token that RomM does not know opens nothing, in any release: not what RomM
// serves without looking at the credential, and not what it would serve anonymously.
func TestUnknownCredentialLearnsNothing(t *testing.T) {
	for version, status := range map[string]int{"5.2.0": http.StatusUnauthorized, "4.8.0": http.StatusForbidden} {
		s := start(t, options{romm: func(o *romm.Options) { o.Version = version }}) // no administrator: RomM's setup is open
		var b *browser
		for i, target := range slices.Concat(openToUsers, closedToCredentials) {
			if i%18 == 0 {
				s.unload() // forget the wrong credentials
				s.load(options{})
				b = s.browser()
				b.client.Transport = caddytest.CreateTestingTransport() // with no connection to the previous configuration
			}
			s.romm.ForgetRequests()
			answer := b.do(target, "Authorization", "Bearer rmm_"+strings.Repeat("0", 64))
			if answer.StatusCode != status || (answer.Header.Get("WWW-Authenticate") == "Bearer") != (status == http.StatusUnauthorized) {
				t.Errorf("RomM %s: %s with an unknown token answered %d, want %d, with a challenge if 401: %.200s", version, target, answer.StatusCode, status, answer.body)
			}
			for _, asked := range s.romm.Requests() {
				if asked.Path != "/api/users/me" && asked.Path != "/api/heartbeat" && version == "5.2.0" {
					t.Errorf("RomM %s got %s %s for %s with an unknown token, want only the gate's own questions", version, asked.Method, asked.Path, target)
				}
			}
		}
	}
}

// Without `clients password`, the gate never asks RomM about a password or a JWT, so
// its answer does not tell a right one from a wrong one, wherever it is tried.
func TestPasswordsAreNoOracle(t *testing.T) {
	s := start(t, options{directive: "clients feeds downloads covers bearer"})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	s.romm.AddUser(romm.User{Username: "robot", Email: "robot@example.com", Password: "secret", Role: "user"})
	for _, target := range []string{"/api/roms", "/api/stats", "POST /api/users", "POST /api/token", "/library", "/api/setup/library", "/ws/socket.io/"} {
		answers := make([]string, 0, 2)
		for _, password := range []string{"secret", "wrong"} {
			s.romm.ForgetRequests()
			answer := s.browser().do(target, basic("robot", password)...)
			before, _, _ := strings.Cut(answer.body, `"reference"`)
			answers = append(answers, answer.Status+before)
			if answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with the password %q answered %d, want 401", target, password, answer.StatusCode)
			}
			for _, asked := range s.romm.Requests() {
				if asked.Header.Get("Authorization") != "" {
					t.Errorf("RomM was asked about a password at %s", asked.Path)
				}
			}
		}
		if answers[0] != answers[1] {
			t.Errorf("%s answers a right password with %q and a wrong one with %q, want the same", target, answers[0], answers[1])
		}
	}
}
