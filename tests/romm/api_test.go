// Tests of the API: anonymous access, users, downloads, uploads, CORS, RomM's own
// tokens and the page.

package romm

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestAnonymousRequestsByEndpoint(t *testing.T) {
	t.Parallel()
	s, _ := signedIn(t, Options{})
	for path, want := range map[string]int{
		"/api/heartbeat": 200, "/api/heartbeat/metadata/igdb": 200, "/api/config": 200, "/api/stats": 200,
		"/openapi.json": 200, "/api/docs": 200, "/api/feeds/tinfoil": 200, "/api/feeds/webrcade": 401,
		"/api/feeds/pkgi/ps3/games": 401, "/api/roms": 401, "/api/roms/1": 401, "/api/roms/1/content/demo.nes": 401,
		"/api/roms/download": 401, "/api/firmware/1": 401, "/api/users": 401, "/api/users/1": 401, "/api/saves": 401,
		"/api/netplay/list": 401, "/api/users/1/avatar": 401, "/api/setup/library": 403, "/api/nothing": 404, "/apix": 404,
		"/api/client-tokens/pair/ABCD/status": 404, "/api/client-tokens": 401, "/api/auth/device/init": 405,
		"/assets/romm/resources/roms/1/cover.png": 200, "/ws/other": 404, "/": 200, "/platform/1": 200,
		"//api/users/me": 404, "/x/../api/users/me": 404, "/api%2Fusers%2Fme": 401,
	} {
		for _, slash := range []string{"", "/"} {
			if strings.HasSuffix(path, "/") && slash != "" {
				continue
			}
			if got := newBrowser(t, s).get(path + slash).StatusCode; got != want {
				t.Errorf("GET %s%s: status is %d, want %d", path, slash, got, want)
			}
		}
	}
}

func TestDownloadsAreAnonymousWhenConfigured(t *testing.T) {
	t.Parallel()
	s, _ := signedIn(t, Options{DisableDownloadEndpointAuth: true})
	for path, want := range map[string]int{
		"/api/roms/1": 200, "/api/roms/1/content/demo.nes": 200, "/api/roms/1/files/content/demo.nes": 200,
		"/api/feeds/webrcade": 200, "/api/firmware/1/content/bios.bin": 200, "/api/roms": 401, "/api/roms/download": 401,
	} {
		if got := newBrowser(t, s).get(path).StatusCode; got != want {
			t.Errorf("GET %s: status is %d, want %d", path, got, want)
		}
	}
}

func TestFirstAdministratorIsCreatedAnonymously(t *testing.T) {
	t.Parallel()
	const body = `{"username":"Root","password":"secret","email":"root@example.com","role":"admin"}`
	for _, hidden := range []bool{false, true} {
		s := New(Options{DisableSetupWizard: hidden})
		s.AddUser(User{Username: "bob", Password: "secret"})
		b := newBrowser(t, s)
		beat := decoded(t, b.get("/api/heartbeat"))
		if system, _ := beat["SYSTEM"].(map[string]any); system["SHOW_SETUP_WIZARD"] == hidden || system["VERSION"] != "5.2.0" {
			t.Errorf("SYSTEM is %v, want VERSION 5.2.0 and SHOW_SETUP_WIZARD %v", system, !hidden)
		}
		wantStatus(t, b.get("/api/setup/library"), http.StatusOK)
		wantStatus(t, b.post("/api/users", body), http.StatusCreated)
		if u, _ := s.User("root"); u.Role != "admin" {
			t.Errorf("user is %+v, want an administrator", u)
		}
		wantStatus(t, b.post("/api/users", strings.Replace(body, "Root", "two", 1)), http.StatusForbidden)
		s.SetRole("root", "user")
		wantStatus(t, b.post("/api/users", `{"username":"three","role":"admin"}`), http.StatusCreated)
	}
}

