// The library with other addresses and secrets, and with an operator's mistakes.

package authlib

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What an operator may have got wrong in RomM's environment: RomM says 500
// each time, the outcome says why.
func testMisconfigured(t *testing.T, interpreter string) {
	t.Helper()
	for name, row := range map[string]struct{ variable, value, refusal string }{
		"other secret":       {"OIDC_CLIENT_SECRET", "another-secret", "wrong_client_secret"},
		"no secret":          {"OIDC_CLIENT_SECRET", "", "wrong_client_secret"},
		"other client ID":    {"OIDC_CLIENT_ID", "another", "wrong_client_id"},
		"other redirect URI": {"OIDC_REDIRECT_URI", redirectURI + "/", "wrong_redirect_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, config)
			variables := variables(serve(t, g).URL + issuerPath)
			variables[row.variable] = row.value
			romm := start(t, interpreter, variables)
			login := begin(t, romm)
			code := g.code(t, claims, login.location.Query().Get("nonce"))
			if status, body := login.finish(t, romm, code); status != 500 {
				t.Errorf("callback: %d %s, want 500", status, body)
			}
			g.outcome(t, code, true, row.refusal)
		})
	}
}

// The issuer is what RomM dialled, whatever that is.
func testAddresses(t *testing.T, interpreter string) {
	t.Helper()
	for name, listen := range map[string]func(*testing.T, *gateway, map[string]string) string{
		"another name": func(t *testing.T, g *gateway, _ map[string]string) string {
			t.Helper()
			return strings.Replace(serve(t, g).URL, "127.0.0.1", "localhost", 1)
		},
		"TLS": func(t *testing.T, g *gateway, variables map[string]string) string {
			t.Helper()
			server := httptest.NewTLSServer(g)
			t.Cleanup(server.Close)
			file := filepath.Join(t.TempDir(), "ca.pem")
			certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			if err := os.WriteFile(file, certificate, 0o600); err != nil {
				t.Fatal(err)
			}
			variables["OIDC_TLS_CACERTFILE"] = file
			return server.URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, config)
			variables := variables("")
			issuer := listen(t, g, variables) + issuerPath
			variables["OIDC_SERVER_APPLICATION_URL"] = issuer
			romm := start(t, interpreter, variables)
			login := begin(t, romm)
			nonce := login.location.Query().Get("nonce")
			status, body := login.finish(t, romm, g.code(t, claims, nonce))
			accepted(t, status, body, issuer, nonce, nil)
		})
	}
}

// The library sends the secret as it is, in Latin-1, whatever RFC 6749 says.
func testSecrets(t *testing.T, interpreter string) {
	t.Helper()
	for name, secret := range map[string]string{
		"signs":   "a+b%20c&d=e:f/g?",
		"umlauts": "grün",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := config
			config.ClientSecret = secret
			g := newGateway(t, config)
			issuer := serve(t, g).URL + issuerPath
			variables := variables(issuer)
			variables["OIDC_CLIENT_SECRET"] = secret
			romm := start(t, interpreter, variables)
			login := begin(t, romm)
			nonce := login.location.Query().Get("nonce")
			status, body := login.finish(t, romm, g.code(t, claims, nonce))
			accepted(t, status, body, issuer, nonce, nil)
		})
	}
}
