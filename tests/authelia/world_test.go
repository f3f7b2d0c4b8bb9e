package authelia_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestExpire(t *testing.T) {
	p := newParty(t)
	code := p.code(query("romm"), "alice")
	p.op.ExpireCodes()
	p.status("code", p.token("romm", redemption(code)), http.StatusBadRequest)
	tokens := p.full()
	p.op.ExpireAccessTokens()
	p.status("access token", p.userinfo(tokens["access_token"]), http.StatusUnauthorized)
	p.op.ExpireRefreshTokens()
	p.status("refresh token", p.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
}

func TestLifespans(t *testing.T) {
	p := newParty(t, func(o *authelia.Options) { o.Lifespans = authelia.Lifespans{AccessToken: time.Minute} })
	tokens := p.full()
	has(t, tokens, map[string]string{"expires_in": "59"})
	p.Advance(time.Minute)
	p.status("access token", p.userinfo(tokens["access_token"]), http.StatusUnauthorized)
	p.op.SetLifespans(authelia.Lifespans{IDToken: 10 * time.Second})
	tokens = p.full()
	has(t, tokens, map[string]string{"expires_in": "3599"})
	_, claims := payload(t, tokens["id_token"])
	if claims["exp"] != float64(p.Now().Unix()+10) {
		t.Errorf("exp is %v", claims["exp"])
	}
}

// A test may change everything while the stand-in serves; the race detector judges.
func TestChangesWhileServing(t *testing.T) {
	p := newParty(t)
	tokens := p.full()
	var group sync.WaitGroup
	for _, change := range []func(){
		func() { p.op.SetDisplayName("alice", "Alice II") },
		func() { p.op.SetGroups("alice", "romm-users") },
		func() { p.op.PutUser(authelia.User{Name: "grace"}) },
		func() { p.op.DeleteUser("grace") },
		func() { p.op.RotateKeys() },
		func() { p.op.DropSessions() },
		func() {
			p.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{}) })
		},
		func() { p.op.Behave() },
		func() { p.op.UpdateClient("full", func(c *authelia.Client) { c.UserinfoAlg = "ES256" }) },
		func() { p.op.ForgetRequests() },
		func() { p.op.Requests(authelia.EndpointUserinfo) },
	} {
		group.Go(func() {
			for range 20 {
				change()
				p.userinfo(tokens["access_token"])
			}
		})
	}
	group.Wait()
}