func TestAdministratorManagesUsers(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	wantStatus(t, b.post("/api/users", `{"username":"Bob_1","password":"secret","email":"B@x.org","role":"editor"}`), http.StatusCreated)
	answer := b.post("/api/users", `{"username":"bob_1","password":"x"}`)
	wantStatus(t, answer, http.StatusBadRequest)
	if body := decoded(t, answer); body["detail"] != "Username bob_1 already exists" {
		t.Errorf("body is %v, want that the name exists", body)
	}
	put := func(path, form string) *answered {
		return b.do(http.MethodPut, path, form, header{
			"X-Csrftoken": b.cookies[csrfCookie], "Content-Type": "application/x-www-form-urlencoded",
		})
	}
	wantStatus(t, put("/api/users/2", "role=admin&enabled=false&email=New@x.org"), http.StatusOK)
	if u, _ := s.User("bob_1"); u.Role != "admin" || !u.Disabled || u.Email != "new@x.org" {
		t.Errorf("user is %+v, want a disabled administrator with the new address", u)
	}
	wantStatus(t, put("/api/users/2", "role=user"), http.StatusOK)
	wantStatus(t, put("/api/users/1", "role=user&enabled=false"), http.StatusOK)
	if u, _ := s.User("ada"); u.Role != "admin" || u.Disabled {
		t.Errorf("user is %+v, want still an enabled administrator", u)
	}
	wantStatus(t, put("/api/users/9", "role=user"), http.StatusNotFound)
	remove := func(path string) *answered {
		return b.do(http.MethodDelete, path, "", header{"X-Csrftoken": b.cookies[csrfCookie]})
	}
	wantStatus(t, remove("/api/users/1"), http.StatusBadRequest)
	wantStatus(t, remove("/api/users/2"), http.StatusOK)
}

func TestPathNumbersFollowFastAPI(t *testing.T) {
	t.Parallel()
	_, b := signedIn(t, Options{})
	for number, want := range map[string]int{
		"1": 200, "1.0": 200, "1.00": 200, "+1": 200, "%201": 200, "1%20": 200, "01": 200,
		"1.5": 422, "x": 422, "1x": 422, "2.0": 404,
	} {
		if got := b.get("/api/users/" + number).StatusCode; got != want {
			t.Errorf("GET /api/users/%s: status is %d, want %d", number, got, want)
		}
	}
}

func TestNginxRefusesLongHeaderLines(t *testing.T) {
	t.Parallel()
	_, b := signedIn(t, Options{})
	for name, test := range map[string]struct {
		target, cookie string
		want           int
	}{
		"two cookies below 16 KiB together": {"/api/heartbeat", "a=" + strings.Repeat("x", 8<<10) + "; b=" + strings.Repeat("x", 7<<10), 200},
		"Cookie over 16 KiB":                {"/api/heartbeat", "a=" + strings.Repeat("x", 16<<10), 400},
		"request line over 16 KiB":          {"/api/heartbeat?" + strings.Repeat("x", 16<<10), "a=b", 414},
		"page with a Cookie over 16 KiB":    {"/rom/1", "a=" + strings.Repeat("x", 16<<10), 400},
	} {
		answer := b.get(test.target, header{"Cookie": test.cookie})
		if answer.StatusCode != test.want || test.want != http.StatusOK && len(answer.cookies) != 0 {
			t.Errorf("%s: status is %d with cookies %v, want %d, and no cookies from nginx", name, answer.StatusCode, answer.cookies, test.want)
		}
	}
}

// Nothing in RomM bounds what users keep in their settings, or the number of
// folders in the library.
func TestAccountAndHeartbeatMayExceed64KiB(t *testing.T) {
	t.Parallel()
	_, b := signedIn(t, Options{PlatformFolders: 8000})
	if folders := decoded(t, b.get("/api/heartbeat"))["FILESYSTEM"].(map[string]any)["FS_PLATFORMS"].([]any); len(folders) != 8000 {
		t.Errorf("the heartbeat lists %d folders, want 8000", len(folders))
	}
	large := strings.Repeat("x", 100<<10)
	wantStatus(t, b.do(http.MethodPut, "/api/users/1", "ui_settings="+url.QueryEscape(`{"theme":"`+large+`"}`), header{
		"X-Csrftoken": b.cookies[csrfCookie], "Content-Type": "application/x-www-form-urlencoded",
	}), http.StatusOK)
	if settings, _ := b.me()["ui_settings"].(map[string]any); settings["theme"] != large {
		t.Errorf("ui_settings have %d bytes, want the 100 KiB stored", len(fmt.Sprint(settings["theme"])))
	}
}

