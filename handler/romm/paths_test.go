// Intent and access by path.

package romm

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	token := "Bearer rmm_" + strings.Repeat("0a", 32)
	app := New(Config{Release: NewReleaseCache()})
	for name, c := range map[string]struct {
		method, path, authorization string
		unusual                     bool
		preflight                   bool
		want                        application.Access
	}{
		"heartbeat":                      {"GET", "/api/heartbeat", "", false, false, application.Open},
		"heartbeat, spelled unusually":   {"GET", "/api/heartbeat", "", true, false, application.Protected},
		"heartbeat is read only":         {"POST", "/api/heartbeat", "", false, false, application.Protected},
		"heartbeat of a metadata source": {"GET", "/api/heartbeat/metadata/igdb", "", false, false, application.Protected},
		"pairing":                        {"POST", "/api/client-tokens/exchange", "", false, false, application.Open},
		"pairing status":                 {"GET", "/api/client-tokens/pair/ABC/status", "", false, false, application.Open},
		"pairing status without a code":  {"GET", "/api/client-tokens/pair//status", "", false, false, application.Protected},
		"pairing status, deeper":         {"GET", "/api/client-tokens/pair/a/b/status", "", false, false, application.Protected},
		"device init":                    {"POST", "/api/auth/device/init", "", false, false, application.Open},
		"device token":                   {"POST", "/api/auth/device/token", "", false, false, application.Open},
		"preflight":                      {"OPTIONS", "/api/roms", "", false, true, application.Open},
		"OPTIONS without a preflight":    {"OPTIONS", "/api/roms", "", false, false, application.Protected},
		"login route":                    {"GET", "/login", "", false, false, application.Protected},
		"start of RomM's sign-in":        {"GET", "/api/login/openid", "", true, false, application.Protected},
		"manifest":                       {"GET", "/site.webmanifest", "", false, false, application.Open},
		"icon":                           {"HEAD", "/favicon.ico", "", false, false, application.Open},
		"icon, spelled unusually":        {"GET", "/favicon.ico", "", true, false, application.Protected},
		"path below an icon":             {"GET", "/favicon.ico/x", "", false, false, application.Protected},
		"manifests are read only":        {"POST", "/site.webmanifest", "", false, false, application.Protected},
		"sign-out":                       {"POST", "/api/logout", "", false, false, application.Protected},
		"sign-out with a token":          {"POST", "/api/logout", token, false, false, application.CredentialClosed},
		"sign-out, preflight":            {"OPTIONS", "/api/logout", "", false, true, application.Protected},
		"page":                           {"GET", "/", "", false, false, application.Protected},
		"covers":                         {"GET", "/assets/romm/resources/1.png", "", false, false, application.Protected},
		"sockets":                        {"GET", "/ws/socket.io", "", false, false, application.Protected},
		"sockets, with a token":          {"GET", "/ws/socket.io", token, false, false, application.CredentialClosed},
		"API with a token":               {"GET", "/api/roms", token, false, false, application.Credential},
		"heartbeat with a token":         {"GET", "/api/heartbeat", token, false, false, application.Open},
		"users, with a token":            {"GET", "/api/users", token, false, false, application.Credential},
		"page with a token":              {"GET", "/library", token, false, false, application.Vouched},
		"token in upper case":            {"GET", "/api/roms", "Bearer rmm_" + strings.Repeat("0A", 32), false, false, application.Protected},
		"short token":                    {"GET", "/api/roms", "Bearer rmm_x", false, false, application.Protected},
		"long token":                     {"GET", "/api/roms", token + "0", false, false, application.Protected},
		"token with trailing characters": {"GET", "/api/roms", token + " x", false, false, application.Protected},
		"another scheme":                 {"GET", "/api/roms", "Basic rmm_" + strings.Repeat("0a", 32), false, false, application.Protected},
		"password":                       {"GET", "/api/roms", "Basic YTpi", false, false, application.Protected},
		"feed with a password":           {"GET", "/api/feeds/tinfoil", "Basic YTpi", false, false, application.Protected},
		"JWT that RomM issued":           {"GET", "/api/roms", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AA", false, false, application.Protected},
		"JWT with a bad signature":       {"GET", "/api/roms", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", false, false, application.Protected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, c.path, nil)
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			if c.preflight {
				r.Header.Set("Access-Control-Request-Method", "GET")
			}
			if got := app.Access(r, c.path, !c.unusual); got != c.want {
				t.Errorf("Access(%s %s) = %v, want %v", c.method, c.path, got, c.want)
			}
		})
	}
}

