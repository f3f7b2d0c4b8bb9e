// Guessing at every endpoint that takes a secret, and from any address.

package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

const formType = "application/x-www-form-urlencoded"

// guessPassword sends a password to RomM's token endpoint.
func guessPassword(b *browser, user, password string, fields ...string) response {
	form := url.Values{"grant_type": {"password"}, "username": {user}, "password": {password}}
	return b.send("POST /api/token", strings.NewReader(form.Encode()), append(fields, "Content-Type", formType)...)
}

// A signed-in user guesses the passwords of others, with and without the preset for
// passwords, and in any spelling of the path. They get 429 as an anonymous client
// does, and no answer tells which accounts exist or have no password.
func TestSignedInUserGuessesPasswords(t *testing.T) {
	for name, preset := range map[string]string{"clients password": "clients password\n", "no preset": ""} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail + preset})
			s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin", Password: "root-password"})
			bob := s.as("bob")
			same := [...]string{"Origin", public, "Sec-Fetch-Site", "same-origin"}
			wrong := guessPassword(bob, "root", "x", same[:]...)
			if wrong.StatusCode != http.StatusUnauthorized {
				t.Fatalf("wrong password: got %d %s, want 401", wrong.StatusCode, wrong.body)
			}
			for _, user := range []string{"missing", "bob"} { // bob has no password: RomM answers 500
				if got := guessPassword(bob, user, "x", same[:]...); got.StatusCode != wrong.StatusCode {
					t.Errorf("user %s: got %d, want %d as for a wrong password", user, got.StatusCode, wrong.StatusCode)
				}
			}
			codes := map[int]int{}
			for i := range 60 {
				codes[guessPassword(bob, "root", fmt.Sprint("x", i), same[:]...).StatusCode]++
			}
			if codes[http.StatusTooManyRequests] < 40 || len(codes) != 2 {
				t.Errorf("60 wrong passwords: got %v, want 401 and then 429", codes)
			}
			for _, path := range []string{"/api/token/", "/api//token", "/api/%74oken"} {
				form := url.Values{"grant_type": {"password"}, "username": {"root"}, "password": {"root-password"}}
				got := bob.send("POST "+path, strings.NewReader(form.Encode()), append(same[:], "Content-Type", formType)...)
				if got.StatusCode == http.StatusOK || strings.Contains(got.body, "access_token") {
					t.Errorf("POST %s over the limit: got %d %s, want no token", path, got.StatusCode, got.body)
				}
			}
		})
	}
}

// The endpoints for RomM answer at the public origin too. An attacker guesses the
// client secret there: every answer is the same, and soon 429. RomM still signs users
// in, even from the attacker's address, and no browser asks its user for a password.
func TestGuessingTheClientSecretOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	s.as("bob") // before the first sign-in, the gate may have no signing keys yet
	attacker := s.browser()
	guess := func(secret string, basic bool) string {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {public + base}}
		fields := []string{"Content-Type", formType}
		if basic {
			r, _ := http.NewRequest(http.MethodPost, "/", nil)
			r.SetBasicAuth("romm", secret)
			fields = append(fields, "Authorization", r.Header.Get("Authorization"))
		} else {
			form.Set("client_id", "romm")
			form.Set("client_secret", secret)
		}
		got := attacker.send("POST "+base+"/token", strings.NewReader(form.Encode()), fields...)
		if challenge := got.Header.Get("Www-Authenticate"); strings.Contains(challenge, "Basic") {
			t.Errorf("a guess is answered with the challenge %q, want none", challenge)
		}
		return fmt.Sprint(got.StatusCode, got.body)
	}
	for _, basic := range []bool{false, true} {
		if wrong, right := guess("guess", basic), guess("insecure_secret", basic); wrong != right {
			t.Errorf("basic %v: wrong secret %s, right secret %s, want the same", basic, wrong, right)
		}
	}
	answers := map[string]int{}
	for i := range 100 {
		answers[guess(fmt.Sprint(i), i%2 == 0)[:3]]++
	}
	if answers["429"] < 80 {
		t.Errorf("100 guesses: got %v, want mostly 429", answers)
	}
	if right := guess("insecure_secret", true); !strings.HasPrefix(right, "429") {
		t.Errorf("the right secret over the limit: got %s, want 429", right)
	}
	s.as("alice").wantUser("alice")
}

// A trusted proxy appends the client's address to what the client sent. The client
// cannot choose the address that limits count, and locks no other user out.
func TestForwardedForChoosesNoAddress(t *testing.T) {
	for name, strict := range map[string]string{"as Caddy reads it": "", "trusted_proxies_strict": "trusted_proxies_strict\n"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{
				directive: rolesByMail + "clients password\n",
				global:    "servers {\n trusted_proxies static 127.0.0.1/32 ::1/128 10.0.0.0/8\n" + strict + "}\n",
			})
			s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin", Password: "root-password"})
			codes := map[int]int{}
			anyone := s.browser()
			for i := range 60 {
				// The client is 203.0.113.9. Two proxies, at 10.0.0.7 and on this machine, appended.
				forwarded := fmt.Sprintf("198.51.100.%d, 203.0.113.9", i)
				if i%2 == 0 {
					forwarded += ", 10.0.0.7:1234"
				}
				codes[guessPassword(anyone, "root", fmt.Sprint(i), "X-Forwarded-For", forwarded, "X-Forwarded-Proto", "https").StatusCode]++
			}
			if codes[http.StatusUnauthorized] != 20 || codes[http.StatusTooManyRequests] != 40 {
				t.Errorf("60 wrong passwords of one client: got %v, want 20 times 401 and 40 times 429", codes)
			}
			if got := guessPassword(anyone, "root", "root-password", "X-Forwarded-For", "203.0.113.10"); got.StatusCode != http.StatusOK {
				t.Errorf("another client: got %d %s, want 200", got.StatusCode, got.body)
			}
			s.romm.ForgetRequests()
			anyone.send("POST /api/client-tokens/exchange", strings.NewReader("{}"), "X-Forwarded-For", "198.51.100.1, 203.0.113.9", "Content-Type", "application/json")
			for _, r := range s.romm.Requests() {
				if first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ","); first != "203.0.113.9" {
					t.Errorf("RomM takes %q for the client's address, want 203.0.113.9", first)
				}
			}
		})
	}
}
