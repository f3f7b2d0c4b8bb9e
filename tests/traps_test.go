// The known traps of a gate in front of RomM, and the tests that show that ours avoids them.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// trap is a known way in which a gate in front of RomM can fail. Either tests
// show that ours does not, or a sentence of README.md tells the operator what
// to do, or never says why it cannot happen here.
type trap struct {
	text   string
	tests  string
	readme string
	never  string
}

// traps are numbered from 1.
var traps = [...]trap{
	1:  {text: "a denied heartbeat is asked again without end", tests: "TestEnrollingAHandheld TestVersions TestRefusedBrokeringLeavesOpenPathsOpen"},
	2:  {text: "a script is redirected to the provider", tests: "TestAnonymous TestVersions"},
	3:  {text: "a denial with the status of another RomM", tests: "TestDeniedStatusFollowsTheVersion TestVersions"},
	4:  {text: "a bearer that RomM cannot read is a 500 everywhere", tests: "TestEnrollingAHandheld TestAccess"},
	5:  {text: "the browser's romm_session wins over the stamp", tests: "TestForwardCookies TestStampCannotBeReplacedOnTheWire"},
	6:  {text: "the browser's Authorization switches RomM's CSRF check off", tests: "TestCSRFProtectedWrite TestSignedInIsStamped"},
	7:  {text: "a bearer opens no socket", tests: "TestScanOverTheSocket TestVersions"},
	8:  {text: "a bearer leaves the gate as the only defence against other sites", tests: "TestCrossOrigin TestForeignOriginIsRefused", never: "nothing is stamped as a bearer"},
	9:  {text: "RomM's CORS takes any origin with credentials", tests: "TestFilter TestForeignOriginIsRefused TestForeignSockets"},
	10: {text: "romm_session goes to the browser, or into a cache", tests: "TestSignIn TestFilter TestVersions"},
	11: {text: "the CSRF cookie is stripped, or ours reaches RomM", tests: "TestForwardCookies TestCSRFProtectedWrite TestSignIn"},
	12: {text: "a CSRF token from before the sign-in or of another user", tests: "TestVersions"},
	13: {text: "paths that are compared as they came", tests: "TestNormalPath TestAttackCrookedPaths TestAnonymousEndpointsStayShutOnTheWire"},
	14: {text: "the gate's own calls go through the gate", tests: "TestBrokerOnTheWire TestBehindOtherDirectives"},
	15: {text: "two sign-ins in one RomM session", tests: "TestBrokerOnTheWire TestBrokeringIsSingleFlight"},
	16: {text: "a cookie on the first call, or a jar that users share", tests: "TestBrokerOnTheWire TestTwoUsersAreNeverCrossed TestCallCarriesTheVisitorNotTheirCredentials"},
	17: {text: "RomM's redirects are followed", tests: "TestBrokerOnTheWire"},
	18: {text: "RomM's provider redirects, or is slow, or behind the gate", tests: "TestInsideAnswersOnlyTheProvider TestEndpointsHardlyWaitForStorage TestExample"},
	19: {text: "RomM's container asks through a proxy", readme: "If RomM's container has `HTTP_PROXY` set, name Caddy in its `NO_PROXY`."},
	20: {text: "Basic credentials are form-decoded", tests: "TestClientAuthentication"},
	21: {text: "another key under the same kid", tests: "TestKeysSurviveARestart TestRotationOverlaps TestNodesThatStartTogetherAgree"},
	22: {text: "RomM keeps the provider's metadata for its life", tests: "TestIssuerIsWhatRomMDialed", readme: "RomM reads these settings and the gate's metadata once: restart RomM after every change to them."},
	23: {text: "metadata with keys that RomM's client library trips over", tests: "TestMetadataWire"},
	24: {text: "ID tokens without what RomM needs", tests: "TestTokenWire TestOptionalClaims TestCodeNeedsWhatRomMNeeds"},
	25: {text: "roles as a string, or the provider's groups", tests: "TestTokenWire TestOptionalClaims"},
	26: {text: "the last administrator is demoted, and an anonymous request makes another", tests: "TestRefusalsOfRomM TestVersions TestFirstAdministrator TestAnonymousEndpointsStayShut TestGuardDecidesForTheSignedIn"},
	27: {text: "a sign-in without roles demotes, before 4.8", tests: "TestNoSignInDemotesAnAdministrator TestRefusalsOfRomM"},
	28: {text: "the e-mail address is the identity", tests: "TestChangedEmailKeepsTheAccount TestSomebodyElsesEmailTakesNothingOver"},
	29: {text: "a new account whose name is taken", tests: "TestRefusalsOfRomM"},
	30: {text: "calls without the user's address and browser", tests: "TestBrokerOnTheWire TestVersions"},
	31: {text: "a 401 of RomM's is taken for the end of its session", tests: "TestWrongPasswordEndsNoSession"},
	32: {text: "a 200 of a kiosk is taken for a session", tests: "TestKioskHidesNoEnd"},
	33: {text: "RomM's sign-out: a late answer revives the session, sockets stay", tests: "TestLateAnswerRevivesNothing TestSignOutClosesTheSocket TestPolling"},
	34: {text: "RomM's page signs in again after a sign-out", tests: "TestSignOut TestNoSignInByItselfAfterSignOut TestVersions"},
	35: {text: "a user refused by RomM is redirected in a loop", tests: "TestRefusedBrokeringEndsOnAPage TestRefusedSignInDoesNotLoop TestVersions"},
	36: {text: "each of many requests signs in again", tests: "TestBrokeringIsSingleFlight TestRomMRestart"},
	37: {text: "DISABLE_USERPASS_LOGIN leaves passwords open", tests: "TestAnonymousEndpointsStayShut TestAnonymousEndpointsStayShutOnTheWire TestVersions"},
	38: {text: "covers are public, or closed to apps that need them", tests: "TestAccess TestAnonymousEndpointsStayShutOnTheWire"},
	39: {text: "a handheld cannot be enrolled", tests: "TestEnrollingAHandheld TestVersions"},
	40: {text: "any token that begins with rmm_ passes", tests: "TestAccess TestAnonymousEndpointsStayShut"},
	41: {text: "a denial makes the browser ask for a password", tests: "TestAnonymous"},
	42: {text: "the way back loses its query, or gains one", tests: "TestSignIn TestVersions TestReturnToIsKept"},
	43: {text: "open redirects", tests: "TestSignInWhileSignedIn TestLocalPath TestSignInTarget"},
	44: {text: "a spent state is a dead end", tests: "TestVersions TestDoubleClick TestAttackCrookedCallback"},
	45: {text: "a browser shows its page without asking", tests: "TestFilter TestVersions"},
	46: {text: "bodies are buffered, or a writer hides what lies below", tests: "TestStreams TestUploadIsNotBuffered TestBigDownload TestSendfileReachesTheServer TestReadFromPassesThrough TestScanOverTheSocket"},
	47: {text: "RomM's ports are reachable", readme: "RomM's port must be reachable from Caddy only."},
	48: {text: "a Strict cookie is not there on the way back", tests: "TestLoginCookieComesBack TestTicketCookie"},
	49: {text: "RomM's secret key is unset, padded, or read as hex", never: "the gate does not know the key"},
	50: {text: "a stamp for a user that a fresh RomM does not have", tests: "TestFirstAdministrator", never: "a session is RomM's own answer to a sign-in"},
	51: {text: "an account made by a sign-in has no password", readme: "An account that RomM created at a sign-in has no password. For apps and scripts, its user creates a token in RomM."},
	52: {text: "consoles that know plain http or old TLS only", readme: "A console that supports only plain HTTP or old TLS cannot use this site."},
}