func TestIntent(t *testing.T) {
	t.Parallel()
	app := New(Config{Release: NewReleaseCache()})
	for target, want := range map[string]application.Intent{
		"GET /login":              application.SignIn,
		"HEAD /login":             application.SignIn,
		"POST /login":             application.None,
		"GET /api/login/openid":   application.SignIn,
		"POST /api/login/openid":  application.None,
		"GET /api/login/openid/x": application.None,
		"POST /api/login":         application.None,
		"POST /api/logout":        application.SignOut,
		"GET /api/logout":         application.SignOut,
		"GET /api/roms":           application.None,
		"GET /":                   application.None,
	} {
		method, path, _ := strings.Cut(target, " ")
		if got := app.Intent(httptest.NewRequest(method, path, nil), path); got != want {
			t.Errorf("Intent(%s) = %v, want %v", target, got, want)
		}
	}
}

// What RomM leaves open to anonymous requests, always or until it has an
// administrator, stays closed to them. With a token of any 64 digits it is closed
// too, or open only after RomM has recognized the token.
func TestAnonymousEndpointsStayShut(t *testing.T) {
	t.Parallel()
	app := New(Config{Release: NewReleaseCache()})
	for targets, withToken := range map[string]application.Access{
		"POST /api/users,POST /api/users/invite-link,POST /api/users/register,GET /api/setup/library,POST /api/setup/platforms," +
			"POST /api/login,GET /api/login/openid,POST /api/token,POST /api/forgot-password,POST /api/reset-password,GET /api/oauth/openid2," +
			"GET /ws/socket.io,GET /netplay/socket.io,OPTIONS /api/users,OPTIONS /api/setup/platforms": application.CredentialClosed,
		"GET /api/config,GET /api/stats,HEAD /api/stats,GET /api/feeds/tinfoil,GET /api/tinfoil/feed,GET /api/docs,GET /api/redoc,GET /openapi.json," +
			"GET /api/heartbeat/metadata/igdb,GET /assets/romm/resources/roms/1/cover/big.png,GET /": application.Vouched,
	} {
		for target := range strings.SplitSeq(targets, ",") {
			for authorization, want := range map[string]application.Access{"": application.Protected, "Bearer rmm_" + strings.Repeat("0", 64): withToken} {
				method, path, _ := strings.Cut(target, " ")
				r := httptest.NewRequest(method, path, nil)
				r.Header.Set("Access-Control-Request-Method", "POST")
				if authorization != "" {
					r.Header.Set("Authorization", authorization)
				}
				if got := app.Access(r, path, true); got != want {
					t.Errorf("Access(%s) with %q = %v, want %v", target, authorization, got, want)
				}
			}
		}
	}
}

func TestSignInTarget(t *testing.T) {
	t.Parallel()
	app := New(Config{Release: NewReleaseCache()})
	origin, err := request.OriginOf("https://romm.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ target, referer, want string }{
		"login route":              {"/login?next=%2From%2F7%3Fa%3D%2520b", "", "/rom/7?a=%20b"},
		"login route without next": {"/login", "", "/"},
		"login route to itself":    {"/login?next=%2Flogin%3Fnext%3D%2F", "", "/"},
		"start from login route":   {"/api/login/openid", "https://romm.example.com/login?next=%2From%2F7%2Fejs", "/rom/7/ejs"},
		"start from elsewhere":     {"/api/login/openid", "https://romm.example.com/library?next=%2Fx", "/"},
		"start from another site":  {"/api/login/openid", "https://evil.com/login?next=%2Fx", "/"},
		"start without Referer":    {"/api/login/openid?next=%2Fx", "", "/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, c.target, nil)
			if c.referer != "" {
				r.Header.Set("Referer", c.referer)
			}
			if got := app.SignInTarget(r, r.URL.Path, origin); got != c.want {
				t.Errorf("SignInTarget(%s) with Referer %q = %q, want %q", c.target, c.referer, got, c.want)
			}
		})
	}
}

func TestSocketsThatKeepARole(t *testing.T) {
	t.Parallel()
	app := appOf(t, "")
	for path, want := range map[string]struct{ socket, role bool }{
		"/ws/socket.io": {true, true}, "/netplay/socket.io": {true, false}, "/api/roms": {false, false},
	} {
		if socket, role := app.Socket(path), app.KeepsRole(path); socket != want.socket || role != want.role {
			t.Errorf("%s: socket %v, keeps a role %v, want %v, %v", path, socket, role, want.socket, want.role)
		}
	}
}
