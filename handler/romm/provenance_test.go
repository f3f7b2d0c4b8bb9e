// What proves that no other person can sign in to a RomM account.

package romm

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// A RomM that fails proves nothing about an account: it may have a password, and
// tokens.
func TestFailingRomMProvesNoProvenance(t *testing.T) {
	t.Parallel()
	user := &account{ID: 7, Username: "ada", Created: "2026-01-02T15:04:05"}
	for name, c := range map[string]struct {
		statuses          []int // of the answers to a password: for Ada, for an unknown name, for Ada
		tokens            string
		password, foreign bool
	}{
		"no password, no tokens":      {[]int{500, 401, 500}, `[]`, false, false},
		"the same before 5.2":         {[]int{500, 403, 500}, `[]`, false, false},
		"every password fails":        {[]int{500, 500, 500}, `[]`, true, false},
		"the first one failed":        {[]int{500, 401, 401}, `[]`, true, false},
		"RomM restarts":               {[]int{500, 502, 500}, `[]`, true, false},
		"no answer":                   {[]int{500, 0, 500}, `[]`, true, false},
		"a password":                  {[]int{401, 401, 401}, `[]`, true, false},
		"a token of the first minute": {[]int{500, 401, 500}, `[{"created_at":"2026-01-02T15:04:06Z"}]`, false, true},
		"a later token":               {[]int{500, 401, 500}, `[{"created_at":"2026-01-02T16:04:06Z"}]`, false, false},
		"a token of an unknown age":   {[]int{500, 401, 500}, `[{"id":1}]`, false, true},
		"a list that cannot be read":  {[]int{500, 401, 500}, `<html>`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var names []string
			e := &entry{oidcClient: oidcClient{App: appOf(t, "5.2.0"), call: func(_ context.Context, call application.Call) (*application.Answer, error) {
				if call.Target == "/api/client-tokens" {
					return &application.Answer{Status: http.StatusOK, Body: []byte(c.tokens)}, nil
				}
				encoded, _ := strings.CutPrefix(call.Header.Get("Authorization"), "Basic ")
				pair, err := base64.StdEncoding.DecodeString(encoded)
				if err != nil {
					t.Error(err)
				}
				username, _, _ := strings.Cut(string(pair), ":")
				names = append(names, username)
				status := c.statuses[len(names)-1]
				if status == 0 {
					return nil, errors.New("no answer")
				}
				return &application.Answer{Status: status}, nil
			}}}
			if got := e.hasPassword(t.Context(), user); got != c.password {
				t.Errorf("a password: %v, want %v", got, c.password)
			}
			if len(names) > 1 && (names[0] != "ada" || names[1] == "ada") {
				t.Errorf("passwords were tried for %q, want ada, a name without an account, ada", names)
			}
			if got := e.hasTokens(t.Context(), signedIn{user: user}, false); got != c.foreign {
				t.Errorf("tokens: %v, want %v", got, c.foreign)
			}
		})
	}
}

// A new account that RomM does not let the gate seal counts as one with a password,
// and no account is sealed that this sign-in did not create.
func TestSeal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	ada := func() *account {
		user := &account{ID: 7, Username: "ada", Created: "2026-01-02T15:04:05Z"}
		user.LastLogin.value = "2026-01-02T15:04:05Z"
		return user
	}
	for name, c := range map[string]struct {
		release  string
		change   func(e *entry, user *account)
		password int // RomM's answer to a password for Ada; 0: 401
		sealing  int // and to another password
		asked    bool
	}{
		"RomM forbids it":         {release: "5.3.0", sealing: 403, asked: true},
		"RomM fails":              {release: "5.3.0", sealing: 500, asked: true},
		"a patch of 5.2":          {release: "5.2.1", sealing: 403, asked: true},
		"a release that tells":    {release: "5.2.0"},
		"a release that answers":  {release: "5.3.0", password: 500},
		"an old account":          {release: "5.3.0", change: func(_ *entry, user *account) { user.Created = "2026-01-02T14:04:05Z" }},
		"another name":            {release: "5.3.0", change: func(_ *entry, user *account) { user.Username = "ada2" }},
		"RomM's own roles":        {release: "5.3.0", change: func(e *entry, _ *account) { e.role = "" }},
		"the account of the link": {release: "5.3.0", change: func(e *entry, user *account) { link := linkTo(user, "i", "s"); e.link = &link }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := false
			e := &entry{identity: &flow.Identity{Issuer: "i", Subject: "s"}, role: RoleUser, claims: op.Claims{Username: "ada"}, began: now}
			e.oidcClient = oidcClient{App: appOf(t, c.release), call: func(_ context.Context, call application.Call) (*application.Answer, error) {
				status := http.StatusUnauthorized
				encoded, _ := strings.CutPrefix(call.Header.Get("Authorization"), "Basic ")
				pair, _ := base64.StdEncoding.DecodeString(encoded)
				switch {
				case call.Method == http.MethodPut:
					asked = true
					status = c.sealing
					if call.Target != "/api/users/7" || len(call.Form.Get("password")) < 20 {
						t.Errorf("RomM was asked for %s with %v, want another password for Ada", call.Target, call.Form)
					}
				case call.Target == "/api/heartbeat":
					status = http.StatusOK
				case strings.HasPrefix(string(pair), "ada:") && c.password != 0:
					status = c.password
				}
				return &application.Answer{Status: status, Header: http.Header{}}, nil
			}}
			e.config.Now = func() time.Time { return now }
			user := ada()
			if c.change != nil {
				c.change(e, user)
			}
			at, err := e.seal(t.Context(), signedIn{"session", user})
			if err != nil || at.session != "session" || asked != c.asked || e.sealed {
				t.Errorf("got session %q, sealed %v, error %v; RomM was asked for another password: %v, want the first session, not sealed, and %v", at.session, e.sealed, err, asked, c.asked)
			}
		})
	}
}

// A change with an access token passes RomM's CSRF check. RomM up to 5.2.0 skips it for
// credentials. What comes next checks the token, be it a patch or another release.
func TestUnforgeable(t *testing.T) {
	t.Parallel()
	for release, byToken := range map[string]bool{"4.8.0": false, "5.2.0": false, "5.2.1": true, "5.3.0": true, "development": true} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/api/saves", nil)
			r.Header.Set("Cookie", sessionCookie+"=s")
			call := func(context.Context, application.Call) (*application.Answer, error) {
				return &application.Answer{Status: http.StatusOK, Header: http.Header{"Set-Cookie": {csrfCookie + "=t; Path=/"}}}, nil
			}
			if err := appOf(t, release).Unforgeable(t.Context(), call, r); err != nil {
				t.Fatal(err)
			}
			want := http.Header{"Cookie": {sessionCookie + "=s"}, "Authorization": {noCredentials}}
			if byToken {
				want = http.Header{"Cookie": {sessionCookie + "=s; " + csrfCookie + "=t"}, "X-Csrftoken": {"t"}}
			}
			if !reflect.DeepEqual(r.Header, want) {
				t.Errorf("the request has %v, want %v", r.Header, want)
			}
		})
	}
}
