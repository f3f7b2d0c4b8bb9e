// The routes that need no session.

package romm

import (
	"net/http"
	"net/http/httptest"
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
		"/api/roms/7/content/100%25.zip":              application.Open,
		"/api/roms/7/content/Game%2520USA.zip":        application.Open,
		"/api/roms/7/content/%47ame.zip":              application.Open,
		"/api/roms/7/content/...a.zip":                application.Open,
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
