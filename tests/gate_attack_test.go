// Attacks on the gate over HTTP: smuggled header fields, login CSRF, a misbehaving provider, made-
// up codes.

package tests

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// raw sends lines over HTTP/1.1 as they are, and returns the status.
func (s *stack) raw(lines ...string) int {
	s.t.Helper()
	conn, err := tls.Dial("tcp", "127.0.0.1:9443", &tls.Config{InsecureSkipVerify: true, ServerName: "romm.example.com", NextProtos: []string{"http/1.1"}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n\r\n", strings.Join(lines, "\r\n"))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("reading the answer to %q: %v", lines[0], err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// The gate refuses anonymous requests to the endpoints that RomM leaves open,
// in any spelling of the path, and also with an invalid client token.
func TestAnonymousEndpointsStayShutOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	for _, path := range []string{
		"POST /api/users", "POST /api/users/", "POST //api/users", "POST /api//users", "POST /api/./users", "POST /api/x/../users",
		"POST /api/%75sers", "POST /api%2fusers", "POST /api%5cusers", "POST /api/users%2f", "POST /api/users;x", "POST /api/users?x=/api/heartbeat",
		"POST /api/heartbeat/../users", "POST /api/heartbeat%2f..%2fusers", "POST /api/heartbeat%2f%2e%2e%2fusers", "POST /api/client-tokens/exchange/../../users",
		"POST /api/auth/device/init%2f..%2f..%2f..%2fusers", "GET /api/heartbeat/..;/roms", "GET /api/heartbeat%23/../roms", "GET /api/heartbeat%3f/../roms",
		"GET /api/setup/library", "POST /api/setup/platforms", "POST /api/users/invite-link", "POST /api/users/register", "POST /api/login",
		"POST /api/token", "POST /api/forgot-password", "POST /api/reset-password", "GET /api/stats", "GET /api/config", "GET /api/feeds/tinfoil",
		"GET /api/feeds/tinfoil/", "GET /openapi.json", "GET /api/docs", "GET /api/redoc", "GET /assets/romm/resources/roms/1/cover.png",
		"GET /ws/socket.io/?EIO=4&transport=polling", "GET /netplay/socket.io/?EIO=4&transport=polling", "GET /api/heartbeat/metadata/igdb",
		"GET /API/heartbeat", "GET /api/heartbeat%00", "GET /api/heartbeat%0a", "PUT /api/heartbeat", "GET /api/roms/1/content/demo.nes",
	} {
		for _, authorization := range []string{"", "Authorization: Bearer rmm_" + strings.Repeat("0", 64)} {
			lines := []string{path + " HTTP/1.1", "Host: romm.example.com:9443", "Content-Length: 0"}
			if authorization != "" {
				lines = append(lines, authorization)
			}
			if status := s.raw(lines...); status/100 != 4 {
				t.Errorf("%s (%s) answered %d, want 4xx", path, authorization, status)
			}
		}
	}
	for _, r := range s.romm.Requests() {
		if r.Method != http.MethodGet || r.Path != "/api/heartbeat" && r.Path != "/api/users/me" { // the version, and the token's owner
			t.Errorf("RomM got %s %s, want only the gate's own requests", r.Method, r.Path)
		}
	}
}

// CVE-2024-45410 and similar attacks, on the wire: a client cannot remove the
// gate's header fields by naming them in Connection, and the identity and
// session header fields that it sends do not reach RomM.
func TestStampCannotBeReplacedOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "identity_headers\n"})
	b := s.as("alice")
	cookie := ticketName + "=" + b.ticket()
	for name, fields := range map[string][]string{
		"Connection names the gate's fields":   {"Cookie: " + cookie, "Connection: Cookie, Remote-User, X-Forwarded-For"},
		"Connection in other spellings":        {"Cookie: " + cookie, "Connection: cOOKIE", "Connection: remote-user, close"},
		"Connection: Upgrade, Cookie":          {"Cookie: " + cookie, "Connection: Upgrade, Cookie", "Upgrade: websocket"},
		"romm_session before the ticket":       {"Cookie: romm_session=evil; " + cookie},
		"romm_session after the ticket":        {"Cookie: " + cookie + "; romm_session=evil"},
		"romm_session in a second Cookie line": {"Cookie: " + cookie, "Cookie: romm_session=evil"},
		"romm_session after a comma":           {"Cookie: " + cookie + "; a=b,romm_session=evil"},
		"romm_session in a quoted value":       {"Cookie: " + cookie + `; a="b; romm_session=evil"`},
		"romm_session after a no-break space":  {"Cookie: " + cookie + "; \xa0romm_session=evil"},
		"credentials":                          {"Cookie: " + cookie, "Authorization: Basic cm9vdDpyb290", "Proxy-Authorization: Basic x"},
		"identity fields":                      {"Cookie: " + cookie, "Remote-User: root", "Remote_User: root", "remote.user: root", "X-Forwarded-User: root", "X_Forwarded_Email: root"},
		"an identity field as a trailer":       {"Cookie: " + cookie, "TE: trailers", "Trailer: Remote-User"},
	} {
		s.romm.ForgetRequests()
		lines := append([]string{"GET /api/users/me HTTP/1.1", "Host: romm.example.com:9443"}, fields...)
		if status := s.raw(lines...); status != http.StatusOK {
			t.Errorf("%s: status %d, want 200", name, status)
		}
		request, _ := s.romm.LastRequest("/api/users/me")
		got := strings.Join(request.Header["Cookie"], "\n")
		if request.User != "alice" || strings.Count(got, "romm_session=") != 1 || strings.Contains(got, "evil") || strings.Contains(got, "romm_oidc") {
			t.Errorf("%s: RomM got the cookies %q as the user %q, want alice's romm_session alone", name, got, request.User)
		}
		for field, values := range request.Header {
			if value := strings.Join(values, ""); strings.Contains(value, "root") || field == "Authorization" || field == "Proxy-Authorization" {
				t.Errorf("%s: RomM got the client's %s: %s", name, field, value)
			}
		}
		if request.Header.Get("Remote-User") != "alice" {
			t.Errorf("%s: RomM got Remote-User %q, want alice", name, request.Header.Get("Remote-User"))
		}
	}
}

