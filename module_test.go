// The life cycle of the module without a running Caddy.

package rommoidc

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// Caddy's admin API shows the exported fields, so a secret that replaced its
// placeholder there would be readable. A configuration that is refused holds no
// gate, and Cleanup of it is safe.
func TestProvisionKeepsSecretsOutOfTheConfiguration(t *testing.T) {
	t.Setenv("ROMM_OIDC_TEST_SECRET", "hunter2")
	var m Middleware
	input := `{"issuer":"https://auth.example.com","client_id":"romm","client_secret":"{env.ROMM_OIDC_TEST_SECRET}","redirect_uri":"https://romm.example.com/api/oauth/openid","scopes":["profile"]}`
	if err := json.Unmarshal([]byte(input), &m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	if err := m.Provision(ctx); err == nil || !strings.Contains(err.Error(), "scopes: openid is missing") {
		t.Errorf("got error %v, want that openid is missing", err)
	}
	if m.resolved == nil || m.resolved.ClientSecret != "hunter2" {
		t.Error("the placeholder of the secret was not replaced")
	}
	if encoded, err := json.Marshal(m); err != nil || string(encoded) != input {
		t.Errorf("the configuration is %s, error %v, want it as written: %s", encoded, err, input)
	}
	if m.gate != nil {
		t.Error("a refused configuration holds a gate")
	}
	if err := m.Cleanup(); err != nil {
		t.Errorf("Cleanup of a refused configuration: %v", err)
	}
}

func TestValidateBeforeProvision(t *testing.T) {
	if err := new(Middleware).Validate(); err == nil {
		t.Error("a Middleware without settings is valid, want an error")
	}
	if err := new(Middleware).Cleanup(); err != nil {
		t.Errorf("Cleanup before Provision: %v", err)
	}
}

// The settings have a duration type of their own, since they do not import
// Caddy. It reads what caddy.Duration reads.
func TestDurationsAreCaddys(t *testing.T) {
	for _, text := range []string{`"14d"`, `"1.5d"`, `"1d12h"`, `"-1d"`, `"90s"`, `"d"`, `"1dd"`, `""`, `"two weeks"`, `5`, `1.5`, `null`, `true`} {
		var (
			ours   settings.Duration
			caddys caddy.Duration
		)
		err, want := json.Unmarshal([]byte(text), &ours), json.Unmarshal([]byte(text), &caddys)
		if (err == nil) != (want == nil) || time.Duration(ours) != time.Duration(caddys) {
			t.Errorf("%s: got %v, error %v, want %v, error %v", text, time.Duration(ours), err, time.Duration(caddys), want)
		}
	}
}
