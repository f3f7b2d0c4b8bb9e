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

func TestUserinfo(t *testing.T) {
	p := newParty(t)
	tests := []struct {
		user, scope string
		want        map[string]string
	}{
		{"alice", "openid profile email groups", map[string]string{
			"email": `"alice@example.test"`, "email_verified": "true", "groups": `["romm-admins","romm-users"]`, "name": `"Alice Example"`,
			"preferred_username": `"alice"`, "rat": fmt.Sprint(p.Now().Unix()), "updated_at": fmt.Sprint(p.Now().Unix()),
			"sub": `"` + p.op.Subject("alice") + `"`, "iss": "absent", "aud": "absent",
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
			p := &party{T: t, clock: p.clock, op: p.op, browser: newBrowser(t, p.op)}
			answer := p.userinfo(p.tokens(query("quiet", "scope", test.scope), test.user)["access_token"])
			p.status("userinfo", answer, http.StatusOK)
			if got := answer.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("Content-Type is %q", got)
			}
			has(t, answer.json(t), test.want)
		})
	}
}

// A disabled or deleted user is 200: what is missing is the user.
func TestUserinfoOfDisabledUser(t *testing.T) {
	for name, end := range map[string]func(*authelia.Server){
		"disabled": func(s *authelia.Server) { s.DisableUser("alice") },
		"deleted":  func(s *authelia.Server) { s.DeleteUser("alice") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t)
			tokens := p.tokens(query("romm"), "alice")
			end(p.op)
			answer := p.userinfo(tokens["access_token"])
			p.status("userinfo", answer, http.StatusOK)
			got := answer.json(t)
			has(t, got, map[string]string{
				"sub": `"` + p.op.Subject("alice") + `"`, "iss": `"` + issuer + `"`, "aud": `["romm"]`, "azp": `"romm"`, "amr": `["pwd","kba"]`,
				"preferred_username": "absent", "email": "absent", "groups": "absent", "name": "absent",
			})
			if len(got) != 7 {
				t.Errorf("claims %v", got)
			}
			if name == "disabled" {
				p.op.EnableUser("alice")
				has(t, p.userinfo(tokens["access_token"]).json(t), map[string]string{"preferred_username": `"alice"`})
			}
		})
	}
}

func TestUserinfoRefusals(t *testing.T) {
	p := newParty(t)
	tokens := p.tokens(query("romm"), "alice")
	refused := func(name string, answer response, code string) {
		t.Helper()
		p.status(name, answer, http.StatusUnauthorized)
		if answer.body != "{}" {
			t.Errorf("%s: body %q", name, answer.body)
		}
		if got := answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer error="`+code+`",error_description="`) {
			t.Errorf("%s: WWW-Authenticate %q", name, got)
		}
	}
	refused("no token", p.get("/api/oidc/userinfo"), "request_unauthorized")
	refused("garbage", p.userinfo("x"), "request_unauthorized")
	p.Advance(time.Hour)
	refused("expired", p.userinfo(tokens["access_token"]), "invalid_token")

	revoked := p.tokens(query("romm"), "alice")
	p.op.RevokeTokens("alice")
	refused("revoked", p.userinfo(revoked["access_token"]), "request_unauthorized")

	narrow := p.userinfo(p.tokens(query("romm", "scope", "profile"), "alice")["access_token"])
	p.status("without openid", narrow, http.StatusForbidden)
	has(t, narrow.json(t), map[string]string{"error": `"insufficient_scope"`})
}

func TestUserinfoTokenPlaces(t *testing.T) {
	p := newParty(t)
	token := text(p.tokens(query("romm"), "alice")["access_token"])
	form := url.Values{"access_token": {token}}
	p.status("header", p.userinfo(token), http.StatusOK)
	p.status("query", p.get("/api/oidc/userinfo?"+form.Encode()), http.StatusOK)
	p.status("body", p.call("/api/oidc/userinfo", "", form), http.StatusOK)
}

func TestSignedUserinfo(t *testing.T) {
	p := newParty(t)
	answer := p.userinfo(p.tokens(query("ps"), "alice")["access_token"])
	if got := answer.Header.Get("Content-Type"); got != "application/jwt; charset=utf-8" {
		t.Errorf("Content-Type is %q", got)
	}
	if err := verify(p, answer.body, jose.RS256); err != nil {
		t.Error(err)
	}
	_, claims := payload(t, answer.body)
	has(t, claims, map[string]string{"iss": "absent", "aud": "absent", "preferred_username": `"alice"`})
	if claims["jti"] == nil || claims["iat"] == nil {
		t.Errorf("claims %v", claims)
	}
}

func TestSubject(t *testing.T) {
	p := newParty(t)
	before := p.op.Subject("alice")
	_, romm := payload(t, p.tokens(query("romm"), "alice")["id_token"])
	_, quiet := payload(t, p.tokens(query("quiet"), "alice")["id_token"])
	if romm["sub"] != before || quiet["sub"] != before || len(before) != 36 {
		t.Errorf("subjects %v, %v, %v", before, romm["sub"], quiet["sub"])
	}
	p.op.DeleteUser("alice")
	p.op.PutUser(authelia.User{Name: "alice", Password: "alice-pw"})
	if p.op.Subject("alice") != before {
		t.Error("the same login name got another sub")
	}
	p.op.ResetDatabase()
	if p.op.Subject("alice") == before {
		t.Error("a new database has the old sub")
	}
}
