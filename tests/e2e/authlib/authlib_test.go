// Package authlib signs in at our OpenID Provider with the client library that
// RomM uses, in the versions that RomM has shipped.
package authlib

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
)

// The versions that RomM 3.10 to 5.2 pin, from the first to the last.
var versions = []string{"1.4.1", "1.6.0", "1.6.12"}

const redirectURI = "https://romm.example.com/api/oauth/openid"

var config = op.Config{ClientID: "romm", ClientSecret: "a-secret", RedirectURI: redirectURI, IssuerPath: issuerPath, Algorithm: op.ES256}

var claims = op.Claims{
	Subject:  "f0919359-9d15-4e15-bcba-83b41620a073",
	Username: "ada",
	Email:    "ada@example.com",
	Name:     "Ada Lovelace",
	Roles:    []string{"admin"},
	AuthTime: 1_700_000_000,
}

// variables are RomM's.
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
		t.Fatalf("callback: %d %s", status, body)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, name := range []string{"iat", "exp", "at_hash"} {
		if got[name] == nil {
			t.Errorf("no %s", name)
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
		t.Errorf("claims\n%v\nwant\n%v", got, want)
	}
}

func testSignIn(t *testing.T, interpreter, algorithm string) {
	t.Helper()
	config := config
	config.Algorithm = algorithm
	g := newGateway(t, config)
	issuer := serve(t, g).URL + issuerPath
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
			want[i] = method + " " + issuerPath + path
		}
		if got := g.requests(); !slices.Equal(got, want) {
			t.Errorf("requests %v, want %v", got, want)
		}
	}

	t.Run("authorization request", func(t *testing.T) {
		login := begin(t, romm)
		query := login.location.Query()
		authorization := *login.location
		authorization.RawQuery = ""
		if got, want := authorization.String(), issuer+op.AuthorizationPath; got != want {
			t.Errorf("authorization endpoint %s, want %s", got, want)
		}
		if names := slices.Sorted(maps.Keys(query)); !slices.Equal(names,
			[]string{"client_id", "nonce", "redirect_uri", "response_type", "scope", "state"}) {
			t.Errorf("the metadata changes what the library asks for: %v", names)
		}
		for name, want := range map[string]string{
			"client_id": "romm", "redirect_uri": redirectURI, "response_type": "code", "scope": "openid profile email romm_roles",
		} {
			if got := query.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
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
	t.Run("only what must be", func(t *testing.T) {
		claims := claims
		claims.Name, claims.AuthTime, claims.Roles = "", 0, nil
		signIn(t, claims, func(want map[string]any) {
			delete(want, "name")
			delete(want, "auth_time")
			delete(want, "romm_roles")
		})
	})

	refused := func(t *testing.T, login login, code string, requested bool, reason string) {
		t.Helper()
		if status, body := login.finish(t, romm, code); status != 500 {
			t.Errorf("callback: %d %s, want 500", status, body)
		}
		g.outcome(t, code, requested, reason)
	}
	t.Run("reused code", func(t *testing.T) {
		first := begin(t, romm)
		code := g.code(t, claims, first.location.Query().Get("nonce"))
		if status, body := first.finish(t, romm, code); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		refused(t, begin(t, romm), code, true, "code_used")
	})
	t.Run("other state", func(t *testing.T) {
		login := begin(t, romm)
		nonce := login.location.Query().Get("nonce")
		login.location.RawQuery = "state=other"
		refused(t, login, g.code(t, claims, nonce), false, "")
	})
	t.Run("other nonce", func(t *testing.T) {
		refused(t, begin(t, romm), g.code(t, claims, "other"), true, "")
	})
	t.Run("expired code", func(t *testing.T) {
		login := begin(t, romm)
		code := g.code(t, claims, login.location.Query().Get("nonce"))
		g.offset.Store(int64(31 * time.Second))
		defer g.offset.Store(0)
		refused(t, login, code, true, "code_expired")
	})
	t.Run("foreign code", func(t *testing.T) {
		refused(t, begin(t, romm), "AAAA", false, "")
	})
	t.Run("other keys", func(t *testing.T) {
		g.requests()
		g.use(newMemory())
		g.code(t, claims, "n") // waits until the keys are in memory
		signIn(t, claims, nil)
		requested(t, "POST "+op.TokenPath, "GET "+op.JWKSPath) // the library asks for a kid that it does not know
	})
	t.Run("storage away", func(t *testing.T) {
		login := begin(t, romm)
		code := g.code(t, claims, login.location.Query().Get("nonce"))
		g.use(hanging{newMemory()})
		before := time.Now()
		refused(t, login, code, false, "")
		if took := time.Since(before); took > 3*time.Second {
			t.Errorf("RomM waited for %v", took)
		}
	})
}
