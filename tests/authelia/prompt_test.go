// Tests of the parameters prompt and max_age.

package authelia_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestPrompt(t *testing.T) {
	t.Run("none with a session and implicit consent answers at once", func(t *testing.T) {
		h := newHarness(t)
		h.login(query("quiet"), "alice")
		h.status("prompt=none", h.get(authorizeURL(query("quiet", "prompt", "none"))), http.StatusSeeOther)
	})
	t.Run("none with consent outstanding goes to the portal", func(t *testing.T) {
		h := newHarness(t)
		h.login(query("romm"), "alice")
		answer := h.get(authorizeURL(query("romm", "prompt", "none")))
		h.status("prompt=none", answer, http.StatusFound)
		if got := answer.Header.Get("Location"); !strings.HasPrefix(got, issuer+"/consent/openid/decision?") {
			t.Errorf("Location is %s, want the consent page", got)
		}
	})
	t.Run("none with the id_token_hint of another user is login_required", func(t *testing.T) {
		h := newHarness(t)
		hint := text(h.tokens(query("quiet"), "bob")["id_token"])
		h.browser = newBrowser(t, h.op)
		h.login(query("quiet"), "alice")
		answer := h.get(authorizeURL(query("quiet", "prompt", "none", "id_token_hint", hint)))
		if !strings.Contains(answer.Header.Get("Location"), "error=login_required") {
			t.Errorf("Location is %s, want error=login_required", answer.Header.Get("Location"))
		}
	})
	t.Run("login asks for the password on the consent page", func(t *testing.T) {
		h := newHarness(t)
		_, before := payload(t, h.tokens(query("quiet"), "alice")["id_token"])
		h.Advance(time.Minute)
		q := query("quiet", "prompt", "login")
		if _, err := h.op.SignIn(h.browser, authorizeURL(q), "alice", "wrong"); !errors.Is(err, authelia.ErrCredentials) {
			t.Fatalf("SignIn with a wrong password: error is %v, want ErrCredentials", err)
		}
		_, after := payload(t, h.tokens(q, "alice")["id_token"])
		if after["auth_time"] == before["auth_time"] {
			t.Errorf("auth_time is still %v, want a later one", after["auth_time"])
		}
	})
	t.Run("login asks once when the user has just signed in", func(t *testing.T) {
		h := newHarness(t)
		h.code(query("quiet", "prompt", "login"), "alice")
		if got := h.op.Calls(authelia.EndpointConsent); got != 0 {
			t.Errorf("the consent page had %d requests, want 0", got)
		}
	})
	t.Run("consent asks the user of an implicit client too", func(t *testing.T) {
		h := newHarness(t)
		h.code(query("quiet", "prompt", "consent"), "alice")
		if got := h.op.Calls(authelia.EndpointConsent); got == 0 {
			t.Error("the consent page had 0 requests, want the user asked")
		}
	})
	t.Run("max_age asks for the password when the session is older", func(t *testing.T) {
		h := newHarness(t)
		h.login(query("quiet"), "alice")
		h.Advance(10 * time.Second)
		h.status("session as old as max_age", h.get(authorizeURL(query("quiet", "max_age", "10"))), http.StatusSeeOther)
		h.Advance(time.Second)
		h.status("session older than max_age", h.get(authorizeURL(query("quiet", "max_age", "10"))), http.StatusFound)
		h.code(query("quiet", "max_age", "10"), "alice")
	})
	for _, never := range []string{"0", "-1", "soon"} {
		t.Run("max_age="+never+" is never satisfied", func(t *testing.T) {
			h := newHarness(t)
			if _, err := h.op.SignIn(h.browser, authorizeURL(query("quiet", "max_age", never)), "alice", "alice-pw"); !errors.Is(err, authelia.ErrNoCallback) {
				t.Errorf("SignIn: error is %v, want ErrNoCallback", err)
			}
		})
	}
}
