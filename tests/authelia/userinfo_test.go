// Tests of the userinfo endpoint and of subjects.

package authelia_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestUserinfoClaimsByScope(t *testing.T) {
	h := newHarness(t)
	tests := []struct {
		user, scope string
		want        map[string]string
	}{
		{"alice", "openid profile email groups", map[string]string{
			"email": `"alice@example.test"`, "email_verified": "true", "groups": `["romm-admins","romm-users"]`, "name": `"Alice Example"`,
			"preferred_username": `"alice"`, "rat": fmt.Sprint(h.Now().Unix()), "updated_at": fmt.Sprint(h.Now().Unix()),
			"sub": `"` + h.op.Subject("alice") + `"`, "iss": "absent", "aud": "absent",
		}},
		{"alice", "openid", map[string]string{"email": "absent", "groups": "absent", "name": "absent", "updated_at": "absent"}},
		{"bob", "openid groups", map[string]string{"groups": `["a,b","with space"]`, "email": "absent"}},
		{"carol", "openid groups", map[string]string{"groups": "[]"}},
		{"Erin.Upper", "openid profile email", map[string]string{
			"email": `"Erin.Upper@Example.Test"`, "preferred_username": `"Erin.Upper"`, "given_name": `"Erin"`, "locale": `"en-NZ"`,
		}},
		{"frank", "openid profile email", map[string]string{"email": "absent", "email_verified": "true"}},
	}
	for _, test := range tests {
		t.Run(test.user+" "+test.scope, func(t *testing.T) {
			h := &harness{T: t, clock: h.clock, op: h.op, browser: newBrowser(t, h.op)}
			answer := h.userinfo(h.tokens(query("quiet", "scope", test.scope), test.user)["access_token"])
			h.status("userinfo", answer, http.StatusOK)
			if got := answer.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("Content-Type is %q, want JSON in UTF-8", got)
			}
			has(t, answer.json(t), test.want)
		})
	}
}

// Userinfo of a disabled or deleted user is 200, without the claims of the user.
func TestUserinfoOfDisabledUserNamesNoUser(t *testing.T) {
	for name, end := range map[string]func(*authelia.Server){
		"disabled": func(s *authelia.Server) { s.DisableUser("alice") },
		"deleted":  func(s *authelia.Server) { s.DeleteUser("alice") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			tokens := h.tokens(query("romm"), "alice")
			end(h.op)
			answer := h.userinfo(tokens["access_token"])
			h.status("userinfo", answer, http.StatusOK)
			got := answer.json(t)
			has(t, got, map[string]string{
				"sub": `"` + h.op.Subject("alice") + `"`, "iss": `"` + issuer + `"`, "aud": `["romm"]`, "azp": `"romm"`, "amr": `["pwd","kba"]`,
				"preferred_username": "absent", "email": "absent", "groups": "absent", "name": "absent",
			})
			if len(got) != 7 {
				t.Errorf("claims are %v, want the 7 of the access token only", got)
			}
			if name == "disabled" {
				h.op.EnableUser("alice")
				has(t, h.userinfo(tokens["access_token"]).json(t), map[string]string{"preferred_username": `"alice"`})
			}
		})
	}
}

func TestUserinfoRefusals(t *testing.T) {
	h := newHarness(t)
	tokens := h.tokens(query("romm"), "alice")
	refused := func(name string, answer response, code string) {
		t.Helper()
		h.status(name, answer, http.StatusUnauthorized)
		if answer.body != "{}" {
			t.Errorf("%s: body is %q, want {}", name, answer.body)
		}
		if got := answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer error="`+code+`",error_description="`) {
			t.Errorf("%s: WWW-Authenticate is %q, want a Bearer challenge with error %s", name, got, code)
		}
	}
	refused("no token", h.get("/api/oidc/userinfo"), "request_unauthorized")
	refused("unknown token", h.userinfo("x"), "request_unauthorized")
	h.Advance(time.Hour)
	refused("expired token", h.userinfo(tokens["access_token"]), "invalid_token")

	revoked := h.tokens(query("romm"), "alice")
	h.op.RevokeTokens("alice")
	refused("revoked token", h.userinfo(revoked["access_token"]), "request_unauthorized")

	narrow := h.userinfo(h.tokens(query("romm", "scope", "profile"), "alice")["access_token"])
	h.status("token without the scope openid", narrow, http.StatusForbidden)
	has(t, narrow.json(t), map[string]string{"error": `"insufficient_scope"`})
}

func TestUserinfoTakesTheTokenFromHeaderQueryOrBody(t *testing.T) {
	h := newHarness(t)
	token := text(h.tokens(query("romm"), "alice")["access_token"])
	form := url.Values{"access_token": {token}}
	h.status("token in the header", h.userinfo(token), http.StatusOK)
	h.status("token in the query", h.get("/api/oidc/userinfo?"+form.Encode()), http.StatusOK)
	h.status("token in the body", h.call("/api/oidc/userinfo", "", form), http.StatusOK)
}

func TestSignedUserinfoHasNeitherIssNorAud(t *testing.T) {
	h := newHarness(t)
	answer := h.userinfo(h.tokens(query("ps"), "alice")["access_token"])
	if got := answer.Header.Get("Content-Type"); got != "application/jwt; charset=utf-8" {
		t.Errorf("Content-Type is %q, want application/jwt in UTF-8", got)
	}
	if err := verify(h, answer.body, jose.RS256); err != nil {
		t.Errorf("verifying the signed userinfo: error is %v, want nil", err)
	}
	_, claims := payload(t, answer.body)
	has(t, claims, map[string]string{"iss": "absent", "aud": "absent", "preferred_username": `"alice"`})
	if claims["jti"] == nil || claims["iat"] == nil {
		t.Errorf("claims are %v, want jti and iat", claims)
	}
}

func TestSubjectBelongsToTheLoginName(t *testing.T) {
	h := newHarness(t)
	before := h.op.Subject("alice")
	_, romm := payload(t, h.tokens(query("romm"), "alice")["id_token"])
	_, quiet := payload(t, h.tokens(query("quiet"), "alice")["id_token"])
	if romm["sub"] != before || quiet["sub"] != before || len(before) != 36 {
		t.Errorf("sub is %v at client romm and %v at client quiet, want the UUID %v", romm["sub"], quiet["sub"], before)
	}
	h.op.DeleteUser("alice")
	h.op.PutUser(authelia.User{Name: "alice", Password: "alice-pw"})
	if h.op.Subject("alice") != before {
		t.Error("the login name has another sub after its account was made again, want the same")
	}
	h.op.ResetDatabase()
	if h.op.Subject("alice") == before {
		t.Error("the login name has the same sub in a new database, want another one")
	}
}
