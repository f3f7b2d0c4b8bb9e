// Which credential passes where, and what RomM says about it.

package romm

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// Which credential may pass where, if RomM recognizes it.
func TestCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target, authorization, presets string
		want                           application.Access
	}{
		"token":                               {"GET /api/roms", someToken, "", application.Credential},
		"token, writing":                      {"POST /api/saves", someToken, "", application.Credential},
		"token beside a feed":                 {"GET /api/feeds/tinfoil", someToken, "feeds", application.Credential},
		"token, feed not opened":              {"GET /api/feeds/tinfoil", someToken, "", application.Vouched},
		"token beside a download":             {"GET /api/roms/7/content/a.zip", someToken, "downloads", application.Credential},
		"password":                            {"GET /api/roms", somePassword, "password", application.Credential},
		"password, any case":                  {"GET /api/roms", "bASIC YWxpY2U6c2VjcmV0", "password", application.Credential},
		"password, not opened":                {"GET /api/roms", somePassword, "feeds downloads covers", application.Protected},
		"password for a feed":                 {"GET /api/feeds/tinfoil", somePassword, "feeds", application.Credential},
		"password for a download":             {"GET /api/roms/7/content/a.zip", somePassword, "downloads", application.Open},
		"password for a download, opened":     {"GET /api/roms/7/content/a.zip", somePassword, "password downloads", application.Credential},
		"password on a closed path":           {"POST /api/users", somePassword, "password", application.CredentialClosed},
		"password for the sign-in form":       {"POST /api/login", somePassword, "password", application.CredentialClosed},
		"password for a page":                 {"GET /library", somePassword, "password", application.Vouched},
		"password for a socket":               {"GET /ws/socket.io", somePassword, "password", application.CredentialClosed},
		"password, not base64":                {"GET /api/roms", "Basic a:b", "password", application.Protected},
		"password without a colon":            {"GET /api/roms", "Basic YWxpY2U=", "password", application.Protected},
		"password, not UTF-8":                 {"GET /api/roms", "Basic /zr/", "password", application.Protected},
		"password with trailing characters":   {"GET /api/roms", somePassword + " x", "password", application.Protected},
		"password grant":                      {"POST /api/token", "", "password", application.Exchange},
		"password grant, not opened":          {"POST /api/token", "", "feeds downloads covers", application.Protected},
		"password grant with a token":         {"POST /api/token", someToken, "", application.CredentialClosed},
		"password grant, GET":                 {"GET /api/token", "", "password", application.Protected},
		"JWT of the password grant":           {"GET /api/roms", someJWT, "password", application.Credential},
		"JWT of the grant, not opened":        {"GET /api/roms", someJWT, "feeds", application.Protected},
		"JWT signed with RS256":               {"GET /api/roms", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA", "password", application.Protected},
		"unsigned JWT":                        {"GET /api/roms", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.", "password", application.Protected},
		"two segments":                        {"GET /api/roms", "Bearer eyJhbGciOiJIUzI1NiJ9.e30", "password", application.Protected},
		"malformed bearer":                    {"GET /api/roms", "Bearer junk", "password", application.Protected},
		"malformed bearer for a feed":         {"GET /api/feeds/tinfoil", "Bearer junk", "feeds", application.Open},
		"access token":                        {"GET /api/roms", "Bearer authelia_at_a-b.c~d+e/f==", "bearer", application.Bearer},
		"access token, writing":               {"POST /api/saves", "bearer x", "bearer", application.Bearer},
		"access token that is a JWT":          {"GET /api/roms", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA", "bearer", application.Bearer},
		"access token, not opened":            {"GET /api/roms", "Bearer x", "password feeds", application.Protected},
		"access token on a closed path":       {"POST /api/users", "Bearer x", "bearer", application.BearerClosed},
		"access token for a page":             {"GET /library", "Bearer x", "bearer", application.Bearer},
		"access token for a socket":           {"GET /ws/socket.io", "Bearer x", "bearer", application.BearerClosed},
		"access token, heartbeat":             {"GET /api/heartbeat", "Bearer x", "bearer", application.Open},
		"client token, access tokens opened":  {"GET /api/roms", someToken, "bearer", application.Credential},
		"malformed client token":              {"GET /api/roms", someToken + "0", "bearer", application.Protected},
		"RomM's JWT, access tokens opened":    {"GET /api/roms", someJWT, "bearer", application.Protected},
		"password, access tokens opened":      {"GET /api/roms", somePassword, "bearer", application.Protected},
		"bearer, not a b64token":              {"GET /api/roms", "Bearer a b", "bearer", application.Protected},
		"bearer of padding only":              {"GET /api/roms", "Bearer =", "bearer", application.Protected},
		"bearer of more than 16 KiB":          {"GET /api/roms", "Bearer " + strings.Repeat("a", 16<<10+1), "bearer", application.Protected},
		"preflight of a feed":                 {"OPTIONS /api/feeds/webrcade", "", "feeds", application.Open},
		"preflight of a download":             {"OPTIONS /api/roms/7/content/a(b).zip", "", "downloads", application.Open},
		"preflight of a download, not opened": {"OPTIONS /api/roms/7/content/a(b).zip", "", "feeds", application.Open},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method, at, _ := strings.Cut(c.target, " ")
			r := httptest.NewRequest(method, at, nil)
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			if method == http.MethodOptions {
				r.Header.Set("Access-Control-Request-Method", http.MethodGet)
			}
			app := appOf(t, "5.2.0", strings.Fields(c.presets)...)
			if got := app.Access(r, r.URL.Path, r.URL.RawPath == ""); got != c.want {
				t.Errorf("Access(%s) with %q = %v, want %v", c.target, c.authorization, got, c.want)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/api/roms", nil)
	r.Header.Set("Authorization", someToken)
	if got := appOf(t, "4.7.0").Access(r, "/api/roms", true); got != application.Protected {
		t.Errorf("Access with a client token in RomM 4.7 = %v, want Protected", got)
	}
	r.Header["Authorization"] = []string{someToken, someToken}
	if got := appOf(t, "").Access(r, "/api/roms", true); got != application.Protected {
		t.Errorf("Access with two Authorization fields = %v, want Protected", got)
	}
}

// Only what RomM itself issues is a client token.
func FuzzClientToken(f *testing.F) {
	for _, s := range []string{someToken, "Bearer rmm_", "bearer  rmm_" + strings.Repeat("0", 64), someToken + "0", someToken + "\n", strings.ToUpper(someToken)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		if credentialIn(authorization) != clientToken {
			return
		}
		scheme, token := authorization[:min(6, len(authorization))], authorization[min(7, len(authorization)):]
		if !strings.EqualFold(scheme, "bearer") || len(token) != 68 || token[:4] != "rmm_" ||
			strings.ContainsFunc(token[4:], func(c rune) bool { return c < '0' || c > '9' && c < 'a' || c > 'f' }) {
			t.Errorf("%q counts as a client token, want only those of RomM's form to", authorization)
		}
	})
}

// What RomM's response to a credential means, by release and kind of credential.
func TestRecognize(t *testing.T) {
	t.Parallel()
	me := `{"id":1,"username":"alice"}`
	for name, c := range map[string]struct {
		release, authorization string
		status                 int
		body                   string
		want                   application.Recognition
		problem                string
	}{
		"token":                          {"5.2.0", someToken, 200, me, application.Recognized, ""},
		"unknown token":                  {"5.2.0", someToken, 401, "", application.Unrecognized, ""},
		"token that may not read":        {"5.2.0", someToken, 403, "", application.Recognized, ""},
		"token that may not read, 5.1.1": {"5.1.1-beta.1", someToken, 403, "", application.Recognized, ""},
		"token, RomM 5.1":                {"5.1.0", someToken, 200, me, application.Recognized, ""},
		"unknown token, RomM 5.1":        {"5.1.0", someToken, 403, "", application.Undecided, ""},
		"token, release unknown":         {"development", someToken, 403, "", application.Recognized, ""},
		"token, RomM crashed":            {"5.2.0", someToken, 500, "", application.Undecided, "romm_busy"},
		"token, RomM away":               {"5.2.0", someToken, 502, "", application.Undecided, "romm_busy"},
		"token, no response":             {"5.2.0", someToken, 0, "", application.Undecided, "romm_busy"},
		"token, no response, 5.1.1":      {"5.1.1-beta.1", someToken, 0, "", application.Undecided, "romm_busy"},
		"token, no response, unknown":    {"development", someToken, 0, "", application.Undecided, "romm_busy"},
		"token, no response, RomM 5.1":   {"5.1.0", someToken, 0, "", application.Undecided, ""},
		"token, kiosk's user":            {"5.2.0", someToken, 200, `{"id":-1,"username":"kiosk"}`, application.Undecided, ""},
		"token, a page in RomM's place":  {"5.2.0", someToken, 200, "<html>", application.Undecided, "romm_busy"},
		"token, not found in between":    {"5.2.0", someToken, 404, "", application.Undecided, "romm_busy"},
		"token, a page, RomM 5.1":        {"5.1.0", someToken, 200, "<html>", application.Undecided, "romm_busy"},
		"password":                       {"5.2.0", somePassword, 200, me, application.Recognized, ""},
		"wrong password":                 {"5.2.0", somePassword, 401, "", application.Unrecognized, ""},
		"wrong password, RomM 5.1":       {"5.1.0", somePassword, 403, "", application.Unrecognized, ""},
		"forbidden password":             {"5.2.0", somePassword, 403, "", application.Unrecognized, ""},
		"password of an OIDC account":    {"5.2.0", somePassword, 500, "", application.Unrecognized, ""},
		"password, RomM away":            {"5.2.0", somePassword, 502, "", application.Undecided, "romm_busy"},
		"password, no response":          {"5.2.0", somePassword, 0, "", application.Undecided, "romm_busy"},
		"access token":                   {"5.2.0", someJWT, 200, me, application.Recognized, ""},
		"expired access token":           {"5.2.0", someJWT, 500, "", application.Unrecognized, ""},
		"access token, no database":      {"5.2.0", someJWT, 500, "no database", application.Undecided, "romm_busy"},
		"password, no database":          {"5.2.0", somePassword, 500, "no database", application.Undecided, "romm_busy"},
		"access token that may not read": {"5.2.0", someJWT, 403, "", application.Recognized, ""},
		"access token, no response":      {"5.2.0", someJWT, 0, "", application.Undecided, "romm_busy"},
		"access token, RomM 5.1":         {"5.1.0", someJWT, 403, "", application.Undecided, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := appOf(t, c.release)
			got, _, err := app.Recognize(t.Context(), func(_ context.Context, call application.Call) (*application.Answer, error) {
				if call.Target == "/api/heartbeat" {
					return nil, errors.New("away")
				}
				if call.Header.Get("Authorization") != c.authorization && c.status == 500 && c.body != "no database" {
					return &application.Answer{Status: 401, Header: http.Header{}}, nil // a made-up name
				}
				if c.body == "no database" {
					return &application.Answer{Status: 500, Header: http.Header{}}, nil
				}
				if call.Method != http.MethodGet || call.Target != "/api/users/me" || call.Cookie != "" || call.Header.Get("Authorization") != c.authorization {
					t.Errorf("RomM was asked %+v, want GET /api/users/me with the credential only", call)
				}
				if c.status == 0 {
					return nil, errors.New("away")
				}
				return &application.Answer{Status: c.status, Header: http.Header{}, Body: []byte(c.body)}, nil
			}, c.authorization)
			code := ""
			if p, ok := errors.AsType[*problem.Problem](err); ok {
				code = p.Code
			}
			if got != c.want || code != c.problem {
				t.Errorf("Recognize = %v, %v, want %v with problem %q", got, err, c.want, c.problem)
			}
		})
	}
}
