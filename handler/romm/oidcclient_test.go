// Tests of the brokered sign-in that need no RomM.

package romm

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// Claims that do not fit into a code are the provider's to change. Waiting for
// storage would not help the user.
func TestRedeemSaysWhyThereIsNoCode(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		name  string
		fault error
		want  string
	}{
		"display name is too long": {strings.Repeat(`"`, 4096), nil, "claims_too_large"},
		"storage is unavailable":   {"Ada", keyringtest.ErrUnavailable, problem.StorageUnavailable.Code},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storage := keyringtest.New()
			storage.Fail(row.fault)
			keys := op.NewKeys(testGate, func(ctx context.Context) (*keyring.Keyring, error) {
				return keyring.Load(ctx, storage, testGate, time.Now())
			}, func() keyring.Storage { return storage }, time.Now)
			app := New(Config{Provider: op.New(keys, op.NewCodes(time.Now), op.Config{Algorithm: op.ES256})})
			claims := op.Claims{Subject: "ada-1", Username: "ada", Email: "ada@example.com", Name: row.name}
			_, err := oidcClient{app, nil}.redeem(t.Context(), claims, url.Values{"nonce": {"n"}}, "session")
			got, ok := errors.AsType[*problem.Problem](err)
			if !ok || got.Code != row.want {
				t.Errorf("redeem = %v, want the problem %s", err, row.want)
			}
		})
	}
}
