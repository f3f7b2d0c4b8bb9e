// Back-channel logout at a running gate.

package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A provider with back-channel logout, such as Keycloak, signs alice out of
// one browser and bob out of all of his.
func TestProviderSignsOut(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	signIn := func(user, sid string) *browser {
		s.authelia.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("sid", sid) })
		return s.as(user)
	}
	here, there := signIn("alice", "s1"), signIn("alice", "s2")
	bob, bobToo := signIn("bob", "s3"), signIn("bob", "s4")
	provider := s.browser() // without cookies
	tell := func(edit authelia.Edit) response {
		t.Helper()
		answer := provider.send("POST "+base+"/backchannel-logout",
			strings.NewReader(url.Values{"logout_token": {s.authelia.LogoutToken("romm", authelia.SignedProperly, edit)}}.Encode()),
			"Content-Type", "application/x-www-form-urlencoded")
		if answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control is %q, want no-store", answer.Header.Get("Cache-Control"))
		}
		return answer
	}
	if answer := tell(authelia.Set("sid", "s1")); answer.StatusCode != http.StatusOK || here.in() || !there.in() || !bob.in() {
		t.Errorf("a logout token with a sid answered %d, want 200 and only that session ended: %s", answer.StatusCode, answer.body)
	}
	if answer := tell(authelia.Set("sub", s.authelia.Subject("bob"))); answer.StatusCode != http.StatusOK || bob.in() || bobToo.in() || !there.in() {
		t.Errorf("a logout token with bob's sub answered %d, want 200 and only bob's sessions ended: %s", answer.StatusCode, answer.body)
	}
	if answer := tell(authelia.Edits(authelia.Set("sid", "s2"), authelia.Set("aud", "other"))); answer.StatusCode != http.StatusBadRequest || !there.in() {
		t.Errorf("a logout token for another client answered %d, want 400 and no session ended: %s", answer.StatusCode, answer.body)
	}
}
