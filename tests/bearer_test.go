// Scripts that use access tokens of Authelia (`clients bearer`).

package tests

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// tokensOf signs user in at Authelia for another client, without the gate, and
// returns the tokens that the token endpoint issues.
func (s *stack) tokensOf(user, client, redirectURI string) (access, id string) {
	s.t.Helper()
	const verifier = "0123456789012345678901234567890123456789012"
	challenge := sha256.Sum256([]byte(verifier))
	b := s.browser()
	callback, err := s.authelia.SignIn(b.client, issuer+"/api/oidc/authorization?"+url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirectURI}, "scope": {"openid profile email"}, "state": {"0123456789"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode(), user, user+"-password")
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := url.Parse(callback)
	if err != nil {
		s.t.Fatal(err)
	}
	answer := b.send("POST "+issuer+"/api/oidc/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	}.Encode()), append(basic(client, "insecure_secret"), "Content-Type", "application/x-www-form-urlencoded")...)
	var tokens struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(answer.body), &tokens); err != nil || tokens.Access == "" {
		s.t.Fatalf("the token endpoint answered %d, want an access token: %s", answer.StatusCode, answer.body)
	}
	return tokens.Access, tokens.ID
}

// With an access token of Authelia, a script acts as the user in RomM, with
// the user's account and role. It needs no CSRF token, since browsers never
// send an access token by themselves. Only a token issued for this client is
// accepted.
func TestAccessTokenOfAuthelia(t *testing.T) {
	const elsewhere = "https://script.example.com/callback"
	o := options{directive: rolesByMail, authelia: func(o *authelia.Options) {
		o.Clients = append(o.Clients, authelia.Client{
			ID: "script", Secret: "insecure_secret", RedirectURIs: []string{elsewhere}, Scopes: []string{"openid", "profile", "email"},
		})
	}}
	s := start(t, o)
	access, id := s.tokensOf("alice", "romm", public+base)
	foreign, _ := s.tokensOf("alice", "script", elsewhere)
	script := s.browser()
	if me := script.do("/api/users/me", "Authorization", "Bearer "+access); me.StatusCode != http.StatusUnauthorized {
		t.Errorf("/api/users/me with an access token, without `clients bearer`, answered %d, want 401: %s", me.StatusCode, me.body)
	}

	o.directive += "clients bearer"
	s.load(o)
	for range 5 {
		if me := script.do("/api/users/me", "Authorization", "Bearer "+access); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"alice"`) || !strings.Contains(me.body, `"role":"admin"`) {
			t.Fatalf("/api/users/me with an access token answered %d, want 200 with alice as an administrator: %s", me.StatusCode, me.body)
		}
	}
	if save := script.send("POST /api/saves", strings.NewReader("save"), "Authorization", "Bearer "+access); save.StatusCode != http.StatusOK || s.romm.SaveCount() != 1 {
		t.Errorf("a save with an access token answered %d, want 200 and one save: %s", save.StatusCode, save.body)
	}
	if sessions := s.romm.Sessions(); sessions != 1 {
		t.Errorf("RomM has %d sessions, want 1 for all requests with one access token", sessions)
	}
	for name, token := range map[string]string{"another client's token": foreign, "an ID token": id, "an unknown token": "authelia_at_x.y"} {
		if me := script.do("/api/users/me", "Authorization", "Bearer "+token); me.StatusCode != http.StatusUnauthorized {
			t.Errorf("/api/users/me with %s answered %d, want 401: %s", name, me.StatusCode, me.body)
		}
	}
	for target, want := range map[string]int{
		"/library": http.StatusOK, "/api/stats": http.StatusOK, "//api/platforms": http.StatusOK, "/assets/romm/resources/roms/1/cover/big.svg": http.StatusOK,
		"POST /api/users": http.StatusForbidden, "/ws/socket.io/": http.StatusForbidden, "/api/%72oms": http.StatusForbidden,
	} {
		if answer := script.do(target, "Authorization", "Bearer "+access); answer.StatusCode != want {
			t.Errorf("%s with an access token answered %d, want %d", target, answer.StatusCode, want)
		}
	}
	if me := s.as("bob").fetch("/api/users/me", "Authorization", "Bearer "+access); !strings.Contains(me.body, `"username":"bob"`) {
		t.Errorf("/api/users/me with alice's access token and bob's ticket answered %d, want bob as the user: %s", me.StatusCode, me.body)
	}
	for _, request := range s.romm.Requests() {
		if strings.Contains(request.Header.Get("Authorization"), "authelia_at") {
			t.Errorf("the access token reached RomM at %s", request.Path)
		}
	}
}