// Each trap names existing tests, a sentence of README.md, or a reason.
func TestTraps(t *testing.T) {
	document := manual(t)
	readme, sources := strings.Join(strings.Fields(document), " "), testSources(t)
	if len(traps) != 1+52 {
		t.Errorf("there are %d traps, want 52", len(traps)-1)
	}
	for number, trap := range traps[1:] {
		if trap.tests == "" && trap.readme == "" && trap.never == "" {
			t.Errorf("trap %d, %s: has neither tests nor a sentence of README.md nor a reason", number+1, trap.text)
		}
		for name := range strings.FieldsSeq(trap.tests) {
			if !strings.Contains(sources, "func "+name+"(") {
				t.Errorf("trap %d, %s: the test %s does not exist", number+1, trap.text, name)
			}
		}
		if !strings.Contains(readme, trap.readme) {
			t.Errorf("trap %d, %s: README.md does not say %q", number+1, trap.text, trap.readme)
		}
	}
}

// A sign-in makes two calls to RomM on the user's behalf: the first without a
// cookie, the second with the cookie that the first answer set. Neither
// follows a redirect.
func TestBrokerOnTheWire(t *testing.T) {
	const agent = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0"
	s := start(t, options{directive: rolesByMail})
	s.as("alice") // the first sign-in makes alice an administrator, which takes a second round
	b := s.browser()
	callback := b.callback("/rom/7", "bob")
	s.romm.ForgetRequests()
	b.do(callback, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "User-Agent", agent, "Cookie", "romm_session=stolen; a=1", "Authorization", "Bearer x")
	seen := s.romm.Requests()
	paths := make([]string, 0, len(seen))
	for _, r := range seen {
		paths = append(paths, r.Method+" "+r.Path)
		if r.Host != publicHost || r.Header.Get("User-Agent") != agent || r.Header.Get("X-Forwarded-For") != "127.0.0.1" ||
			r.Header.Get("X-Forwarded-Proto") != "https" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s went to %s, want the public host and the user's address and browser without credentials; header: %v", r.Method, r.Path, r.Host, r.Header)
		}
		switch cookie := r.Header.Get("Cookie"); r.Path {
		case "/api/heartbeat", "/api/login/openid":
			if cookie != "" {
				t.Errorf("%s carries the cookie %q, want none", r.Path, cookie)
			}
		default:
			if !strings.HasPrefix(cookie, "romm_session=") || strings.ContainsAny(cookie, "; ,") || strings.Contains(cookie, "stolen") {
				t.Errorf("%s carries the cookie %q, want RomM's session alone", r.Path, cookie)
			}
		}
	}
	if got := strings.Join(paths, ", "); got != "GET /api/heartbeat, GET /api/login/openid, GET /api/oauth/openid, GET /api/users/me" {
		t.Errorf("RomM got %s, want the heartbeat, the login, the callback and the account", got)
	}
}