// On any host or scheme except the public one, only RomM's requests to the
// provider are answered.
func TestInsideAnswersOnlyTheProvider(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	s.romm.ForgetRequests()
	cookie := ticketName + "=" + b.ticket() + "; romm_oidc=" + b.ticket()
	stranger := s.browser()
	for _, path := range []string{"/", "/api/heartbeat", "/api/users/me", base, base + "/login", base + "/logout", base + "/signed-out", base + "/x"} {
		for _, host := range []string{"127.0.0.1:9081", "romm.example.com:9443", "romm.example.com", "evil.com"} {
			answer := stranger.do(inside+path, "Cookie", cookie, "Host", host, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "romm.example.com:9443")
			if answer.StatusCode != http.StatusMisdirectedRequest && answer.StatusCode != http.StatusOK || answer.StatusCode == http.StatusOK && answer.body != "" {
				t.Errorf("%s at %s answered %d, want 421 or no content: %s", path, host, answer.StatusCode, answer.body)
			}
		}
	}
	if passed := s.romm.Requests(); len(passed) != 0 {
		t.Errorf("RomM got %v, want no request", passed)
	}
	if answer := stranger.do(inside + base + "/.well-known/openid-configuration"); answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, `"issuer":"`+inside+base+`"`) {
		t.Errorf("the provider's metadata answered %d, want 200 with the inside address as the issuer: %s", answer.StatusCode, answer.body)
	}
	if answer := stranger.do("POST "+inside+base+"/token", "Content-Type", "application/x-www-form-urlencoded"); answer.StatusCode/100 != 4 {
		t.Errorf("the token endpoint without a client secret answered %d, want 4xx", answer.StatusCode)
	}
}

// Login CSRF: the attacker's callback URL, opened in the victim's browser,
// does not sign the victim in as the attacker.
func TestLoginCSRF(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	attacks := s.browser().callback("/", "bob")
	victim := s.browser()
	answer := victim.open(attacks)
	if answer.StatusCode != http.StatusFound || !strings.HasPrefix(answer.Header.Get("Location"), issuer) || strings.Contains(strings.Join(answer.Header["Set-Cookie"], ""), ticketName+"=") {
		t.Errorf("the attacker's callback answered %d, want a redirect to Authelia that sets no ticket; header: %v", answer.StatusCode, answer.Header)
	}
	// A second callback without a cookie ends on a page, not in a redirect
	// loop.
	location, _ := url.Parse(answer.Header.Get("Location"))
	blocked := s.browser()
	s.problem(blocked.open(public+base+"?code=x&state="+location.Query().Get("state")), http.StatusBadRequest, "cookies_missing")
}

// After a double click the code is redeemed once, and both clicks end signed
// in.
func TestDoubleClick(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.browser()
	callback := b.callback("/rom/7", "alice")
	before := s.authelia.Calls(authelia.EndpointToken)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if answer := b.open(callback); answer.StatusCode != http.StatusSeeOther {
				t.Errorf("a click on the callback answered %d, want 303: %s", answer.StatusCode, answer.body)
			}
		})
	}
	wg.Wait()
	if sent := s.authelia.Calls(authelia.EndpointToken) - before; sent != 1 {
		t.Errorf("Authelia got %d token requests, want 1", sent)
	}
	if answer := b.open(callback); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/" {
		t.Errorf("the callback, opened with the Back button, answered %d to %q, want 303 to /", answer.StatusCode, answer.Header.Get("Location"))
	}
	if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
		t.Errorf("/api/users/me after the double click answered %d, want 200", me.StatusCode)
	}
}

