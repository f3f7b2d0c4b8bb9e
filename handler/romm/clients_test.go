package romm

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	someToken    = "Bearer rmm_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	somePassword = "Basic YWxpY2U6c2VjcmV0"
	someJWT      = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJyb21tOm9hdXRoIn0.c2ln"
)

// appOf returns RomM of that release, empty for an unknown one, with those presets.
func appOf(tb testing.TB, release string, presets ...string) *App {
	tb.Helper()
	clients, err := ParseClients(presets)
	if err != nil {
		tb.Fatal(err)
	}
	storage := newMemory()
	links := NewLinks(testGate, func() keyring.Storage { return storage })
	app := New(Config{Release: NewReleaseCache(), Clients: clients, Links: links})
	if release != "" {
		beat := &heartbeat{at: time.Now()}
		beat.System.Version = release
		app.config.Release.heartbeat.Store(beat)
	}
	return app
}

func TestParseClients(t *testing.T) {
	t.Parallel()
	if clients, err := ParseClients([]string{"feeds", "covers"}); err != nil || !maps.Equal(clients, Clients{ClientsFeeds: true, ClientsCovers: true}) {
		t.Errorf("%v, %v", clients, err)
	}
	if _, err := ParseClients([]string{"feeds", "covers", "feeds"}); err == nil || err.Error() != "feeds is given twice" {
		t.Errorf("%v", err)
	}
	if _, err := ParseClients([]string{"feeds", "everything"}); err == nil || err.Error() != `"everything" is not known: there are [password bearer feeds downloads covers]` {
		t.Errorf("%v", err)
	}
}

