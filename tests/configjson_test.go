// Wrong configurations in JSON.

package tests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	rommoidc "github.com/romm-oidc/caddy-romm-oidc"
)

// JSON can hold durations that a Caddyfile cannot.
func TestConfigErrorsInJSON(t *testing.T) {
	for lines, want := range map[string]string{
		`"session": {"recheck": -1}`:         "session: recheck: -1ns is too short",
		`"session": {"unproven": -1}`:        "session: unproven: -1ns is too short",
		`"session": {"recheck": 300}`:        "session: recheck: 300ns is too short",
		`"session": {"idle": "-1h"}`:         "session: idle: -1h is too short",
		`"session": {"lifetime": 86400}`:     "session: lifetime: 86.4µs is too short",
		`"rotate": -1`:                       "rotate: -1ns is too short",
		`"allow": {}`:                        "allow: it has no entries",
		`"scopes": ["openid", "", "email"]`:  `scopes: "": it is empty`,
		`"client_secret": "{$OIDC_SECRET}"`:  "client_secret: unrecognized placeholder",
		`"client_secret": "{env.OIDC_SECRE"`: "this is the name of a secret",

		`"client_auth": "private_key_jwt", "client_secret": ""`:                                                              `romm_client_secret is missing: write "romm_client_secret {env.OIDC_CLIENT_SECRET}", or set the environment variable OIDC_CLIENT_SECRET`,
		`"client_auth": "private_key_jwt", "client_secret": "", "romm_client_secret": "s", "client_key": "/nonexistent.pem"`: "client_key: the file with the private key cannot be read",
	} {
		var m rommoidc.Middleware
		input := `{"issuer": "https://auth.example.com", "client_id": "romm", "client_secret": "s", "redirect_uri": "https://romm.example.com/api/oauth/openid", ` + lines + `}`
		if err := json.Unmarshal([]byte(input), &m); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		err := m.Provision(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", lines, err, want)
		}
	}
}
