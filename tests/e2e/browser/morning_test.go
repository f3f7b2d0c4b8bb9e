// A page that was left open until its tokens expired.

package browser

import (
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A game was left open overnight, and the tokens of its session expired. It
// can still save, and the next page passes through the portal without showing
// it: the user enters no password, clicks nothing, and gets exactly the URL
// they opened.
func TestMorning(t *testing.T) {
	s := start(t, options{consent: "implicit", directive: rolesByMail + "\nsession {\n recheck 100ms\n}"})
	const target = "/rom/7?tab=saves&q=a%20b"
	s.authelia.SetLifespans(authelia.Lifespans{AccessToken: 2 * time.Second})
	b := s.signedIn(target)
	s.authelia.SetLifespans(authelia.Lifespans{})
	for began := time.Now(); len(s.caddy.Logged("session unproven: its tokens expired or were rejected")) == 0; b.save() {
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
	b.scan() // with the new session
}