func TestUserMembersByRelease(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][3]bool{
		"3.10.0": {}, "4.4.0": {true, false, false}, "4.9.0": {true, true, false}, "5.2.0": {true, true, true},
	} {
		_, b := signedIn(t, Options{Version: version})
		me := b.me()
		var got [3]bool
		_, got[0] = me["ra_username"]
		_, got[1] = me["current_device_id"]
		_, got[2] = me["permission_group_id"]
		if got != want {
			t.Errorf("RomM %s: ra_username, current_device_id, permission_group_id present: %v, want %v", version, got, want)
		}
	}
}

func TestContentSupportsRangeAndHEAD(t *testing.T) {
	t.Parallel()
	_, b := signedIn(t, Options{ContentSize: 100_000})
	whole, _ := io.ReadAll(Content(100_000))
	answer := b.get("/api/roms/1/content/demo.nes", header{"Range": "bytes=70000-70009"})
	wantStatus(t, answer, http.StatusPartialContent)
	if got := text(t, answer); got != string(whole[70000:70010]) || setCookie(answer, sessionCookie) == "" {
		t.Errorf("range is %x with session cookie %q, want %x and a cookie", got, setCookie(answer, sessionCookie), whole[70000:70010])
	}
	answer = b.do(http.MethodHead, "/api/roms/1/content/demo.nes", "")
	if answer.ContentLength != 100_000 || answer.Header.Get("Content-Disposition") != "attachment; filename=demo.nes" {
		t.Errorf("HEAD: Content-Length is %d and header %v, want 100000 and the file's name", answer.ContentLength, answer.Header)
	}
	wantStatus(t, b.get("/api/roms/9/content/demo.nes"), http.StatusNotFound)
}

func TestUploadedBytesAreCounted(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	b.do(http.MethodPut, "/api/roms/upload/1", strings.Repeat("x", 5000), header{"X-Csrftoken": b.cookies[csrfCookie]})
	if s.UploadedBytes() != 5000 {
		t.Errorf("%d bytes were uploaded, want 5000", s.UploadedBytes())
	}
}

func TestCORSReflectsAnyOrigin(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	answer := b.get("/api/users/me", header{"Origin": "https://evil.example"})
	if answer.Header.Get("Access-Control-Allow-Origin") != "https://evil.example" || answer.Header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("header is %v, want the Origin allowed with credentials", answer.Header)
	}
	answer = newBrowser(t, s).do(http.MethodOptions, "/api/feeds/webrcade", "", header{
		"Origin": "https://other.example", "Access-Control-Request-Method": "GET",
	})
	wantStatus(t, answer, http.StatusOK)
	if answer.Header.Get("Access-Control-Allow-Origin") != "https://other.example" {
		t.Errorf("preflight: header is %v, want the Origin allowed", answer.Header)
	}
}

// Before 5.1 the setting does not exist.
func TestCORSAllowsTheConfiguredOriginOnly(t *testing.T) {
	t.Parallel()
	for version, status := range map[string]int{"5.0.0": http.StatusOK, "5.1.0": http.StatusBadRequest} {
		b := newBrowser(t, New(Options{Version: version, CORSAllowedOrigins: []string{"https://romm.example"}}))
		for origin, want := range map[string]int{"https://romm.example": http.StatusOK, "https://evil.example": status} {
			answer := b.do(http.MethodOptions, "/api/roms", "", header{"Origin": origin, "Access-Control-Request-Method": "GET"})
			if allowed := answer.Header.Get("Access-Control-Allow-Origin") == origin; answer.StatusCode != want || allowed != (want == http.StatusOK) {
				t.Errorf("RomM %s, preflight of %s: %d, allowed: %v, want %d", version, origin, answer.StatusCode, allowed, want)
			}
		}
	}
}

