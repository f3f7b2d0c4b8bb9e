package browser

import (
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A game was left open over night, and the tokens of its session have ended.
// It saves all the same, and the next page passes through the portal without
// showing it: no password, no click, and not a byte of the address lost.
func TestMorning(t *testing.T) {
	s := start(t, options{consent: "implicit", directive: rolesByMail + "\nsession {\n recheck 100ms\n}"})
	const target = "/rom/7?tab=saves&q=a%20b"
	b := s.signedIn(target)
	s.authelia.ExpireAccessTokens()
	for began := time.Now(); len(s.caddy.Logged("session is unproven")) == 0; b.save() {
		if time.Since(began) > patience {
			t.Fatal("the gate did not find the session unproven after its tokens ended")
		}
	}
	b.save()
	s.authelia.ForgetRequests()
	b.open(target)
	b.in(target, "alice")
	b.screenshot("morning")
	if calls := s.authelia.Calls(authelia.EndpointAuthorization); calls != 1 {
		t.Errorf("the portal got %d authorization requests, want 1", calls)
	}
	b.onlyOurs()
	b.scan() // under the new session
}