// Each preset opens what it is for, in the releases that have it, and nothing
// else; where the release is not known it opens what any of them has.
func TestPresets(t *testing.T) {
	t.Parallel()
	const all = "3.9.0 4.3.2 4.4.0 4.8.0 5.2.0 unknown"
	for target, c := range map[string]struct{ preset, releases string }{
		"GET /api/feeds/tinfoil":                           {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/webrcade":                          {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/pkgi/ps3/games":                    {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/pkgi/psvita/dlc":                   {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/pkgi/nes/games":                    {ClientsFeeds, ""},
		"GET /api/feeds/pkgi/ps3":                          {ClientsFeeds, ""},
		"GET /api/feeds/pkgi/ps3/games/x":                  {ClientsFeeds, ""},
		"GET /api/feeds/fpkgi/ps4":                         {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/kekatsu/nds":                       {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/pkgj/psp/games":                    {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/pkgj/psvita/dlc":                   {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/pkgj/psx/games":                    {ClientsFeeds, "4.4.0 4.8.0 5.2.0 unknown"},
		"GET /api/feeds/pkgj/psx/dlc":                      {ClientsFeeds, ""},
		"GET /api/feeds":                                   {ClientsFeeds, ""},
		"POST /api/feeds/tinfoil":                          {ClientsFeeds, ""},
		"HEAD /api/feeds/tinfoil":                          {ClientsFeeds, ""},
		"GET /api/tinfoil/feed":                            {ClientsFeeds, "3.9.0 4.3.2 unknown"},
		"GET /api/webrcade/feed":                           {ClientsFeeds, "3.9.0 4.3.2 unknown"},
		"GET /api/roms/7/content/a.zip":                    {ClientsDownloads, all},
		"HEAD /api/roms/7/content/a.zip":                   {ClientsDownloads, all},
		"POST /api/roms/7/content/a.zip":                   {ClientsDownloads, ""},
		"GET /api/roms/x/content/a.zip":                    {ClientsDownloads, ""},
		"GET /api/roms/7/files/content/a.nsp":              {ClientsDownloads, all},
		"HEAD /api/roms/7/files/content/a.nsp":             {ClientsDownloads, ""},
		"GET /api/romsfiles/7/content/a.nsp":               {ClientsDownloads, "3.9.0 unknown"},
		"GET /api/firmware/1/content/bios.bin":             {ClientsDownloads, all},
		"GET /api/roms/7":                                  {ClientsDownloads, ""},
		"GET /api/roms":                                    {ClientsDownloads, ""},
		"GET /api/roms/download":                           {ClientsDownloads, ""},
		"GET /api/saves/7/content":                         {ClientsDownloads, ""},
		"GET /assets/romm/resources/roms/1/cover/big.png":  {ClientsCovers, all},
		"HEAD /assets/romm/resources/roms/1/cover/big.png": {ClientsCovers, all},
		"POST /assets/romm/resources/roms/1/cover/big.png": {ClientsCovers, ""},
		"GET /assets/romm/resources":                       {ClientsCovers, ""},
		"GET /assets/index.js":                             {ClientsCovers, ""},
	} {
		for release := range strings.FieldsSeq(all) {
			for _, preset := range []string{"", ClientsFeeds, ClientsDownloads, ClientsCovers, ClientsPassword, ClientsBearer} {
				var app *App
				switch known := strings.TrimPrefix(release, "unknown"); preset {
				case "":
					app = appOf(t, known)
				default:
					app = appOf(t, known, preset)
				}
				want := application.Protected
				if preset == c.preset && slices.Contains(strings.Fields(c.releases), release) {
					want = application.Open
				}
				method, at, _ := strings.Cut(target, " ")
				r := httptest.NewRequest(method, at, nil)
				r.Header.Set("Authorization", "Basic junk")
				if got := app.Access(r, at, true); got != want {
					t.Errorf("%s, clients %q, RomM %s: %v, want %v", target, preset, release, got, want)
				}
			}
		}
	}
}

// What enrols a handheld is open in the releases that have it.
func TestEnrolment(t *testing.T) {
	t.Parallel()
	for target, releases := range map[string]string{
		"GET /api/heartbeat":                    "3.9.0 4.8.0 5.2.0 ",
		"POST /api/client-tokens/exchange":      "4.8.0 5.2.0 ",
		"GET /api/client-tokens/pair/AB/status": "4.8.0 5.2.0 ",
		"POST /api/auth/device/init":            "5.2.0 ",
		"POST /api/auth/device/token":           "5.2.0 ",
	} {
		for _, release := range []string{"3.9.0", "4.8.0", "5.2.0", ""} {
			want := application.Protected
			if strings.Contains(releases, release+" ") {
				want = application.Open
			}
			method, at, _ := strings.Cut(target, " ")
			if got := appOf(t, release).Access(httptest.NewRequest(method, at, nil), at, true); got != want {
				t.Errorf("%s, RomM %q: %v, want %v", target, release, got, want)
			}
		}
	}
}

// The release is not taken for granted once RomM was away, or long after it
// was read: it may have been updated.
func TestReleaseInDoubt(t *testing.T) {
	t.Parallel()
	const at = "/api/auth/device/init"
	access := func(app *App) application.Access {
		return app.Access(httptest.NewRequest(http.MethodPost, at, nil), at, true)
	}
	app := appOf(t, "4.8.0")
	if access(app) != application.Protected {
		t.Fatal("open in RomM 4.8")
	}
	app.Failed()
	if access(app) != application.Open {
		t.Error("shut although RomM was away")
	}
	app = appOf(t, "4.8.0")
	app.config.Now = func() time.Time { return time.Now().Add(heartbeatAge) }
	if access(app) != application.Open {
		t.Error("shut although that was long ago")
	}
}

// Which credential passes where, if RomM knows it.
func TestCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target, authorization, presets string
		want                           application.Access
	}{
		"token":                               {"GET /api/roms", someToken, "", application.Credential},
		"token, writing":                      {"POST /api/saves", someToken, "", application.Credential},
		"token beside a feed":                 {"GET /api/feeds/tinfoil", someToken, "feeds", application.Credential},
		"token, feed not opened":              {"GET /api/feeds/tinfoil", someToken, "", application.Protected},
		"token beside a download":             {"GET /api/roms/7/content/a.zip", someToken, "downloads", application.Credential},
		"password":                            {"GET /api/roms", somePassword, "password", application.Credential},
		"password, any case":                  {"GET /api/roms", "bASIC YWxpY2U6c2VjcmV0", "password", application.Credential},
		"password, not opened":                {"GET /api/roms", somePassword, "feeds downloads covers", application.Protected},
		"password for a feed":                 {"GET /api/feeds/tinfoil", somePassword, "feeds", application.Credential},
		"password for a download":             {"GET /api/roms/7/content/a.zip", somePassword, "downloads", application.Open},
		"password for a download, opened":     {"GET /api/roms/7/content/a.zip", somePassword, "password downloads", application.Credential},
		"password where nobody may":           {"POST /api/users", somePassword, "password", application.Protected},
		"password for the sign-in form":       {"POST /api/login", somePassword, "password", application.Protected},
		"password for a page":                 {"GET /library", somePassword, "password", application.Protected},
		"password for a socket":               {"GET /ws/socket.io", somePassword, "password", application.Protected},
		"no base64":                           {"GET /api/roms", "Basic a:b", "password", application.Protected},
		"no colon":                            {"GET /api/roms", "Basic YWxpY2U=", "password", application.Protected},
		"no UTF-8":                            {"GET /api/roms", "Basic /zr/", "password", application.Protected},
		"password with more behind":           {"GET /api/roms", somePassword + " x", "password", application.Protected},
		"password grant":                      {"POST /api/token", "", "password", application.Exchange},
		"password grant, not opened":          {"POST /api/token", "", "feeds downloads covers", application.Protected},
		"password grant with a token":         {"POST /api/token", someToken, "", application.Protected},
		"password grant, GET":                 {"GET /api/token", "", "password", application.Protected},
		"what the grant gave":                 {"GET /api/roms", someJWT, "password", application.Credential},
		"what the grant gave, not opened":     {"GET /api/roms", someJWT, "feeds", application.Protected},
		"another's JWT":                       {"GET /api/roms", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA", "password", application.Protected},
		"unsigned JWT":                        {"GET /api/roms", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.", "password", application.Protected},
		"two segments":                        {"GET /api/roms", "Bearer eyJhbGciOiJIUzI1NiJ9.e30", "password", application.Protected},
		"junk":                                {"GET /api/roms", "Bearer junk", "password", application.Protected},
		"junk for a feed":                     {"GET /api/feeds/tinfoil", "Bearer junk", "feeds", application.Open},
		"access token":                        {"GET /api/roms", "Bearer authelia_at_a-b.c~d+e/f==", "bearer", application.Bearer},
		"access token, writing":               {"POST /api/saves", "bearer x", "bearer", application.Bearer},
		"access token that is a JWT":          {"GET /api/roms", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA", "bearer", application.Bearer},
		"access token, not opened":            {"GET /api/roms", "Bearer x", "password feeds", application.Protected},
		"access token where nobody may":       {"POST /api/users", "Bearer x", "bearer", application.Protected},
		"access token for a page":             {"GET /library", "Bearer x", "bearer", application.Protected},
		"access token for a socket":           {"GET /ws/socket.io", "Bearer x", "bearer", application.Protected},
		"access token, heartbeat":             {"GET /api/heartbeat", "Bearer x", "bearer", application.Open},
		"a client token is none":              {"GET /api/roms", someToken, "bearer", application.Credential},
		"a broken client token is none":       {"GET /api/roms", someToken + "0", "bearer", application.Protected},
		"RomM's JWT is none":                  {"GET /api/roms", someJWT, "bearer", application.Protected},
		"a password is none":                  {"GET /api/roms", somePassword, "bearer", application.Protected},
		"no b64token":                         {"GET /api/roms", "Bearer a b", "bearer", application.Protected},
		"nothing but padding":                 {"GET /api/roms", "Bearer =", "bearer", application.Protected},
		"too long":                            {"GET /api/roms", "Bearer " + strings.Repeat("a", 16<<10+1), "bearer", application.Protected},
		"preflight of a feed":                 {"OPTIONS /api/feeds/webrcade", "", "feeds", application.Open},
		"preflight of a download":             {"OPTIONS /api/roms/7/content/a(b).zip", "", "downloads", application.Open},
		"preflight of a download, not opened": {"OPTIONS /api/roms/7/content/a(b).zip", "", "feeds", application.Protected},
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
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/api/roms", nil)
	r.Header.Set("Authorization", someToken)
	if got := appOf(t, "4.7.0").Access(r, "/api/roms", true); got != application.Protected {
		t.Errorf("a client token before there were any: %v", got)
	}
	r.Header["Authorization"] = []string{someToken, someToken}
	if got := appOf(t, "").Access(r, "/api/roms", true); got != application.Protected {
		t.Errorf("two credentials: %v", got)
	}
}

// The name of a file is written as its owner likes. It opens no other path.
func TestFileNames(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]application.Access{
		"/api/roms/7/content/Game%20%28USA%29.zip":    application.Open,
		"/api/roms/7/content/Game%20(USA).zip":        application.Open,
		"/api/roms/7/content/Pok%C3%A9mon.gb":         application.Open,
		"/api/roms/7/content/Pok%C3%A9mon.gb/":        application.Open,
		"/api/roms/7/content/a%3Bb%3F%23.zip":         application.Open,
		"/api/roms/7/files/content/a%5Bb%5D.nsp":      application.Open,
		"/api/roms/%37/content/a.zip":                 application.Protected,
		"/api/%72oms/7/content/a.zip":                 application.Protected,
		"/api/roms/7/content/100%25.zip":              application.Protected,
		"/api/roms/7/content/%2e%2e%2fusers":          application.Protected,
		"/api/roms/7/content/%252e%252e%252fusers":    application.Protected,
		"/api/roms/7/content/a%2Fb":                   application.Protected,
		"/api/roms/7/content/a%2F":                    application.Protected,
		"/api/roms/7/content/a%5Cb":                   application.Protected,
		"/api/roms/7/content/..%5C..%5Cusers":         application.Protected,
		"/api/roms/7/content/%2e%2e":                  application.Protected,
		"/api/roms/7/content/":                        application.Protected,
		"/api/roms//7/content/a(.zip":                 application.Protected,
		"/api/users/../roms/7/content/a(.zip":         application.Protected,
		"/api/feeds/kekatsu/n%64s":                    application.Protected,
		"/assets/romm/resources/roms/1/c%6Fver.png":   application.Protected,
		"/assets/romm/resources/%2e%2e/%2e%2e/secret": application.Protected,
	} {
		r := httptest.NewRequest(http.MethodGet, written, nil)
		normal, plain := normal(r.URL)
		app := appOf(t, "5.2.0", ClientsFeeds, ClientsDownloads, ClientsCovers)
		if got := app.Access(r, normal, plain); got != want {
			t.Errorf("%s: %v, want %v", written, got, want)
		}
	}
}

// normal is a path in the form that the gate hands on (package handler, NormalPath).
func normal(u *url.URL) (normal string, plain bool) {
	p := u.Path
	normal = path.Clean(strings.ReplaceAll(p, `\`, "/"))
	plain = u.RawPath == "" && normal == strings.TrimSuffix(p, "/") && !strings.ContainsAny(p, `%;?#\`) &&
		!strings.ContainsFunc(p, func(c rune) bool { return c >= 0x80 })
	return normal, plain
}

// Whatever a stranger sends, nothing opens that is not on the list, written
// plainly but for the name of a file.
func FuzzAccess(f *testing.F) {
	for _, authorization := range []string{"", someToken, somePassword, someJWT, "Bearer rmm_x"} {
		for _, at := range []string{
			"/api/heartbeat", "/api/users", "/api/token", "/api/feeds/tinfoil", "/api/feeds/pkgi/ps3/x", "/api/roms/7/content/a(.zip",
			"/api/roms/7/content/..%2f..%2fusers", "/assets/romm/resources/x.png", "/assets/romm/resources/../../x", "/api/setup/library",
			"/api/client-tokens/pair/x/status", "/ws/socket.io/", "/api//heartbeat", "/api/roms/1/content/%2e%2e/users",
		} {
			f.Add("GET", at, authorization, "")
			f.Add("POST", at, authorization, "x")
			f.Add("OPTIONS", at, authorization, "GET")
		}
	}
	app := appOf(f, "", ClientsFeeds, ClientsDownloads, ClientsCovers, ClientsPassword, ClientsBearer)
	credential := appOf(f, "")
	f.Fuzz(func(t *testing.T, method, at, authorization, preflight string) {
		u, err := url.ParseRequestURI(at)
		if err != nil || !strings.HasPrefix(u.Path, "/") {
			return // no server gets such a request
		}
		p, plain := normal(u)
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {authorization}, "Access-Control-Request-Method": {preflight}}}
		switch app.Access(r, p, plain) {
		case application.Open:
			listed := p == "/api/heartbeat" || strings.HasPrefix(p, "/api/client-tokens/") || strings.HasPrefix(p, "/api/auth/device/") ||
				strings.HasPrefix(p, "/api/feeds/") || p == "/api/tinfoil/feed" || p == "/api/webrcade/feed" ||
				strings.Contains(p, "/content/") || strings.HasPrefix(p, resources) || method == http.MethodOptions && strings.HasPrefix(p, "/api/")
			if !listed || !plain && !strings.Contains(p, "/content/") {
				t.Errorf("%s %s is open", method, at)
			}
			if shut(method, p) && !strings.Contains(p, "/feed") {
				t.Errorf("%s %s is open, and to be shut", method, at)
			}
		case application.Credential:
			if !strings.HasPrefix(p, "/api/") || shut(method, p) && !strings.Contains(p, "/feed") {
				t.Errorf("%s %s with %q passes", method, at, authorization)
			}
			if kind := credentialIn(authorization); kind == noCredential || kind != clientToken && credential.Access(r, p, plain) == application.Credential {
				t.Errorf("%q passes", authorization)
			}
		case application.Bearer:
			if !plain || !strings.HasPrefix(p, "/api/") || shut(method, p) || !strings.EqualFold(authorization[:min(7, len(authorization))], "bearer ") {
				t.Errorf("%s %s with %q passes", method, at, authorization)
			}
		case application.Exchange:
			if method != http.MethodPost || p != "/api/token" || !plain {
				t.Errorf("%s %s exchanges", method, at)
			}
		case application.Protected:
		}
	})
}

// FuzzClientToken: a client token is exactly what RomM makes.
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
			t.Errorf("%q is none", authorization)
		}
	})
}

// What RomM's answer to a probe means, by release and credential.
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
		"token of nobody":                {"5.2.0", someToken, 401, "", application.Unrecognized, ""},
		"token that may not read":        {"5.2.0", someToken, 403, "", application.Recognized, ""},
		"token that may not read, 5.1.1": {"5.1.1-beta.1", someToken, 403, "", application.Recognized, ""},
		"token, RomM 5.1":                {"5.1.0", someToken, 200, me, application.Recognized, ""},
		"token of nobody, RomM 5.1":      {"5.1.0", someToken, 403, "", application.Undecided, ""},
		"token, release unknown":         {"development", someToken, 403, "", application.Undecided, ""},
		"token, RomM crashed":            {"5.2.0", someToken, 500, "", application.Undecided, "romm_busy"},
		"token, RomM away":               {"5.2.0", someToken, 502, "", application.Undecided, "romm_busy"},
		"token, no answer":               {"5.2.0", someToken, 0, "", application.Undecided, "romm_busy"},
		"token, no answer, 5.1.1":        {"5.1.1-beta.1", someToken, 0, "", application.Undecided, "romm_busy"},
		"token, no answer, unknown":      {"development", someToken, 0, "", application.Undecided, "romm_busy"},
		"token, no answer, RomM 5.1":     {"5.1.0", someToken, 0, "", application.Undecided, ""},
		"token, kiosk's user":            {"5.2.0", someToken, 200, `{"id":-1,"username":"kiosk"}`, application.Undecided, ""},
		"token, somebody else's page":    {"5.2.0", someToken, 200, "<html>", application.Undecided, ""},
		"password":                       {"5.2.0", somePassword, 200, me, application.Recognized, ""},
		"wrong password":                 {"5.2.0", somePassword, 401, "", application.Unrecognized, ""},
		"wrong password, RomM 5.1":       {"5.1.0", somePassword, 403, "", application.Unrecognized, ""},
		"forbidden password":             {"5.2.0", somePassword, 403, "", application.Unrecognized, ""},
		"password of an OIDC account":    {"5.2.0", somePassword, 500, "", application.Unrecognized, ""},
		"password, RomM away":            {"5.2.0", somePassword, 502, "", application.Undecided, "romm_busy"},
		"password, no answer":            {"5.2.0", somePassword, 0, "", application.Undecided, "romm_busy"},
		"access token":                   {"5.2.0", someJWT, 200, me, application.Recognized, ""},
		"expired access token":           {"5.2.0", someJWT, 500, "", application.Unrecognized, ""},
		"access token that may not read": {"5.2.0", someJWT, 403, "", application.Recognized, ""},
		"access token, no answer":        {"5.2.0", someJWT, 0, "", application.Undecided, "romm_busy"},
		"access token, RomM 5.1":         {"5.1.0", someJWT, 403, "", application.Undecided, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := appOf(t, c.release)
			got, err := app.Recognize(t.Context(), func(_ context.Context, call application.Call) (*application.Answer, error) {
				if call.Target == "/api/heartbeat" {
					return nil, errors.New("away")
				}
				if call.Method != http.MethodGet || call.Target != "/api/users/me" || call.Cookie != "" || call.Header.Get("Authorization") != c.authorization {
					t.Errorf("asked %v", call)
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
				t.Errorf("%v, %v; want %v %s", got, err, c.want, c.problem)
			}
		})
	}
}

