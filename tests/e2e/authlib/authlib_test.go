// Package authlib signs in at our OpenID Provider with the client library that
// RomM uses, in the versions that RomM has shipped.
package authlib

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
)

// The first, a middle and the last version that RomM 3.9 to 5.2 pin.
var versions = []string{"1.4.1", "1.6.0", "1.6.12"}

const redirectURI = "https://romm.example.com/api/oauth/openid"

var config = op.Config{ClientID: "romm", ClientSecret: "a-secret", RedirectURI: redirectURI}

var claims = op.Claims{
	Subject:  "f0919359-9d15-4e15-bcba-83b41620a073",
	Username: "ada",
	Email:    "ada@example.com",
	Name:     "Ada Lovelace",
	Roles:    []string{"admin"},
	AuthTime: 1_700_000_000,
}

// variables returns RomM's environment variables for an issuer.
func variables(issuer string) map[string]string {
	return map[string]string{
		"OIDC_SERVER_APPLICATION_URL": issuer,
		"OIDC_CLIENT_ID":              config.ClientID,
		"OIDC_CLIENT_SECRET":          config.ClientSecret,
		"OIDC_REDIRECT_URI":           redirectURI,
	}
}

func TestAuthlib(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			interpreter := python(t, version)
			for _, algorithm := range []string{op.ES256, op.RS256} {
				t.Run(algorithm, func(t *testing.T) {
					t.Parallel()
					testSignIn(t, interpreter, algorithm)
				})
			}
			t.Run("misconfigured", func(t *testing.T) {
				t.Parallel()
				testMisconfigured(t, interpreter)
			})
			t.Run("addresses", func(t *testing.T) {
				t.Parallel()
				testAddresses(t, interpreter)
			})
			t.Run("secrets", func(t *testing.T) {
				t.Parallel()
				testSecrets(t, interpreter)
			})
		})
	}
}

// accepted checks the claims that the library accepted.
func accepted(t *testing.T, status int, body, issuer, nonce string, change func(map[string]any)) {
	t.Helper()
	if status != 200 {
		t.Fatalf("the callback answered %d, want 200: %s", status, body)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("the callback's answer is not JSON: %v in %s", err, body)
	}
	for _, name := range []string{"iat", "exp", "at_hash"} {
		if got[name] == nil {
			t.Errorf("the library accepted a token without %s", name)
		}
		delete(got, name)
	}
	want := map[string]any{
		"iss": issuer, "sub": claims.Subject, "aud": "romm", "azp": "romm", "nonce": nonce,
		"auth_time": 1_700_000_000.0, "email": claims.Email, "email_verified": true,
		"preferred_username": "ada", "name": "Ada Lovelace", "romm_roles": []any{"admin"},
	}
	if change != nil {
		change(want)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the library accepted the claims\n%v\nwant\n%v", got, want)
	}
}

