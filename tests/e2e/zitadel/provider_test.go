// The example provider of github.com/zitadel/oidc, with our client.

package zitadel

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The account and the client that the provider knows.
const (
	username = "test-user@localhost"
	password = "verysecure"
	email    = "test-user@zitadel.ch"
	secret   = "insecuresecret"
)

// startProvider starts the library's own example provider on this machine,
// with one client for the public origin, and returns its issuer.
func startProvider(t *testing.T, site string, auth oidc.AuthMethod) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://localhost:" + server.Listener.Addr().String()[strings.LastIndexByte(server.Listener.Addr().String(), ':')+1:]
	known := storage.NewStorageWithClients(storage.NewUserStore(issuer), map[string]*storage.Client{
		"romm": storage.WebClient("romm", secret, site+base),
	})
	server.Config.Handler = exampleop.SetupServer(issuer, clients{known, auth, site + base}, slog.New(slog.DiscardHandler), true, op.WithAllowInsecure())
	server.Start()
	t.Cleanup(server.Close)
	return issuer
}

// clients is the example's storage. Its client may use another authentication
// method, and has a post-logout redirect URI.
type clients struct {
	*storage.Storage
	auth     oidc.AuthMethod
	callback string
}

// GetKeyByIDAndClientID reads the key of an assertion at the gate, as a provider with a jwks_uri does.
func (c clients) GetKeyByIDAndClientID(ctx context.Context, keyID, _ string) (*jose.JSONWebKey, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.callback+"/client-jwks", nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the keys: %w", err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking for the keys: %w", err)
	}
	defer answer.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return nil, fmt.Errorf("reading the keys: %w", err)
	}
	keys := set.Key(keyID)
	if len(keys) != 1 {
		return nil, fmt.Errorf("%d keys have the kid %s", len(keys), keyID)
	}
	return &keys[0], nil
}

func (c clients) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	known, err := c.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("looking for the client: %w", err)
	}
	return client{known, c}, nil
}

type client struct {
	op.Client
	clients clients
}

func (c client) AuthMethod() oidc.AuthMethod { return c.clients.auth }
func (c client) PostLogoutRedirectURIs() []string {
	return []string{c.clients.callback + "/signed-out"}
}