// A provider response that does not verify ends on an error page, and creates
// no session.
func TestMisbehavingProvider(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	for name, c := range map[string]struct {
		misbehave func(*authelia.Misbehaviour)
		code      string
	}{
		"wrong nonce":                   {func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("nonce", "other") }, "id_token_invalid"},
		"wrong audience":                {func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("aud", []string{"other"}) }, "id_token_invalid"},
		"wrong issuer":                  {func(m *authelia.Misbehaviour) { m.IDToken = authelia.Set("iss", "https://evil.com") }, "id_token_invalid"},
		"no subject":                    {func(m *authelia.Misbehaviour) { m.IDToken = authelia.Without("sub") }, "id_token_invalid"},
		"alg none":                      {func(m *authelia.Misbehaviour) { m.Signature = authelia.SignedNone }, "id_token_invalid"},
		"signed with the client secret": {func(m *authelia.Misbehaviour) { m.Signature = authelia.SignedWithClientSecret }, "id_token_invalid"},
		"signed with a foreign key":     {func(m *authelia.Misbehaviour) { m.Signature = authelia.SignedByForeignKey }, "id_token_invalid"},
		"userinfo of another subject": {func(m *authelia.Misbehaviour) {
			m.Userinfo = func(c map[string]any) any { c["sub"] = "other"; return c }
		}, "userinfo_invalid"},
		"e-mail address not verified": {func(m *authelia.Misbehaviour) {
			m.Userinfo = func(c map[string]any) any { c["email_verified"] = "true"; return c }
		}, "email_unverified"},
		"e-mail address with letters that fold": {func(m *authelia.Misbehaviour) {
			m.Userinfo = func(c map[string]any) any { c["email"] = "bo\u017fs@example.com"; return c }
		}, "email_not_ascii"},
		"response of another issuer": {func(m *authelia.Misbehaviour) {
			m.AuthorizationResponse = func(q url.Values) { q.Set("iss", "https://evil.com") }
		}, "response_invalid"},
		"response without an issuer": {func(m *authelia.Misbehaviour) { m.AuthorizationResponse = func(q url.Values) { q.Del("iss") } }, "response_invalid"},
		"token endpoint answers 500": {func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointToken, authelia.Fault{Status: 500}) }, "provider_unavailable"},
	} {
		s.authelia.Behave()
		s.authelia.Misbehave(c.misbehave)
		b := s.browser()
		answer := b.signIn("/rom/7", "alice")
		if !strings.Contains(answer.body, c.code+" · reference") {
			t.Errorf("%s: the callback answered %d, want the page %s: %s", name, answer.StatusCode, c.code, answer.body)
		}
		if me := b.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
			t.Errorf("%s: the sign-in made a session, want none", name)
		}
	}
}

// A page on a sibling subdomain, to which the browser sends the ticket, cannot
// show RomM in a frame and trick the user into clicking there.
func TestForeignFrameOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	frame := func(from string) response {
		return alice.do("/", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Accept", "text/html", "Sec-Fetch-Site", from)
	}
	if answer := frame("same-site"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("RomM in a frame of a sibling subdomain answered %d, want 403", answer.StatusCode)
	}
	for name, answer := range map[string]response{"in our own frame": frame("same-origin"), "without Fetch Metadata": alice.do("/", "Accept", "text/html")} {
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Security-Policy") != "frame-ancestors 'self'" {
			t.Errorf("%s: status %d, want 200 with frame-ancestors 'self'; header: %v", name, answer.StatusCode, answer.Header)
		}
	}
}

// If the gate forwarded every made-up code, Authelia's rate limit would refuse
// all of its token requests. Alice, at another address, can still sign in.
func TestMadeUpCodesOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail, global: "servers {\n trusted_proxies static 127.0.0.1/32\n}"})
	for range 40 {
		b := s.browser()
		fields := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "https"}
		location, err := url.Parse(b.do("/", fields...).Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		response := url.Values{"state": {location.Query().Get("state")}, "code": {"authelia_ac_made.up"}, "iss": {issuer}}
		answer := b.do(base+"?"+response.Encode(), fields...)
		if answer.StatusCode == http.StatusSeeOther {
			answer = b.do(answer.Header.Get("Location"), fields...)
		}
		if answer.StatusCode != http.StatusBadGateway && answer.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("a made-up code is answered %d, want 502 or 429: %s", answer.StatusCode, answer.body)
		}
	}
	s.as("alice")
}

// An attacker replays a recorded write to a proxy in front of Caddy, in TLS early
// data. The proxy says so in a header field (RFC 8470 section 5.1).
func TestEarlyDataOfAProxy(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	for target, status := range map[string]int{"POST /api/saves": http.StatusTooEarly, "GET /api/roms": http.StatusOK} {
		if answer := b.fetch(target, append(b.csrf(), "Early-Data", "1")...); answer.StatusCode != status {
			t.Errorf("%s in early data answered %d, want %d", target, answer.StatusCode, status)
		}
	}
}
