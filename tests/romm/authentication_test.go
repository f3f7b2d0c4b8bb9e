// Tests of authentication, by credential and by release.

package romm

import (
	"net/http"
	"regexp"
	"testing"
	"time"
)

func bearer(token string) header { return header{"Authorization": "Bearer " + token} }

func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	s := New(Options{Now: func() time.Time { return start }})
	s.AddUser(User{Username: "ada", Password: "secret", Role: "admin"})
	s.AddUser(User{Username: "oidc"})
	s.AddUser(User{Username: "gone", Password: "secret", Disabled: true})
	claim := func(name string, value any) header {
		c := map[string]any{"iss": tokenIssuer, "sub": "ada", "type": "access", "scopes": "me.read", "exp": start.Add(time.Minute).Unix()}
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
		return bearer(s.sign(c))
	}
	for name, test := range map[string]struct {
		header    header
		heartbeat int
		me        int
	}{
		"no Authorization":                {header{}, 200, 401},
		"scheme only":                     {header{"Authorization": "Bearer"}, 200, 401},
		"bearer of two words":             {header{"Authorization": "Bearer a b"}, 200, 401},
		"unknown scheme":                  {header{"Authorization": "Digest abc"}, 200, 401},
		"Basic":                           {basic("ADA", "secret"), 200, 200},
		"Basic with a wrong password":     {basic("ada", "x"), 200, 401},
		"Basic of a disabled user":        {basic("gone", "secret"), 200, 401},
		"Basic for an OIDC user":          {basic("oidc", "x"), 500, 500},
		"bearer that is no token":         {bearer("x"), 500, 500},
		"unknown client token":            {bearer("rmm_00"), 200, 401},
		"client token":                    {bearer(s.NewClientToken("ada", "me.read")), 200, 200},
		"client token without the scope":  {bearer(s.NewClientToken("ada", "roms.read")), 200, 403},
		"client token of a disabled user": {bearer(s.NewClientToken("gone", "me.read")), 200, 401},
		"client token prefix in capitals": {bearer("RMM_00"), 500, 500},
		"JWT":                             {claim("iss", tokenIssuer), 200, 200},
		"JWT of another issuer":           {claim("iss", "x"), 200, 401},
		"JWT of type refresh":             {claim("type", "refresh"), 200, 401},
		"JWT expired":                     {claim("exp", start.Add(-time.Second).Unix()), 500, 500},
		"JWT with exp as text":            {claim("exp", "soon"), 500, 500},
		"JWT without exp":                 {claim("exp", nil), 500, 500},
		"JWT without sub":                 {claim("sub", nil), 500, 500},
		"JWT of an unknown user":          {claim("sub", "eva"), 500, 500},
		"JWT of a disabled user":          {claim("sub", "gone"), 500, 500},
		"JWT without scopes":              {claim("scopes", nil), 200, 403},
		"JWT with scopes as a list":       {claim("scopes", []string{"me.read"}), 500, 500},
		"JWT signed with another key":     {bearer(New(Options{}).sign(map[string]any{"sub": "ada"})), 500, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBrowser(t, s)
			wantStatus(t, b.get("/api/heartbeat", test.header), test.heartbeat)
			wantStatus(t, b.get("/api/users/me", test.header), test.me)
		})
	}
}

func TestSessionWinsOverAuthorization(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	s.AddUser(User{Username: "bob", Password: "secret"})
	for _, h := range []header{bearer("junk"), basic("bob", "secret"), bearer(s.NewClientToken("bob", "me.read"))} {
		if me := decoded(t, b.get("/api/users/me", h)); me["username"] != "ada" {
			t.Errorf("with %v: user is %v, want ada, the session's", h, me["username"])
		}
	}
}

func TestAuthenticationByVersion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, version string
		header        func(*Server) header
		want          int
	}{
		{"anonymous", "5.2.0", func(*Server) header { return nil }, 401},
		{"anonymous", "5.1.1-beta.1", func(*Server) header { return nil }, 401},
		{"anonymous", "5.1.0", func(*Server) header { return nil }, 403},
		{"anonymous", "3.10.0", func(*Server) header { return nil }, 403},
		{"scheme only", "4.8.0", func(*Server) header { return header{"Authorization": "x"} }, 500},
		{"client token", "4.8.0", func(s *Server) header { return bearer(s.NewClientToken("ada", "me.read")) }, 200},
		{"client token", "4.4.0", func(s *Server) header { return bearer(s.NewClientToken("ada", "me.read")) }, 500},
		{"expired JWT", "4.4.0", func(s *Server) header {
			return bearer(s.sign(map[string]any{"iss": tokenIssuer, "sub": "ada", "type": "access", "scopes": "me.read", "exp": 1}))
		}, 200},
	} {
		t.Run(test.name+" "+test.version, func(t *testing.T) {
			t.Parallel()
			s := New(Options{Version: test.version})
			s.AddUser(User{Username: "ada", Role: "admin"})
			answer := newBrowser(t, s).get("/api/users/me", test.header(s))
			wantStatus(t, answer, test.want)
			if got := answer.Header.Get("WWW-Authenticate"); test.want == http.StatusUnauthorized && got != "Bearer" {
				t.Errorf("WWW-Authenticate is %q, want Bearer", got)
			}
		})
	}
}

func TestKioskModeLetsAnonymousRequestsRead(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{Kiosk: true})
	s.DropSessions()
	answer := b.get("/api/users/me")
	wantNull(t, answer)
	if me := decoded(t, answer); me["username"] != "kiosk" || me["id"] != -1.0 {
		t.Errorf("user is %v, want kiosk with ID -1", me)
	}
	b.get("/api/heartbeat")
	wantStatus(t, b.post("/api/saves", "x"), http.StatusForbidden)
	wantStatus(t, newBrowser(t, s).get("/api/roms", basic("ada", "wrong")), http.StatusUnauthorized)
}

func TestClientTokenShape(t *testing.T) {
	t.Parallel()
	s, _ := signedIn(t, Options{})
	if token := s.NewClientToken("ada", "me.read"); !regexp.MustCompile(`^rmm_[0-9a-f]{64}$`).MatchString(token) {
		t.Errorf("client token is %q, want rmm_ and 64 hexadecimal digits", token)
	}
}