// RomM's 401 to a wrong password does not mean that the session has ended.
func TestWrongPasswordEndsNoSession(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	s.romm.ForgetRequests()
	if answer := b.fetch("POST /api/login", b.csrf()...); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("RomM's own login answered %d, want 401: %s", answer.StatusCode, answer.body)
	}
	b.wantUser("alice")
	if _, again := s.romm.LastRequest("/api/login/openid"); again {
		t.Error("the gate signed in to RomM again, want the session kept")
	}
}

// In kiosk mode RomM serves anonymous requests, so only its cookie shows that
// it lost the session. The user stays signed in.
func TestKioskHidesNoEnd(t *testing.T) {
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) { o.Kiosk = true }})
	b := s.as("alice")
	s.romm.DropSessions()
	b.wantUser("alice")
	if answer := s.browser().fetch("/api/users/me"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("an anonymous request to the kiosk answered %d, want 401: %s", answer.StatusCode, answer.body)
	}
}

// The provider is another site: the browser must send the login cookie back
// with the navigation from there, and with nothing else.
func TestLoginCookieComesBack(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	cookies := s.browser().open("/rom/7").Cookies()
	if len(cookies) != 1 {
		t.Errorf("the redirect sets %d cookies, want 1", len(cookies))
	}
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, ticketName+"_") || c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || !c.Secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("the login cookie is %v, want __Host-, Lax, HttpOnly, Secure and no domain", c)
		}
	}
}
