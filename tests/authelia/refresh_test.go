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
	p := newParty(t)
	old := p.full()
	_, before := payload(t, old["id_token"])
	p.Advance(30 * time.Minute)
	p.op.SetGroups("alice", "romm-users")
	p.op.SetEmail("alice", "new@example.test")
	answer := p.renew("full", old["refresh_token"])
	p.status("refresh", answer, http.StatusOK)
	fresh := answer.json(t)
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		if fresh[name] == old[name] || text(fresh[name]) == "" {
			t.Errorf("%s did not change", name)
		}
	}
	p.status("old access token", p.userinfo(old["access_token"]), http.StatusUnauthorized)
	p.status("new access token", p.userinfo(fresh["access_token"]), http.StatusOK)

	_, after := payload(t, fresh["id_token"])
	for _, same := range []string{"nonce", "auth_time", "sub", "azp"} {
		if before[same] != after[same] {
			t.Errorf("%s changed from %v to %v", same, before[same], after[same])
		}
	}
	for _, different := range []string{"iat", "exp", "jti", "at_hash"} {
		if before[different] == after[different] {
			t.Errorf("%s did not change", different)
		}
	}
	// The ID token repeats the sign-in, userinfo is live.
	has(t, after, map[string]string{"groups": `["romm-admins","romm-users"]`, "email": `"alice@example.test"`})
	has(t, p.userinfo(fresh["access_token"]).json(t), map[string]string{"groups": `["romm-users"]`, "email": `"new@example.test"`})
}

// A refresh token that is used twice was copied: the whole family dies, the newest tokens included.
func TestRefreshReplayKillsTheFamily(t *testing.T) {
	p := newParty(t)
	first := p.full()
	second := p.renew("full", first["refresh_token"]).json(t)
	answer := p.renew("full", first["refresh_token"])
	p.status("replay", answer, http.StatusBadRequest)
	object := answer.json(t)
	if object["error"] != "invalid_grant" || !strings.HasPrefix(text(object["error_description"]), "The provided authorization grant (") {
		t.Errorf("error %v", object)
	}
	p.status("newest access token", p.userinfo(second["access_token"]), http.StatusUnauthorized)
	p.status("newest refresh token", p.renew("full", second["refresh_token"]), http.StatusBadRequest)
}

// There is no grace period: of two refreshes at once one wins, and its tokens are dead on arrival.
func TestParallelRefreshes(t *testing.T) {
	p := newParty(t)
	tokens := p.full()
	answers := make([]response, 2)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i] = p.renew("full", tokens["refresh_token"]) })
	}
	group.Wait()
	winner, loser := answers[0], answers[1]
	if winner.StatusCode != http.StatusOK {
		winner, loser = loser, winner
	}
	p.status("winner", winner, http.StatusOK)
	p.status("loser", loser, http.StatusBadRequest)
	p.status("the winner's access token", p.userinfo(winner.json(t)["access_token"]), http.StatusUnauthorized)
	p.status("the winner's refresh token", p.renew("full", winner.json(t)["refresh_token"]), http.StatusBadRequest)
}

func TestRefreshTokenSlides(t *testing.T) {
	p := newParty(t)
	tokens := p.full()
	for range 3 {
		p.Advance(89 * time.Minute)
		answer := p.renew("full", tokens["refresh_token"])
		p.status("89 min later", answer, http.StatusOK)
		tokens = answer.json(t)
	}
	p.Advance(90 * time.Minute)
	p.status("90 min later", p.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
}

func TestRefreshScopes(t *testing.T) {
	p := newParty(t)
	tokens := p.tokens(query("full", "scope", "openid profile offline_access"), "alice")
	wider := p.renew("full", tokens["refresh_token"], "scope", "openid groups")
	p.status("wider", wider, http.StatusBadRequest)
	has(t, wider.json(t), map[string]string{"error": `"invalid_scope"`})
	narrower := p.renew("full", tokens["refresh_token"], "scope", "openid")
	p.status("narrower", narrower, http.StatusOK)
	has(t, narrower.json(t), map[string]string{"scope": `"openid"`})
	has(t, p.userinfo(narrower.json(t)["access_token"]).json(t), map[string]string{"name": "absent"})
}

func TestRefreshNeedsScopeAndGrant(t *testing.T) {
	p := newParty(t)
	if tokens := p.tokens(query("full"), "alice"); tokens["refresh_token"] != nil {
		t.Error("a refresh token without offline_access")
	}
	p.op.UpdateClient("romm", func(c *authelia.Client) { c.Scopes = append(c.Scopes, "offline_access") })
	if tokens := p.tokens(query("romm", "scope", "openid offline_access"), "alice"); tokens["refresh_token"] != nil {
		t.Error("a refresh token without the grant")
	}
	answer := p.renew("romm", "x")
	p.status("grant not registered", answer, http.StatusBadRequest)
	has(t, answer.json(t), map[string]string{"error": `"unauthorized_client"`})
}

func TestRefreshByTheWrongClient(t *testing.T) {
	p := newParty(t)
	p.op.UpdateClient("romm", func(c *authelia.Client) { c.GrantTypes = append(c.GrantTypes, "refresh_token") })
	tokens := p.full()
	answer := p.renew("romm", tokens["refresh_token"])
	p.status("another client", answer, http.StatusBadRequest)
	has(t, answer.json(t), map[string]string{"error": `"invalid_grant"`})
	form := map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {text(tokens["refresh_token"])}}
	p.status("wrong secret", p.token("", form, "Authorization", basic("full", "wrong")), http.StatusUnauthorized)
	p.status("the token survives", p.renew("full", tokens["refresh_token"]), http.StatusOK)
}

// Neither account nor groups are looked at again.
func TestRefreshOfDisabledUser(t *testing.T) {
	for name, end := range map[string]func(*authelia.Server){
		"disabled":       func(s *authelia.Server) { s.DisableUser("alice") },
		"deleted":        func(s *authelia.Server) { s.DeleteUser("alice") },
		"out of groups":  func(s *authelia.Server) { s.SetGroups("alice") },
		"portal dropped": (*authelia.Server).DropSessions,
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t)
			p.op.UpdateClient("full", func(c *authelia.Client) { c.AllowedGroups = []string{"romm-admins"} })
			tokens := p.full()
			end(p.op)
			p.status("refresh", p.renew("full", tokens["refresh_token"]), http.StatusOK)
		})
	}
}
