// The presets of `clients`: feeds, downloads, covers, passwords.

package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// Each preset opens certain paths to anonymous requests, depending on RomM's
// version. Exactly these reach RomM, with and without a trailing slash. Other
// paths stay closed with any preset.
func TestPresetsOnTheWire(t *testing.T) {
	targets := map[string]struct{ preset, versions string }{
		"GET /api/feeds/tinfoil":                          {"feeds", "5.2.0 4.8.0"},
		"GET /api/feeds/webrcade":                         {"feeds", "5.2.0 4.8.0"},
		"GET /api/feeds/pkgi/psvita/games":                {"feeds", "5.2.0 4.8.0"},
		"GET /api/feeds/fpkgi/ps4":                        {"feeds", "5.2.0 4.8.0"},
		"GET /api/feeds/kekatsu/nds":                      {"feeds", "5.2.0 4.8.0"},
		"GET /api/feeds/pkgj/psx/games":                   {"feeds", "5.2.0 4.8.0"},
		"GET /api/tinfoil/feed":                           {"feeds", "4.3.2"},
		"GET /api/webrcade/feed":                          {"feeds", "4.3.2"},
		"GET /api/roms/1/content/demo%20(USA).nes":        {"downloads", "5.2.0 4.8.0 4.3.2"},
		"HEAD /api/roms/1/content/demo.nes":               {"downloads", "5.2.0 4.8.0 4.3.2"},
		"GET /api/roms/1/files/content/demo.nes":          {"downloads", "5.2.0 4.8.0 4.3.2"},
		"GET /api/firmware/1/content/bios.bin":            {"downloads", "5.2.0 4.8.0 4.3.2"},
		"GET /assets/romm/resources/roms/1/cover/big.svg": {"covers", "5.2.0 4.8.0 4.3.2"},
		// Open in RomM, but in no preset.
		"GET /api/roms/1":              {},
		"GET /api/roms/by-hash":        {},
		"GET /api/stats":               {},
		"POST /api/users":              {},
		"POST /api/login":              {},
		"GET /api/setup/library":       {},
		"GET /openapi.json":            {},
		"GET /ws/socket.io/":           {},
		"GET /api/roms":                {},
		"POST /api/roms/1/content/x":   {},
		"HEAD /api/feeds/tinfoil":      {},
		"GET /assets/romm/resources":   {},
		"GET /assets/romm/resourcesx/": {},
	}
	for _, version := range []string{"5.2.0", "4.8.0", "4.3.2"} {
		s := start(t, options{romm: func(o *romm.Options) { o.Version, o.DisableDownloadEndpointAuth = version, true }})
		for _, preset := range []string{"", "feeds", "downloads", "covers", "password", "bearer"} {
			s.load(options{directive: strings.TrimSuffix("clients "+preset, "clients ")})
			console := s.browser()
			console.fetch("/api/users/me") // when it refuses, the gate asks RomM for its version
			for target, c := range targets {
				for _, slash := range []string{"", "/"} {
					s.romm.ForgetRequests()
					answer := console.do(strings.TrimSuffix(target, "/")+slash, "Authorization", "Bearer junk")
					want := preset == c.preset && preset != "" && slices.Contains(strings.Fields(c.versions), version)
					if passed := len(s.romm.Requests()) > 0; passed != want || passed != (answer.StatusCode == http.StatusOK) {
						t.Errorf("RomM %s, clients %q: %s%s answered %d, reached RomM: %v, want %v", version, preset, target, slash, answer.StatusCode, passed, want)
					}
					if answer.Header.Get("Set-Cookie") != "" && strings.Contains(answer.Header.Get("Set-Cookie"), "romm_session") {
						t.Errorf("%s: RomM's session cookie reached the client", target)
					}
				}
			}
		}
	}
}