func TestTokenEndpointGrants(t *testing.T) {
	t.Parallel()
	s, _ := signedIn(t, Options{DisableUserpassLogin: true})
	form := header{"Content-Type": "application/x-www-form-urlencoded"}
	b := newBrowser(t, s)
	wantStatus(t, b.do("POST", "/api/token", "grant_type=password&username=ada&password=x", form), http.StatusUnauthorized)
	wantStatus(t, b.do("POST", "/api/token", "grant_type=password&username=ada&password=secret&scope=nothing", form), http.StatusForbidden)
	got := decoded(t, b.do("POST", "/api/token", "grant_type=password&username=ada&password=secret&scope=me.read", form))
	access, _ := got["access_token"].(string)
	refresh, _ := got["refresh_token"].(string)
	wantStatus(t, b.get("/api/users/me", bearer(access)), http.StatusOK)
	wantStatus(t, b.do("POST", "/api/token", "grant_type=refresh_token&refresh_token="+refresh, form), http.StatusOK)
	wantStatus(t, b.do("POST", "/api/token", "grant_type=refresh_token&refresh_token="+refresh, form), http.StatusUnauthorized)
}

func TestPasswordResetNeedsTheCSRFPair(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	wantStatus(t, b.post("/api/forgot-password", `{"username":"ada"}`), http.StatusOK)
	body := `{"token":"` + s.ResetToken("ada") + `","new_password":"better"}`
	wantStatus(t, newBrowser(t, s).do("POST", "/api/reset-password", body, csrfHeaderOnly(t, s)), http.StatusForbidden)
	wantStatus(t, b.post("/api/reset-password", body), http.StatusOK)
	b.cookies = map[string]string{}
	wantStatus(t, b.post("/api/login", "", basic("ada", "better")), http.StatusOK)
}

// csrfHeaderOnly returns a CSRF header without the cookie that belongs to it.
func csrfHeaderOnly(t *testing.T, s *Server) header {
	t.Helper()
	b := newBrowser(t, s)
	b.get("/api/heartbeat")
	return header{"X-Csrftoken": b.cookies[csrfCookie]}
}

func TestPageHeadersByReleaseAndPath(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, target, reacts, cache, coep string
	}{
		{"5.2.0", "/", "401", "no-cache", ""},
		{"5.1.0", "/rom/1", "403", "no-cache", ""},
		{"4.8.0", "/rom/1/ejs", "403", "", "require-corp"},
		{"5.2.0", "/rom/1/ejs", "401", "no-cache", "require-corp"},
		{"5.2.0", "/rom/1/ejs?x=1", "401", "no-cache", ""},
		{"5.2.0", "/rom/1/ejs/", "401", "no-cache", ""},
		{"5.2.0", "/console/rom/1/play", "401", "no-cache", "require-corp"},
	} {
		answer := newBrowser(t, New(Options{Version: test.version})).get(test.target)
		wantStatus(t, answer, http.StatusOK)
		page, _ := io.ReadAll(answer.Body)
		if !bytes.Contains(page, []byte(`data-reacts-to="`+test.reacts+`"`)) {
			t.Errorf("RomM %s, %s: the page lacks data-reacts-to=%q", test.version, test.target, test.reacts)
		}
		if answer.Header.Get("Cache-Control") != test.cache || answer.Header.Get("Cross-Origin-Embedder-Policy") != test.coep {
			t.Errorf("RomM %s, %s: header is %v, want Cache-Control %q and Cross-Origin-Embedder-Policy %q", test.version, test.target, answer.Header, test.cache, test.coep)
		}
	}
	answer := newBrowser(t, New(Options{})).get("/assets/romm/resources/x.png")
	if !strings.Contains(answer.Header.Get("Cache-Control"), "public") || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("asset: header is %v, want public caching for any origin", answer.Header)
	}
}
