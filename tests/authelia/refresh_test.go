// Tests of the refresh token grant.

package authelia_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestRefreshRotates(t *testing.T) {
	h := newHarness(t)
	old := h.full()
	_, before := payload(t, old["id_token"])
	h.Advance(30 * time.Minute)
	h.op.SetGroups("alice", "romm-users")
	h.op.SetEmail("alice", "new@example.test")
	answer := h.renew("full", old["refresh_token"])
	h.status("refresh", answer, http.StatusOK)
	fresh := answer.json(t)
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		if fresh[name] == old[name] || text(fresh[name]) == "" {
			t.Errorf("%s is %v, want a new one", name, fresh[name])
		}
	}
	h.status("old access token", h.userinfo(old["access_token"]), http.StatusUnauthorized)
	h.status("new access token", h.userinfo(fresh["access_token"]), http.StatusOK)

	_, after := payload(t, fresh["id_token"])
	for _, same := range []string{"nonce", "auth_time", "sub", "azp"} {
		if before[same] != after[same] {
			t.Errorf("%s is %v after the refresh, want %v as before", same, after[same], before[same])
		}
	}
	for _, different := range []string{"iat", "exp", "jti", "at_hash"} {
		if before[different] == after[different] {
			t.Errorf("%s is still %v after the refresh, want another value", different, after[different])
		}
	}
	// The ID token repeats the claims of the sign-in. Userinfo has the current ones.
	has(t, after, map[string]string{"groups": `["romm-admins","romm-users"]`, "email": `"alice@example.test"`})
	has(t, h.userinfo(fresh["access_token"]).json(t), map[string]string{"groups": `["romm-users"]`, "email": `"new@example.test"`})
}

// A refresh token that is used twice may have been stolen: Authelia revokes the whole family, the newest tokens included.
func TestRefreshTokenReplayRevokesTheFamily(t *testing.T) {
	h := newHarness(t)
	first := h.full()
	second := h.renew("full", first["refresh_token"]).json(t)
	answer := h.renew("full", first["refresh_token"])
	h.status("refresh token used twice", answer, http.StatusBadRequest)
	object := answer.json(t)
	if object["error"] != "invalid_grant" || !strings.HasPrefix(text(object["error_description"]), "The provided authorization grant (") {
		t.Errorf("body is %v, want invalid_grant with its description", object)
	}
	h.status("newest access token", h.userinfo(second["access_token"]), http.StatusUnauthorized)
	h.status("newest refresh token", h.renew("full", second["refresh_token"]), http.StatusBadRequest)
}

// There is no grace period: of two refreshes at once one succeeds, and the other one revokes its tokens.
func TestParallelRefreshesRevokeTheFamily(t *testing.T) {
	h := newHarness(t)
	tokens := h.full()
	answers := make([]response, 2)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i] = h.renew("full", tokens["refresh_token"]) })
	}
	group.Wait()
	winner, loser := answers[0], answers[1]
	if winner.StatusCode != http.StatusOK {
		winner, loser = loser, winner
	}
	h.status("refresh that came first", winner, http.StatusOK)
	h.status("refresh that came second", loser, http.StatusBadRequest)
	h.status("access token of the first refresh", h.userinfo(winner.json(t)["access_token"]), http.StatusUnauthorized)
	h.status("refresh token of the first refresh", h.renew("full", winner.json(t)["refresh_token"]), http.StatusBadRequest)
}