// A token or a password of RomM's does not outlive its owner's access: it is
// nobody's once the provider or the policy lets them in no more, until they
// sign in again.
func TestShutAccount(t *testing.T) {
	t.Parallel()
	const made = `"created_at":"2026-01-02T15:04:05Z"`
	ada := Link{Issuer: testIssuer, Subject: "ada-1", ID: 7, Username: "ada", Email: "ada@example.com", Created: "2026-01-02T15:04:05"}
	for name, c := range map[string]struct {
		then func(ctx context.Context, app *App, call application.Caller)
		me   string // what RomM says of the token's owner; empty: Ada
		want application.Recognition
	}{
		"shut":                   {want: application.Unrecognized},
		"somebody else's token":  {me: `{"id":8,"username":"bob"}`, want: application.Recognized},
		"another account by now": {me: `{"id":7,"username":"new","created_at":"2026-02-02T15:04:05Z"}`, want: application.Recognized},
		"signed in again":        {then: func(ctx context.Context, app *App, _ application.Caller) { _ = app.config.Links.pin(ctx, ada) }, want: application.Recognized},
		"profile changed": {then: func(ctx context.Context, app *App, call application.Caller) {
			app.AfterResponse(ctx, application.Forwarded{Request: httptest.NewRequest(http.MethodPut, "/api/users/7", nil), Path: "/api/users/7", Caller: call}, 200)
		}, want: application.Unrecognized},
		"given to another subject": {then: func(ctx context.Context, app *App, _ application.Caller) {
			_, _, _ = app.config.Links.Move(ctx, "ada", "ada-2")
		}, want: application.Recognized},
		"shut twice": {then: func(ctx context.Context, app *App, _ application.Caller) { _ = app.Shut(ctx, *identityOf("ada-1", "")) }, want: application.Unrecognized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := appOf(t, "5.2.0")
			call := func(context.Context, application.Call) (*application.Answer, error) {
				me := c.me
				if me == "" {
					me = `{"id":7,"username":"ada","email":"ada@new.example",` + made + `}`
				}
				return &application.Answer{Status: http.StatusOK, Body: []byte(me)}, nil
			}
			if err := app.config.Links.pin(t.Context(), ada); err != nil {
				t.Fatal(err)
			}
			if got, err := app.Recognize(t.Context(), call, someToken); c.me == "" && (got != application.Recognized || err != nil) {
				t.Fatalf("before: %v, %v", got, err)
			}
			if err := app.Shut(t.Context(), *identityOf("ada-1", "ada@example.com")); err != nil {
				t.Fatal(err)
			}
			if c.then != nil {
				c.then(t.Context(), app, call)
			}
			if got, err := app.Recognize(t.Context(), call, someToken); got != c.want || err != nil {
				t.Errorf("Recognize = %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// Who has no role any more has no token either.
func TestNoRoleShuts(t *testing.T) {
	t.Parallel()
	links, _ := linked(t)
	app := New(Config{Release: NewReleaseCache(), Links: links, Roles: &Roles{Admin: []string{"bob@example.com"}}})
	_, err := app.SignIn(t.Context(), func(context.Context, application.Call) (*application.Answer, error) {
		return &application.Answer{Status: http.StatusOK, Body: []byte(`{"SYSTEM":{"VERSION":"5.2.0"},"OIDC":{"ENABLED":true}}`)}, nil
	}, *identityOf("ada-1", "ada@example.com"))
	link, _ := links.ofAccount(t.Context(), 7)
	if problem, ok := errors.AsType[*problem.Problem](err); !ok || problem.Code != "no_role" || !link.Shut {
		t.Errorf("%v, %+v", err, link)
	}
}

// Who lost their account to a RomM that was made anew shuts nobody else's.
func TestShutIsNobodyElses(t *testing.T) {
	t.Parallel()
	links, _ := linked(t)
	carol := Link{Issuer: testIssuer, Subject: "carol-1", ID: 8, Username: "carol", Email: "carol@example.com", Created: "2026-02-02T15:04:05"}
	bob := Link{Issuer: testIssuer, Subject: "bob-1", ID: 8, Username: "bob", Email: "bob@example.com", Created: "2026-01-02T15:04:05"}
	for _, link := range []Link{bob, carol} {
		if err := links.pin(t.Context(), link); err != nil {
			t.Fatal(err)
		}
	}
	if err := links.shut(t.Context(), identityOf("bob-1", "")); err != nil {
		t.Fatal(err)
	}
	if link, err := links.ofAccount(t.Context(), 8); err != nil || link == nil || *link != carol {
		t.Errorf("the account has %+v, %v", link, err)
	}
}