// A script with a RomM user name and password works only if the operator
// allows passwords. The gate refuses and counts wrong passwords, and gives the
// same answer for each. That includes accounts created by a sign-in: these have
// no password, and RomM crashes when it compares one.
func TestPasswords(t *testing.T) {
	for version, status := range map[string]int{"5.2.0": http.StatusUnauthorized, "4.8.0": http.StatusForbidden} {
		s := start(t, options{romm: func(o *romm.Options) { o.Version = version }})
		s.romm.AddUser(romm.User{Username: "robot", Email: "robot@example.com", Password: "secret", Role: "user"})
		s.romm.AddUser(romm.User{Username: "alice", Email: "alice@example.com"})
		script := s.browser()
		grant := func(name, password string) response {
			form := url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}, "scope": {"me.read"}}
			return script.send("POST /api/token", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		}
		if me := script.do("/api/users/me", basic("robot", "secret")...); me.StatusCode != status {
			t.Errorf("RomM %s: a password without `clients password` answered %d, want %d: %s", version, me.StatusCode, status, me.body)
		}
		if answer := grant("robot", "secret"); answer.StatusCode != status {
			t.Errorf("RomM %s: the token endpoint without `clients password` answered %d, want %d: %s", version, answer.StatusCode, status, answer.body)
		}

		s.load(options{directive: "clients password"})
		if me := script.do("/api/users/me", basic("robot", "secret")...); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"robot"`) {
			t.Errorf("RomM %s: a valid password is answered %d, want 200 with robot as the user: %s", version, me.StatusCode, me.body)
		}
		answer := grant("robot", "secret")
		var tokens struct {
			Access string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(answer.body), &tokens); err != nil || tokens.Access == "" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("RomM %s: the token endpoint answered %d, want an access token and no-store: %s", version, answer.StatusCode, answer.body)
		}
		if me := script.do("/api/users/me", "Authorization", "Bearer "+tokens.Access); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"robot"`) {
			t.Errorf("RomM %s: RomM's access token answered %d, want 200 with robot as the user: %s", version, me.StatusCode, me.body)
		}
		s.romm.ForgetRequests()
		var answers []string
		guess := func(answer response) {
			before, _, _ := strings.Cut(answer.body, `"reference"`)
			answers = append(answers, before)
		}
		for _, name := range []string{"robot", "alice", "nobody"} {
			guess(script.do("/api/roms", basic(name, "wrong")...))
			guess(grant(name, "wrong"))
		}
		guess(script.do("/api/roms", "Authorization", "Bearer "+tokens.Access[:len(tokens.Access)-4]+"AAAA"))
		if answers = slices.Compact(answers); len(answers) != 1 || !strings.Contains(answers[0], "credential_unknown") {
			t.Errorf("RomM %s: wrong credentials are answered %q, want one answer for all, credential_unknown", version, answers)
		}
		for range 20 - 7 {
			guess(grant("robot", "wrong"))
		}
		for name, answer := range map[string]response{"password": script.do("/api/roms", basic("robot", "guess")...), "grant": grant("robot", "secret")} {
			if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
				t.Errorf("RomM %s: the guess beyond the limit, by %s, answered %d, want 429 with Retry-After", version, name, answer.StatusCode)
			}
		}
		if _, passed := s.romm.LastRequest("/api/roms"); passed {
			t.Error("a guess reached RomM")
		}
		if me := script.do("/api/users/me", basic("robot", "secret")...); me.StatusCode != http.StatusOK {
			t.Errorf("RomM %s: a known password after the limit answered %d, want 200", version, me.StatusCode)
		}
	}
}

// basic returns the Authorization field of a name and a password.
func basic(name, password string) []string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return []string{"Authorization", r.Header.Get("Authorization")}
}

// A feed accepts a password where RomM asks for one; other paths do not.
func TestFeedWithAPassword(t *testing.T) {
	s := start(t, options{directive: "clients feeds"})
	s.romm.AddUser(romm.User{Username: "robot", Email: "robot@example.com", Password: "secret", Role: "user"})
	console := s.browser()
	for target, want := range map[string]int{"/api/feeds/pkgj/psp/games": http.StatusOK, "/api/feeds/tinfoil/": http.StatusOK, "/api/roms": http.StatusUnauthorized} {
		if answer := console.do(target, basic("robot", "secret")...); answer.StatusCode != want {
			t.Errorf("%s with a password answered %d, want %d: %s", target, answer.StatusCode, want, answer.body)
		}
	}
	if answer := console.do("/api/feeds/pkgj/psp/games", basic("robot", "wrong")...); answer.StatusCode != http.StatusUnauthorized || strings.Contains(answer.Header.Get("WWW-Authenticate"), "Basic") {
		t.Errorf("a feed with a wrong password answered %d, want 401 without a Basic challenge; header: %v", answer.StatusCode, answer.Header)
	}
}

// webRcade is a page of another origin. It sends a preflight and a request
// without credentials, and may read the answer. It may never read an answer to
// a request with credentials.
func TestFeedOfAnotherOriginsPage(t *testing.T) {
	s := start(t, options{
		directive: rolesByMail + "clients feeds downloads",
		romm:      func(o *romm.Options) { o.DisableDownloadEndpointAuth = true },
	})
	const origin = "https://play.webrcade.com"
	for _, target := range []string{"/api/feeds/webrcade", "/api/roms/1/content/demo%20(USA).nes"} {
		for _, method := range []string{"OPTIONS", "GET"} {
			answer := s.browser().do(method+" "+target, "Origin", origin, "Access-Control-Request-Method", "GET")
			if answer.StatusCode != http.StatusOK || answer.Header.Get("Access-Control-Allow-Origin") != origin || answer.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s from another origin answered %d, want 200 for that origin without credentials; header: %v", method, target, answer.StatusCode, answer.Header)
			}
		}
	}
	// With a signed-in user's cookie, the page is refused.
	if answer := s.as("alice").do("/api/feeds/webrcade", "Origin", origin); answer.StatusCode != http.StatusForbidden || answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a feed with a ticket from another origin answered %d, want 403 without CORS; header: %v", answer.StatusCode, answer.Header)
	}
}
