// Tests of how claims become an account and a role.

package romm

import (
	"net/url"
	"testing"
)

func TestMapping(t *testing.T) {
	t.Parallel()
	const noRole = "User has not been granted any roles for this application."
	type claimed = map[string]any
	for name, test := range map[string]struct {
		version string
		users   []User
		claims  claimed
		change  func(*Options)
		meta    []string
		status  int
		detail  string
		crash   bool
		role    string // of kim@example.com afterwards
	}{
		"no e-mail":               {claims: claimed{"email": nil}, status: 400, detail: "Email is missing from token."},
		"unverified":              {claims: claimed{"email_verified": false}, status: 400, detail: "Email is not verified."},
		"verified as text":        {claims: claimed{"email_verified": "true"}, meta: []string{"email_verified"}, status: 400, detail: "Email is not verified."},
		"verified not advertised": {claims: claimed{"email_verified": "true"}, status: 307, role: "user"},
		"verified":                {claims: claimed{"email_verified": true}, meta: []string{"email_verified"}, status: 307, role: "user"},
		"no username": {
			claims: claimed{"preferred_username": nil}, users: []User{{Username: "kim", Email: "kim@example.com"}},
			status: 400, detail: "'preferred_username' attribute is missing from token.",
		},
		"no username before 4.5": {
			version: "4.4.0", claims: claimed{"preferred_username": nil}, users: []User{{Username: "kim", Email: "kim@example.com"}},
			status: 307, role: "viewer",
		},
		"admin":             {claims: claimed{"romm_roles": []string{"admin"}}, status: 307, role: "admin"},
		"user":              {claims: claimed{"romm_roles": []string{"user"}}, status: 307, role: "user"},
		"not an element":    {claims: claimed{"romm_roles": []string{"xx-admin"}}, status: 403, detail: noRole},
		"text is searched":  {claims: claimed{"romm_roles": "xx-admin-yy"}, status: 307, role: "admin"},
		"number":            {claims: claimed{"romm_roles": 7}, crash: true},
		"empty":             {claims: claimed{"romm_roles": []string{}}, status: 403, detail: noRole},
		"empty with a star": {claims: claimed{"romm_roles": []string{}}, change: func(o *Options) { o.OIDC.RoleViewer = "*" }, status: 307, role: "user"},
		"last admin is demoted": {
			users: []User{{Username: "kim", Email: "KIM@example.com", Role: "admin"}}, claims: claimed{"romm_roles": []string{"user"}},
			status: 307, role: "user",
		},
		"absent claim keeps the role": {
			users: []User{{Username: "kim", Email: "kim@example.com", Role: "admin"}}, status: 307, role: "admin",
		},
		"absent claim before 4.8": {
			version: "4.7.0", users: []User{{Username: "kim", Email: "kim@example.com", Role: "admin"}}, status: 307, role: "viewer",
		},
		"claim before 4.3.1": {version: "3.10.0", claims: claimed{"romm_roles": []string{"admin"}}, status: 307, role: "viewer"},
		"registration closed": {
			change: func(o *Options) { o.OIDC.AllowRegistration = new(bool) }, status: 403,
			detail: "User registration is disabled. Please contact an administrator to create an account.",
		},
		"registration cannot be closed before 5.0": {
			version: "4.8.0", change: func(o *Options) { o.OIDC.AllowRegistration = new(bool) }, status: 307, role: "viewer",
		},
		"name is taken": {users: []User{{Username: "kim", Email: "other@example.com"}}, crash: true},
		"disabled": {
			users: []User{{Username: "kim", Email: "kim@example.com", Disabled: true}}, status: 401, detail: "Disabled user",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newOP(t)
			p.claims = test.claims
			if test.meta != nil {
				p.metadata["claims_supported"] = test.meta
			}
			options := p.options(test.version)
			if test.change != nil {
				test.change(&options)
			}
			s := New(options)
			for _, u := range test.users {
				s.AddUser(u)
			}
			answer := newBrowser(t, s).signIn(p)
			if test.crash {
				wantCrash(t, answer)
				return
			}
			wantStatus(t, answer, test.status)
			if test.detail != "" {
				if body := decoded(t, answer); body["detail"] != test.detail {
					t.Errorf("detail %q", body["detail"])
				}
			}
			if u, _ := s.User("kim"); test.role != "" && u.Role != test.role {
				t.Errorf("role %q, want %q", u.Role, test.role)
			}
		})
	}
}

func TestWebDevice(t *testing.T) {
	t.Parallel()
	p := newOP(t)
	s := New(p.options(""))
	b := newBrowser(t, s)
	agent := header{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0", "X-Forwarded-For": "203.0.113.7, 10.0.0.1"}
	target, _ := url.Parse(b.get("/api/login/openid", agent).Header.Get("Location"))
	p.nonce = target.Query().Get("nonce")
	b.get("/api/oauth/openid?code=1&state="+target.Query().Get("state"), agent)
	devices := s.Devices("kim")
	if len(devices) != 1 || devices[0].Name != "Chrome on Linux" || devices[0].Host != "203.0.113.7" {
		t.Errorf("devices %+v", devices)
	}
}
