// RomM's tokens for a password: they name a user, and stay with the account that
// they were issued for.

package tests

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// rommTokens are what RomM issues for a password.
type rommTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// exchange asks for tokens and returns them, and the status.
func (s *stack) exchange(form url.Values) (rommTokens, int) {
	s.t.Helper()
	answer := s.browser().send("POST /api/token", strings.NewReader(form.Encode()), "Content-Type", formType)
	var tokens rommTokens
	if answer.StatusCode == http.StatusOK && json.Unmarshal([]byte(answer.body), &tokens) != nil {
		s.t.Fatalf("the answer to %v is %s", form, answer.body)
	}
	return tokens, answer.StatusCode
}

// With `clients password`, bob, named alice for a moment, gets RomM's tokens, which
// hold a name, gives the name back, and keeps them. When alice gets her account,
// neither his access token nor his refresh token, nor what he gets for it, is hers.
func TestParkedRommJWT(t *testing.T) {
	for name, asked := range map[string]url.Values{
		"may read the account":                    {"scope": {"me.read me.write roms.read"}},
		"may read the account, padded later":      {"scope": {"me.read me.write roms.read"}},
		"may not":                                 {"scope": {"roms.read"}},
		"may not, with a refresh token beside it": {"scope": {"roms.read"}, "refresh_token": {"made up"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail + "clients password\n"})
			s.romm.AddUser(root)
			bob := s.as("bob")
			account, _ := s.romm.User("bob")
			bob.change(account, "username=alice&password=bob-password")
			form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"bob-password"}}
			maps.Copy(form, asked)
			tokens, status := s.exchange(form)
			if status != http.StatusOK {
				t.Fatalf("bob's own password answered %d, want 200", status)
			}
			target := "/api/roms"
			if answer := s.browser().do(target, "Authorization", "Bearer "+tokens.Access); answer.StatusCode != http.StatusOK {
				t.Fatalf("bob's token answered %d before, want 200: %s", answer.StatusCode, answer.body)
			}
			bob.change(account, "username=bob")
			s.as("alice").wantUser("alice")
			if answer := s.browser().do(target, "Authorization", "Bearer "+tokens.Access); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("bob's parked access token answered %d, want 401: %s", answer.StatusCode, answer.body)
			}
			if strings.HasSuffix(name, "padded later") { // RomM accepts that, too
				tokens.Refresh += "="
			}
			again, status := s.exchange(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})
			if status != http.StatusOK {
				return
			}
			if answer := s.browser().do(target, "Authorization", "Bearer "+again.Access); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("the token for bob's parked refresh token answered %d, want 401: %s", answer.StatusCode, answer.body)
			}
		})
	}
}

// A user who keeps their name loses nothing: their tokens and what they get for the
// refresh token work.
func TestRommJWTOfTheSameAccount(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "clients password\n"})
	s.romm.AddUser(root)
	bob := s.as("bob")
	account, _ := s.romm.User("bob")
	bob.change(account, "password=bob-password")
	tokens, _ := s.exchange(url.Values{"grant_type": {"password"}, "username": {"bob"}, "password": {"bob-password"}, "scope": {"me.read roms.read"}})
	bob.change(account, "username=robert")
	if answer := s.browser().do("/api/roms", "Authorization", "Bearer "+tokens.Access); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token for a name that no account has answered %d, want 401", answer.StatusCode)
	}
	bob.change(account, "username=bob")
	for range 3 {
		if answer := s.browser().do("/api/roms", "Authorization", "Bearer "+tokens.Access); answer.StatusCode != http.StatusOK {
			t.Errorf("a token of bob's, who has his name again, answered %d, want 200: %s", answer.StatusCode, answer.body)
		}
		tokens, _ = s.exchange(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})
	}
}

// Bob's token may read games and not his own account, so that RomM does not tell whose
// it is. He is disabled: it could be his, and does not pass. Tokens of others whose owner
// RomM names do.
func TestTokenWithoutItsOwner(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon})
	s.romm.AddUser(root)
	bob := s.as("bob")
	unnamed, hers := "Bearer "+s.romm.NewClientToken("bob", "roms.read"), "Bearer "+s.romm.NewClientToken("root", "me.read roms.read")
	get := func(token string) response { return s.browser().do("/api/roms", "Authorization", token) }
	if answer := get(unnamed); answer.StatusCode != http.StatusOK {
		t.Fatalf("while no account is shut, the token answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	s.authelia.DisableUser("bob")
	eventually(t, bob.out)
	eventually(t, func() bool { return get(unnamed).StatusCode != http.StatusOK })
	if answer := get(unnamed); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(answer.body, "token_owner_unknown") {
		t.Errorf("the token answered %d, want 503 token_owner_unknown: %s", answer.StatusCode, answer.body)
	}
	if answer := get(hers); answer.StatusCode != http.StatusOK {
		t.Errorf("another user's token answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	s.authelia.EnableUser("bob")
	eventually(t, func() bool { // until the end of all that he had is over
		return s.browser().signIn("/", "bob").StatusCode == http.StatusSeeOther
	})
	if answer := get(unnamed); answer.StatusCode != http.StatusOK {
		t.Errorf("after bob signed in again, the token answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
}
