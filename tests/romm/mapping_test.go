// Tests of how claims become an account and a role.

package romm

import (
	"net/url"
	"testing"
)

func TestClaimsBecomeAccountAndRole(t *testing.T) {
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
		"email missing":          {claims: claimed{"email": nil}, status: 400, detail: "Email is missing from token."},
		"email_verified false":   {claims: claimed{"email_verified": false}, status: 400, detail: "Email is not verified."},
		"email_verified as text": {claims: claimed{"email_verified": "true"}, meta: []string{"email_verified"}, status: 400, detail: "Email is not verified."},
		"email_verified as text but not in claims_supported": {claims: claimed{"email_verified": "true"}, status: 307, role: "user"},
		"email_verified true":                                {claims: claimed{"email_verified": true}, meta: []string{"email_verified"}, status: 307, role: "user"},
		"preferred_username missing": {
			claims: claimed{"preferred_username": nil}, users: []User{{Username: "kim", Email: "kim@example.com"}},
			status: 400, detail: "'preferred_username' attribute is missing from token.",
		},
		"preferred_username missing before 4.5": {
			version: "4.4.0", claims: claimed{"preferred_username": nil}, users: []User{{Username: "kim", Email: "kim@example.com"}},
			status: 307, role: "viewer",
		},
		"roles with admin":                       {claims: claimed{"romm_roles": []string{"admin"}}, status: 307, role: "admin"},
		"roles with user":                        {claims: claimed{"romm_roles": []string{"user"}}, status: 307, role: "user"},
		"roles with a value that contains admin": {claims: claimed{"romm_roles": []string{"xx-admin"}}, status: 403, detail: noRole},
		"roles as text that contains admin":      {claims: claimed{"romm_roles": "xx-admin-yy"}, status: 307, role: "admin"},
		"roles as a number":                      {claims: claimed{"romm_roles": 7}, crash: true},
		"roles empty":                            {claims: claimed{"romm_roles": []string{}}, status: 403, detail: noRole},
		"roles empty with OIDC_ROLE_VIEWER=*":    {claims: claimed{"romm_roles": []string{}}, change: func(o *Options) { o.OIDC.RoleViewer = "*" }, status: 307, role: "user"},
		"roles with user demote the last administrator": {
			users: []User{{Username: "kim", Email: "KIM@example.com", Role: "admin"}}, claims: claimed{"romm_roles": []string{"user"}},
			status: 307, role: "user",
		},
		"roles missing keep the role": {
			users: []User{{Username: "kim", Email: "kim@example.com", Role: "admin"}}, status: 307, role: "admin",
		},
		"roles missing before 4.8 demote an administrator": {
			version: "4.7.0", users: []User{{Username: "kim", Email: "kim@example.com", Role: "admin"}}, status: 307, role: "viewer",
		},
		"roles ignored before 4.3.1": {version: "3.10.0", claims: claimed{"romm_roles": []string{"admin"}}, status: 307, role: "viewer"},
		"registration closed": {
			change: func(o *Options) { o.OIDC.AllowRegistration = new(bool) }, status: 403,
			detail: "User registration is disabled. Please contact an administrator to create an account.",
		},
		"registration cannot be closed before 5.0": {
			version: "4.8.0", change: func(o *Options) { o.OIDC.AllowRegistration = new(bool) }, status: 307, role: "viewer",
		},
		"username taken by another account": {users: []User{{Username: "kim", Email: "other@example.com"}}, crash: true},
		"username taken after 5.2": {
			version: "5.3.0", users: []User{{Username: "kim", Email: "other@example.com"}}, status: 409,
			detail: "Username 'Kim' is already taken. Please contact an administrator.",
		},
		"account disabled": {
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
					t.Errorf("detail is %q, want %q", body["detail"], test.detail)
				}
			}
			if u, _ := s.User("kim"); test.role != "" && u.Role != test.role {
				t.Errorf("role is %q, want %q", u.Role, test.role)
			}
		})
	}
}

func TestSignInCreatesAWebDevice(t *testing.T) {
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
		t.Errorf("devices are %+v, want Chrome on Linux at 203.0.113.7", devices)
	}
}
