// The policy: which users it admits and which it refuses.

package handler

import (
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	policy := Policy{Groups: []string{"romm-users"}, Emails: []string{"Guest@Example.org"}, Domains: []string{"example.com"}}
	for name, c := range map[string]struct {
		policy   Policy
		identity flow.Identity
		want     bool
	}{
		"no policy":                     {Policy{}, flow.Identity{Email: "x@y.org"}, true},
		"group":                         {policy, flow.Identity{Email: "x@y.org", Groups: []string{"a", "romm-users"}}, true},
		"group is exact":                {policy, flow.Identity{Email: "x@y.org", Groups: []string{"ROMM-USERS", "romm-users2", "xromm-users"}}, false},
		"e-mail in another case":        {policy, flow.Identity{Email: "guest@EXAMPLE.org"}, true},
		"domain":                        {policy, flow.Identity{Email: "x@Example.com"}, true},
		"sibling domain":                {policy, flow.Identity{Email: "x@evilexample.com"}, false}, // CVE-2021-21291
		"subdomain":                     {policy, flow.Identity{Email: "x@a.example.com"}, false},
		"two at signs (CVE-2026-40574)": {policy, flow.Identity{Email: "a@evil@example.com"}, false},
		"Kelvin sign for k":             {Policy{Domains: []string{"k.com"}}, flow.Identity{Email: "x@\u212a.com"}, false},
		"no e-mail address, no groups":  {policy, flow.Identity{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.policy.Permits(&c.identity); got != c.want {
				t.Errorf("Permits(%+v) = %v, want %v", c.identity, got, c.want)
			}
		})
	}
}
