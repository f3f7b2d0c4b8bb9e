// Roles: which entries match which user.

package romm

import (
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	roles := Roles{Admin: []string{"boss@example.com", "Kate@Example.com", "admins"}, User: []string{"users"}}
	for name, c := range map[string]struct {
		identity flow.Identity
		want     string
	}{
		"address":                       {flow.Identity{Email: "boss@example.com"}, RoleAdmin},
		"address in another case":       {flow.Identity{Email: "KATE@example.com"}, RoleAdmin},
		"long s for s":                  {flow.Identity{Email: "bo\u017fs@example.com"}, ""},
		"Kelvin sign for k":             {flow.Identity{Email: "\u212aate@example.com"}, ""},
		"the higher role wins":          {flow.Identity{Groups: []string{"users", "admins"}}, RoleAdmin},
		"group is exact":                {flow.Identity{Groups: []string{"Admins", "users2"}}, ""},
		"group":                         {flow.Identity{Groups: []string{"users"}}, RoleUser},
		"a group named like an address": {flow.Identity{Groups: []string{"boss@example.com"}}, ""},
		"an address named like a group": {flow.Identity{Email: "admins"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := roles.Of(&c.identity); got != c.want {
				t.Errorf("Of(%+v) = %q, want %q", c.identity, got, c.want)
			}
		})
	}
}
