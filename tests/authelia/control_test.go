// Tests of the changes that a test makes to a running stand-in.

package authelia_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestExpiredCodesAndTokensAreRefused(t *testing.T) {
	h := newHarness(t)
	code := h.code(query("romm"), "alice")
	h.op.ExpireCodes()
	h.status("expired code", h.token("romm", redemption(code)), http.StatusBadRequest)
	tokens := h.full()
	h.op.ExpireAccessTokens()
	h.status("expired access token", h.userinfo(tokens["access_token"]), http.StatusUnauthorized)
	h.op.ExpireRefreshTokens()
	h.status("expired refresh token", h.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
}

func TestLifespansCanBeSet(t *testing.T) {
	h := newHarness(t, func(o *authelia.Options) { o.Lifespans = authelia.Lifespans{AccessToken: time.Minute} })
	tokens := h.full()
	has(t, tokens, map[string]string{"expires_in": "59"})
	h.Advance(time.Minute)
	h.status("expired access token", h.userinfo(tokens["access_token"]), http.StatusUnauthorized)
	h.op.SetLifespans(authelia.Lifespans{IDToken: 10 * time.Second})
	tokens = h.full()
	has(t, tokens, map[string]string{"expires_in": "3599"})
	_, claims := payload(t, tokens["id_token"])
	if claims["exp"] != float64(h.Now().Unix()+10) {
		t.Errorf("exp is %v, want 10 s from now (%d)", claims["exp"], h.Now().Unix()+10)
	}
}

// A test may change anything while the stand-in serves. This test is for the race detector.
func TestChangesWhileServing(t *testing.T) {
	h := newHarness(t)
	tokens := h.full()
	var group sync.WaitGroup
	for _, change := range []func(){
		func() { h.op.SetDisplayName("alice", "Alice II") },
		func() { h.op.SetGroups("alice", "romm-users") },
		func() { h.op.PutUser(authelia.User{Name: "grace"}) },
		func() { h.op.DeleteUser("grace") },
		func() { h.op.RotateKeys() },
		func() { h.op.DropSessions() },
		func() {
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{}) })
		},
		func() { h.op.Behave() },
		func() { h.op.UpdateClient("full", func(c *authelia.Client) { c.UserinfoAlg = "ES256" }) },
		func() { h.op.ForgetRequests() },
		func() { h.op.Requests(authelia.EndpointUserinfo) },
	} {
		group.Go(func() {
			for range 20 {
				change()
				h.userinfo(tokens["access_token"])
			}
		})
	}
	group.Wait()
}
