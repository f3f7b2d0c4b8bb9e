// Tests of the differences between RomM's releases.

package romm

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// column describes one release, with a field for each row of RomM's version
// matrix.
type column struct {
	sameSite     string // with OpenID Connect
	redis        bool
	maxAge       bool // SESSION_MAX_AGE_SECONDS is honored
	denied       int
	expires      bool // bearer exp
	clientTokens bool
	deviceAuth   bool
	csrfBound    bool
	csrfRenewed  bool
	socketOwner  bool
	netplay      bool
	webDevice    bool
	roles        string // of an account that OpenID Connect creates without a claim
	scopes       int    // of an administrator
	claimRoles   bool
	absentClaim  string // the role of an administrator after a login without the claim
	usernameAttr bool
	autologin    bool
	metadataURL  bool
	endSession   bool
	registration bool // OIDC_ALLOW_REGISTRATION=false is honored
	secure       bool
	noCache      bool
	proto        bool
	queryUsers   bool
	feeds        string
}

var matrix = map[string]column{
	"3.10.0": {
		sameSite: "strict", denied: 403, roles: "viewer", scopes: 17, absentClaim: "admin", queryUsers: true, feeds: "/api/tinfoil/feed",
	},
	"4.4.0": {
		sameSite: "lax", maxAge: true, denied: 403, roles: "viewer", scopes: 17, claimRoles: true, absentClaim: "viewer",
		proto: true, feeds: "/api/feeds/tinfoil",
	},
	"4.8.0": {
		sameSite: "lax", redis: true, maxAge: true, denied: 403, expires: true, clientTokens: true, csrfBound: true, netplay: true,
		roles: "viewer", scopes: 19, claimRoles: true, absentClaim: "admin", usernameAttr: true, autologin: true,
		metadataURL: true, endSession: true, proto: true, feeds: "/api/feeds/tinfoil",
	},
	"5.0.0": {
		sameSite: "lax", redis: true, maxAge: true, denied: 403, expires: true, clientTokens: true, deviceAuth: true,
		csrfBound: true, csrfRenewed: true, socketOwner: true, netplay: true, webDevice: true, roles: "user", scopes: 20,
		claimRoles: true, absentClaim: "admin", usernameAttr: true, autologin: true, metadataURL: true, endSession: true,
		registration: true, proto: true, feeds: "/api/feeds/tinfoil",
	},
	"5.1.0": {
		sameSite: "lax", redis: true, maxAge: true, denied: 403, expires: true, clientTokens: true, deviceAuth: true,
		csrfBound: true, csrfRenewed: true, socketOwner: true, netplay: true, webDevice: true, roles: "user", scopes: 22,
		claimRoles: true, absentClaim: "admin", usernameAttr: true, autologin: true, metadataURL: true, endSession: true,
		registration: true, secure: true, noCache: true, proto: true, feeds: "/api/feeds/tinfoil",
	},
	"5.2.0": {
		sameSite: "lax", redis: true, maxAge: true, denied: 401, expires: true, clientTokens: true, deviceAuth: true,
		csrfBound: true, csrfRenewed: true, socketOwner: true, netplay: true, webDevice: true, roles: "user", scopes: 22,
		claimRoles: true, absentClaim: "admin", usernameAttr: true, autologin: true, metadataURL: true, endSession: true,
		registration: true, secure: true, noCache: true, proto: true, feeds: "/api/feeds/tinfoil",
	},
}