func testSignIn(t *testing.T, interpreter, algorithm string) {
	t.Helper()
	config := config
	config.Algorithm = algorithm
	g := newGateway(t, config)
	issuer := serve(t, g).URL + op.IssuerPath
	romm := start(t, interpreter, variables(issuer))

	signIn := func(t *testing.T, claims op.Claims, change func(map[string]any)) {
		t.Helper()
		login := begin(t, romm)
		nonce := login.location.Query().Get("nonce")
		status, body := login.finish(t, romm, g.code(t, claims, nonce))
		accepted(t, status, body, issuer, nonce, change)
	}
	requested := func(t *testing.T, want ...string) {
		t.Helper()
		for i := range want {
			method, path, _ := strings.Cut(want[i], " ")
			want[i] = method + " " + op.IssuerPath + path
		}
		if got := g.requests(); !slices.Equal(got, want) {
			t.Errorf("the provider got the requests %v, want %v", got, want)
		}
	}

	t.Run("authorization request", func(t *testing.T) {
		login := begin(t, romm)
		query := login.location.Query()
		authorization := *login.location
		authorization.RawQuery = ""
		if got, want := authorization.String(), issuer+op.AuthorizationPath; got != want {
			t.Errorf("the authorization endpoint is %s, want %s", got, want)
		}
		if names := slices.Sorted(maps.Keys(query)); !slices.Equal(names,
			[]string{"client_id", "nonce", "redirect_uri", "response_type", "scope", "state"}) {
			t.Errorf("the authorization request has the parameters %v, want only those of RomM's own metadata", names)
		}
		for name, want := range map[string]string{
			"client_id": "romm", "redirect_uri": redirectURI, "response_type": "code", "scope": "openid profile email romm_roles",
		} {
			if got := query.Get(name); got != want {
				t.Errorf("the authorization request's %s is %q, want %q", name, got, want)
			}
		}
		requested(t, "GET "+op.MetadataPath)
	})
	t.Run("first sign-in", func(t *testing.T) {
		signIn(t, claims, nil)
		requested(t, "POST "+op.TokenPath, "GET "+op.JWKSPath)
	})
	t.Run("second sign-in", func(t *testing.T) {
		signIn(t, claims, nil)
		requested(t, "POST "+op.TokenPath)
	})
	t.Run("no roles", func(t *testing.T) {
		claims := claims
		claims.Roles = nil
		signIn(t, claims, func(want map[string]any) { delete(want, "romm_roles") })
	})
	t.Run("empty roles", func(t *testing.T) {
		claims := claims
		claims.Roles = []string{}
		signIn(t, claims, func(want map[string]any) { want["romm_roles"] = []any{} })
	})
	t.Run("required claims only", func(t *testing.T) {
		claims := claims
		claims.Name, claims.AuthTime, claims.Roles = "", 0, nil
		signIn(t, claims, func(want map[string]any) {
			delete(want, "name")
			delete(want, "auth_time")
			delete(want, "romm_roles")
		})
	})

	refused := func(t *testing.T, login login, code string, want op.Outcome) {
		t.Helper()
		if status, body := login.finish(t, romm, code); status != 500 {
			t.Errorf("the callback answered %d, want 500: %s", status, body)
		}
		if got := g.state.Outcome(code); got != want {
			t.Errorf("the outcome is %+v, want %+v", got, want)
		}
	}
	t.Run("reused code", func(t *testing.T) {
		first := begin(t, romm)
		code := g.code(t, claims, first.location.Query().Get("nonce"))
		if status, body := first.finish(t, romm, code); status != 200 {
			t.Fatalf("the first callback answered %d, want 200: %s", status, body)
		}
		refused(t, begin(t, romm), code, op.Outcome{Requested: true, Redeemed: true, Refusal: op.RefusalUsed})
	})
	t.Run("other state", func(t *testing.T) {
		login := begin(t, romm)
		nonce := login.location.Query().Get("nonce")
		login.location.RawQuery = "state=other"
		refused(t, login, g.code(t, claims, nonce), op.Outcome{})
	})
	t.Run("other nonce", func(t *testing.T) {
		refused(t, begin(t, romm), g.code(t, claims, "other"), op.Outcome{Requested: true, Redeemed: true})
	})
	t.Run("expired code", func(t *testing.T) {
		login := begin(t, romm)
		code := g.code(t, claims, login.location.Query().Get("nonce"))
		g.offset.Store(int64(31 * time.Second))
		defer g.offset.Store(0)
		refused(t, login, code, op.Outcome{Requested: true, Refusal: op.RefusalExpired})
	})
	t.Run("unknown code", func(t *testing.T) {
		refused(t, begin(t, romm), "AAAA", op.Outcome{})
	})
	t.Run("new keys", func(t *testing.T) {
		g.requests()
		g.use(newMemory())
		if err := g.provider.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		signIn(t, claims, nil)
		requested(t, "POST "+op.TokenPath, "GET "+op.JWKSPath) // the library asks for a kid that it does not know
	})
	t.Run("storage down", func(t *testing.T) {
		login := begin(t, romm)
		code := g.code(t, claims, login.location.Query().Get("nonce"))
		g.use(hanging{newMemory()})
		before := time.Now()
		refused(t, login, code, op.Outcome{})
		if took := time.Since(before); took > 3*time.Second {
			t.Errorf("RomM waited for %v, want at most 3 s", took)
		}
	})
}

// The operator made a mistake in RomM's environment. RomM answers 500 each
// time; the outcome has the reason.
func testMisconfigured(t *testing.T, interpreter string) {
	t.Helper()
	for name, row := range map[string]struct{ variable, value, refusal string }{
		"other secret":       {"OIDC_CLIENT_SECRET", "another-secret", op.RefusalSecret},
		"no secret":          {"OIDC_CLIENT_SECRET", "", op.RefusalSecret},
		"other client ID":    {"OIDC_CLIENT_ID", "another", op.RefusalClient},
		"other redirect URI": {"OIDC_REDIRECT_URI", redirectURI + "/", op.RefusalRedirectURI},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, config)
			variables := variables(serve(t, g).URL + op.IssuerPath)
			variables[row.variable] = row.value
			romm := start(t, interpreter, variables)
			login := begin(t, romm)
			code := g.code(t, claims, login.location.Query().Get("nonce"))
			if status, body := login.finish(t, romm, code); status != 500 {
				t.Errorf("the callback answered %d, want 500: %s", status, body)
			}
			if got, want := g.state.Outcome(code), (op.Outcome{Requested: true, Refusal: row.refusal}); got != want {
				t.Errorf("the outcome is %+v, want %+v", got, want)
			}
		})
	}
}

// The issuer is the address that RomM dialled.
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
			issuer := listen(t, g, variables) + op.IssuerPath
			variables["OIDC_SERVER_APPLICATION_URL"] = issuer
			romm := start(t, interpreter, variables)
			login := begin(t, romm)
			nonce := login.location.Query().Get("nonce")
			status, body := login.finish(t, romm, g.code(t, claims, nonce))
			accepted(t, status, body, issuer, nonce, nil)
		})
	}
}

// The library sends the secret unencoded, in Latin-1, contrary to RFC 6749.
func testSecrets(t *testing.T, interpreter string) {
	t.Helper()
	for name, secret := range map[string]string{
		"punctuation": "a+b%20c&d=e:f/g?",
		"umlauts":     "grün",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := config
			config.ClientSecret = secret
			g := newGateway(t, config)
			issuer := serve(t, g).URL + op.IssuerPath
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