func TestRefreshTokenLivesFor90MinutesFromItsRotation(t *testing.T) {
	h := newHarness(t)
	tokens := h.full()
	for range 3 {
		h.Advance(89 * time.Minute)
		answer := h.renew("full", tokens["refresh_token"])
		h.status("refresh after 89 minutes", answer, http.StatusOK)
		tokens = answer.json(t)
	}
	h.Advance(90 * time.Minute)
	h.status("refresh after 90 minutes", h.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
}

func TestRefreshMayNarrowScopesOnly(t *testing.T) {
	h := newHarness(t)
	tokens := h.tokens(query("full", "scope", "openid profile offline_access"), "alice")
	wider := h.renew("full", tokens["refresh_token"], "scope", "openid groups")
	h.status("refresh with more scopes", wider, http.StatusBadRequest)
	has(t, wider.json(t), map[string]string{"error": `"invalid_scope"`})
	narrower := h.renew("full", tokens["refresh_token"], "scope", "openid")
	h.status("refresh with fewer scopes", narrower, http.StatusOK)
	has(t, narrower.json(t), map[string]string{"scope": `"openid"`})
	has(t, h.userinfo(narrower.json(t)["access_token"]).json(t), map[string]string{"name": "absent"})
}

func TestRefreshNeedsOfflineAccessAndTheGrantType(t *testing.T) {
	h := newHarness(t)
	if tokens := h.tokens(query("full"), "alice"); tokens["refresh_token"] != nil {
		t.Error("the response has a refresh token, want none without offline_access")
	}
	h.op.UpdateClient("romm", func(c *authelia.Client) { c.Scopes = append(c.Scopes, "offline_access") })
	if tokens := h.tokens(query("romm", "scope", "openid offline_access"), "alice"); tokens["refresh_token"] != nil {
		t.Error("the response has a refresh token, want none without the grant type")
	}
	answer := h.renew("romm", "x")
	h.status("refresh without the grant type", answer, http.StatusBadRequest)
	has(t, answer.json(t), map[string]string{"error": `"unauthorized_client"`})
}

func TestRefreshByAnotherClientIsRefused(t *testing.T) {
	h := newHarness(t)
	h.op.UpdateClient("romm", func(c *authelia.Client) { c.GrantTypes = append(c.GrantTypes, "refresh_token") })
	tokens := h.full()
	answer := h.renew("romm", tokens["refresh_token"])
	h.status("refresh by another client", answer, http.StatusBadRequest)
	has(t, answer.json(t), map[string]string{"error": `"invalid_grant"`})
	form := map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {text(tokens["refresh_token"])}}
	h.status("refresh with a wrong secret", h.token("", form, "Authorization", basic("full", "wrong")), http.StatusUnauthorized)
	h.status("refresh by the right client afterwards", h.renew("full", tokens["refresh_token"]), http.StatusOK)
}

// An administrator who replaces a client under live sessions ends their refreshes
// for good.
func TestRefreshAfterTheClientChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*authelia.Client)
		status int
		code   string
	}{
		"no refresh_token grant any longer": {func(c *authelia.Client) { c.GrantTypes = []string{"authorization_code"} }, http.StatusBadRequest, "unauthorized_client"},
		"another secret":                    {func(c *authelia.Client) { c.Secret = "other" }, http.StatusUnauthorized, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			tokens := h.full()
			h.op.UpdateClient("full", test.change)
			for range 2 {
				answer := h.renew("full", tokens["refresh_token"])
				h.status("refresh", answer, test.status)
				has(t, answer.json(t), map[string]string{"error": `"` + test.code + `"`})
			}
		})
	}
}

// A refresh checks neither the account nor the groups again.
func TestRefreshIgnoresTheAccount(t *testing.T) {
	for name, end := range map[string]func(*authelia.Server){
		"disabled":                 func(s *authelia.Server) { s.DisableUser("alice") },
		"deleted":                  func(s *authelia.Server) { s.DeleteUser("alice") },
		"removed from all groups":  func(s *authelia.Server) { s.SetGroups("alice") },
		"signed out of the portal": (*authelia.Server).DropSessions,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.op.UpdateClient("full", func(c *authelia.Client) { c.AllowedGroups = []string{"romm-admins"} })
			tokens := h.full()
			end(h.op)
			h.status("refresh", h.renew("full", tokens["refresh_token"]), http.StatusOK)
		})
	}
}