// TestVersionMatrix checks every row for each release, on the wire.
func TestVersionMatrix(t *testing.T) {
	t.Parallel()
	for version, want := range matrix {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := newOP(t)
			p.claims["picture_name"] = "Kimberly"
			off := false
			options := p.options(version)
			options.SecureCookies = true
			options.SessionMaxAge = time.Hour
			options.OIDC.UsernameAttribute = "picture_name"
			options.OIDC.Autologin = true
			options.OIDC.RPInitiatedLogout = true
			options.OIDC.AllowRegistration = &off
			options.OIDC.MetadataURL = p.URL + "/.well-known/openid-configuration"
			options.OIDC.ServerURL = p.URL + "/"
			s := New(options)
			kim := s.AddUser(User{Username: "kim", Email: "kim@example.com", Role: "admin"})
			b := newBrowser(t, s)
			got := column{sameSite: "strict", absentClaim: "admin"}

			got.denied = newBrowser(t, s).get("/api/users/me").StatusCode
			answer := b.signIn(p)
			wantStatus(t, answer, http.StatusTemporaryRedirect)
			line := setCookie(answer, sessionCookie)
			if strings.Contains(line, "samesite=lax") {
				got.sameSite = "lax"
			}
			got.redis = s.Sessions() == 1
			got.maxAge = strings.Contains(line, "Max-Age=3600")
			got.secure = strings.Contains(line, "; secure")
			delete(b.cookies, csrfCookie) // from before the sign-in
			user, _ := s.User("kim")
			got.absentClaim = user.Role
			s.SetRole("kim", "admin")
			me := b.me()
			got.scopes = len(me["oauth_scopes"].([]any))
			got.webDevice = me["current_device_id"] != nil
			_, got.endSession = decoded(t, b.get("/api/heartbeat"))["OIDC"].(map[string]any)["RP_INITIATED_LOGOUT"]
			_, got.autologin = decoded(t, b.get("/api/heartbeat"))["OIDC"].(map[string]any)["AUTOLOGIN"]

			token := s.NewClientToken("kim", "me.read")
			got.clientTokens = newBrowser(t, s).get("/api/users/me", bearer(token)).StatusCode == http.StatusOK
			expired := s.sign(map[string]any{"iss": tokenIssuer, "sub": "kim", "type": "access", "scopes": "me.read", "exp": 1})
			got.expires = newBrowser(t, s).get("/api/users/me", bearer(expired)).StatusCode == http.StatusInternalServerError
			got.deviceAuth = newBrowser(t, s).post("/api/auth/device/init", `{"name":"x","requested_scopes":["me.read"]}`).StatusCode == http.StatusCreated

			before := newBrowser(t, s) // has a CSRF token from before its sign-in
			before.get("/api/heartbeat")
			before.signIn(p)
			before.get("/api/heartbeat")
			saved := before.post("/api/saves", "x").StatusCode == http.StatusOK
			opened, _ := (&exchange{Server: s}).openCSRF(b.cookies[csrfCookie])
			got.csrfBound = opened.UserID != nil && *opened.UserID == kim.ID
			got.csrfRenewed = got.csrfBound && saved

			got.socketOwner = s.socketUser(request(b), mainSockets) == "kim"
			answer = b.get("/netplay/socket.io/?EIO=4&transport=polling")
			got.netplay = answer.StatusCode == http.StatusOK

			answer = b.get("/")
			got.noCache = answer.Header.Get("Cache-Control") == "no-cache"
			for _, feed := range []string{"/api/tinfoil/feed", "/api/feeds/tinfoil"} {
				if answer = b.get(feed, header{"X-Forwarded-Proto": "https"}); answer.StatusCode == http.StatusOK {
					got.feeds = feed
					got.proto = strings.Contains(text(t, answer), `"https://`)
				}
			}
			answer = b.post("/api/users?username=joe1&password=p&role=viewer", `{"username":"joe2","password":"p","role":"viewer"}`)
			wantStatus(t, answer, http.StatusCreated)
			_, got.queryUsers = s.User("joe1")

			// A new user without a roles claim.
			p.claims["email"], p.claims["preferred_username"], p.claims["picture_name"] = "new@example.com", "newcomer", "newly"
			newcomer := newBrowser(t, s)
			got.registration = newcomer.signIn(p).StatusCode == http.StatusForbidden
			on := true
			options.OIDC.AllowRegistration = &on
			open := New(options)
			newBrowser(t, open).signIn(p)
			created := open.Users()[0]
			got.roles, got.usernameAttr = created.Role, created.Username == "newly"

			// A new user with a roles claim.
			p.claims["romm_roles"], p.claims["email"], p.claims["picture_name"] = []string{"admin"}, "chief@example.com", "chief"
			p.claims["preferred_username"] = "chief"
			newBrowser(t, open).signIn(p)
			chief, _ := open.User("chief")
			got.claimRoles = chief.Role == "admin"

			options.OIDC.ServerURL = "http://127.0.0.1:1"
			got.metadataURL = newBrowser(t, New(options)).get("/api/login/openid").StatusCode == http.StatusFound
			if got != want {
				t.Errorf("RomM is  %+v\nwant     %+v", got, want)
			}
		})
	}
}

// request returns a socket handshake with the browser's cookies.
func request(b *browser) *http.Request {
	r := &http.Request{Header: http.Header{}}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// An upgraded RomM keeps its accounts and sessions and behaves like the new
// release.
func TestUpgradeKeepsSessions(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{Version: "5.1.0"})
	s.Down()
	s.Upgrade("5.2.0")
	s.Up()
	wantStatus(t, b.get("/api/users/me"), http.StatusOK)
	wantStatus(t, newBrowser(t, s).get("/api/users/me"), http.StatusUnauthorized)
}

// Up to 4.4.0 every Authorization header turns the CSRF check off, from 4.4.1
// only the schemes Bearer and Basic do.
func TestAuthorizationTurnsTheCSRFCheckOff(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"3.10.0": 200, "4.4.0": 200, "4.4.1": 403, "5.2.0": 403} {
		_, b := signedIn(t, Options{Version: version})
		answer := b.do(http.MethodPost, "/api/logout", "", header{"Authorization": "x y"})
		if answer.StatusCode != want {
			t.Errorf("RomM %s: status is %d, want %d", version, answer.StatusCode, want)
		}
	}
}

// After 5.2 an Authorization header does not turn the check off for requests with
// a session.
func TestAuthorizationBesideASessionKeepsTheCSRFCheck(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"5.2.0": 200, "5.3.0": 403} {
		_, b := signedIn(t, Options{Version: version})
		answer := b.do(http.MethodPost, "/api/logout", "", header{"Authorization": "Basic Og=="})
		if answer.StatusCode != want {
			t.Errorf("RomM %s: status is %d, want %d", version, answer.StatusCode, want)
		}
	}
}

// The manifest and the icons are files beside the page.
func TestBrandFilesAreServed(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, New(Options{}))
	for path, kind := range brandFiles {
		if answer := b.get(path); answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != kind {
			t.Errorf("%s: response is %d %s, want 200 %s", path, answer.StatusCode, answer.Header.Get("Content-Type"), kind)
		}
	}
}
