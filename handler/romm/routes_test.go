// The routes that need no session.

package romm

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// Each preset opens its routes in the releases that have them, and nothing else.
// If the release is unknown it opens the routes of all releases.
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
					t.Errorf("Access(%s) with clients %q and RomM %s = %v, want %v", target, preset, release, got, want)
				}
			}
		}
	}
}

// The routes that enrol a handheld are open in the releases that have them.
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
				t.Errorf("Access(%s) with RomM %q = %v, want %v", target, release, got, want)
			}
		}
	}
}

// The release is uncertain once RomM was unreachable, and some time after it was
// read: RomM may have been upgraded.
func TestReleaseInDoubt(t *testing.T) {
	t.Parallel()
	const at = "/api/auth/device/init"
	access := func(app *App) application.Access {
		return app.Access(httptest.NewRequest(http.MethodPost, at, nil), at, true)
	}
	app := appOf(t, "4.8.0")
	if access(app) != application.Protected {
		t.Fatal("the route is open in RomM 4.8, want it closed")
	}
	app.Failed()
	if access(app) != application.Open {
		t.Error("the route is closed after RomM was unreachable, want it open")
	}
	app = appOf(t, "4.8.0")
	app.config.Now = func() time.Time { return time.Now().Add(heartbeatAge) }
	if access(app) != application.Open {
		t.Error("the route is closed five minutes after the heartbeat, want it open")
	}
}

// The name of a file may be spelled in any way. That opens no other path.
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
		normal, plain, _ := request.NormalPath(r)
		app := appOf(t, "5.2.0", ClientsFeeds, ClientsDownloads, ClientsCovers)
		if got := app.Access(r, normal, plain); got != want {
			t.Errorf("Access(%s) = %v, want %v", written, got, want)
		}
	}
}

// No request opens a path that is not on the list, or one that is spelled
// unusually in anything other than the name of a file.
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
		if err != nil {
			return // no server accepts such a request
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {authorization}, "Access-Control-Request-Method": {preflight}}}
		p, plain, ok := request.NormalPath(r)
		if !ok {
			return // the gate refuses it before
		}
		switch app.Access(r, p, plain) {
		case application.Open:
			listed := p == "/api/heartbeat" || strings.HasPrefix(p, "/api/client-tokens/") || strings.HasPrefix(p, "/api/auth/device/") ||
				strings.HasPrefix(p, "/api/feeds/") || p == "/api/tinfoil/feed" || p == "/api/webrcade/feed" ||
				strings.Contains(p, "/content/") || strings.HasPrefix(p, resources) || method == http.MethodOptions && strings.HasPrefix(p, "/api/")
			if !listed || !plain && !strings.Contains(p, "/content/") {
				t.Errorf("%s %s is Open, want only listed paths to be", method, at)
			}
			if shut(method, p) && !strings.Contains(p, "/feed") {
				t.Errorf("%s %s is Open, want it closed", method, at)
			}
		case application.Credential:
			if !strings.HasPrefix(p, "/api/") || shut(method, p) && !strings.Contains(p, "/feed") {
				t.Errorf("%s %s with %q is Credential, want it closed", method, at, authorization)
			}
			if kind := credentialIn(authorization); kind == noCredential || kind != clientToken && credential.Access(r, p, plain) == application.Credential {
				t.Errorf("%q is Credential, want only well-formed and opened credentials to be", authorization)
			}
		case application.Bearer:
			if !plain || !strings.HasPrefix(p, "/api/") || shut(method, p) || !strings.EqualFold(authorization[:min(7, len(authorization))], "bearer ") {
				t.Errorf("%s %s with %q is Bearer, want only API paths with a bearer token to be", method, at, authorization)
			}
		case application.Exchange:
			if method != http.MethodPost || p != "/api/token" || !plain {
				t.Errorf("%s %s is Exchange, want only POST /api/token to be", method, at)
			}
		case application.Protected:
		}
	})
}
