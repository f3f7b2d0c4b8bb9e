// Paths and methods that the gate and the upstream could read in different ways, on the wire.

package tests

import (
	"net/http"
	"strings"
	"testing"
)

// crooked are unusual spellings of paths: the gate might take them for an open
// path, or RomM might read another path than the gate did.
var crooked = []string{
	"//api/heartbeat", "/api//heartbeat", "///api/heartbeat", "/api/heartbeat//", "/./api/heartbeat", "/api/./heartbeat",
	"/x/../api/heartbeat", "/api/users/../heartbeat", "/api/heartbeat/.", "/api/heartbeat/./", "/api/heartbeat/x/..",
	"/api/heartbeat/../users/me", "/api/heartbeat/%2e%2e/users/me", "/api/heartbeat/%2E%2E/users/me", "/api/heartbeat/..%2fusers/me",
	"/api/heartbeat/..%2Fusers%2Fme", "/api/heartbeat/%2e%2e%2fusers%2fme", "/api/heartbeat/.%2e/users/me", "/api/heartbeat/..;/users/me",
	"/api/%68eartbeat", "/%61pi/heartbeat", "/api/heartbea%74", "/api%2fheartbeat", "/api%2Fheartbeat", "/%2fapi/heartbeat", "/api/heartbeat%2f",
	`/api\heartbeat`, `/api/heartbeat\..\users\me`, "/api%5cheartbeat", "/api%5Cheartbeat", "/api/heartbeat%5c..%5cusers%5cme", "/api/heartbeat%5c",
	"/api/heartbeat;x", "/api/heartbeat;/users/me", "/api/heartbeat;jsessionid=1", "/api;x/heartbeat", "/api/heartbeat%3bx",
	"/api/heartbeat%00", "/api/heartbeat%00/users/me", "/api/users/me%00/api/heartbeat", "/api/heartbeat%0a", "/api/heartbeat%0d%0ax", "/api/heartbeat%09", "/api/heartbeat%7f",
	"/api/heartbeat#", "/api/heartbeat#/../users/me", "/api/users/me#/api/heartbeat", "/#/api/heartbeat", "/api/heartbeat%23", "/api/heartbeat%23/../users/me",
	"/api/heartbeat%3f", "/api/heartbeat%3f/../../users/me", "/api/users/me%3f/api/heartbeat",
	"/api/users/me?/api/heartbeat", "/api/users/me?x=/api/heartbeat", "/api/roms?next=/api/heartbeat&path=/api/heartbeat", "/?/api/heartbeat", "/api/users/me?#/api/heartbeat",
	"/API/heartbeat", "/api/Heartbeat", "/api/HEARTBEAT", "/api/heartbeat.", "/api/heartbeat%20", "/api/heartbeat%2e", "/api/heartbeat.json", "/api/heartbeatx",
	"/api/heartbeat/x", "/api/heartbeat/metadata/igdb", "/api/heartbeat/..", "/api/%2e/heartbeat", "/api/heartbeat/%2e", "/api/h%c3%a9artbeat", "/api/heartbeat%ff", "/api/%e2%80%ae/heartbeat",
	"/api/heartbeat%252e", "/api/heartbeat/%252e%252e/users/me", "/api/heartbeat%c0%af..%c0%afusers", "/api/heartbeat/%u002e%u002e/users/me",
	"/api/client-tokens/pair//status", "/api/client-tokens/pair/../status", "/api/client-tokens/pair/a/b/status", "/api/client-tokens/pair/a%2fb/status", "/api/client-tokens/pair/x/../../../users/me/status",
	"/api/client-tokens/pair/x/status/..", "/api/client-tokens/pair/%2e%2e/status", "/api/client-tokens/pair/x;y/status", "/api/client-tokens/pair/x%3f/status",
	"/api/oauth/openid/../../users/me", "/api/oauth/openid/%2e%2e/%2e%2e/users/me", "/api/oauth/openid/..%2f..%2fusers/me",
	"/api/oauth/openid/jwks/../../../users/me", "/api/oauth/openid/token%2f..%2f..%2f..%2fusers/me", "/api/oauth/openid/jwks/x", "/api/oauth/openid;x/jwks",
	"https://romm.example.com:9443/api/users/me", "https://romm.example.com:9443//api/heartbeat", "https://romm.example.com:9443/api/heartbeat%2f",
	"https://evil.example/api/heartbeat", "http://romm.example.com:9443/api/users/me", "*", "api/heartbeat",
}

// CVE-2025-54576, CVE-2026-41059, CVE-2026-40912, CVE-2023-47106 and similar
// attacks: the gate and the upstream parse one path in two ways. The gate
// refuses an anonymous request for any path that is not in its plain form,
// over HTTP/1.1 and HTTP/2.
func TestAttackCrookedPaths(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.quiet()
	for _, target := range crooked {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for protocol, send := range map[string]func() response{
				"HTTP/1.1": func() response { return raw(t, method+" "+target, "Content-Length: 0") },
				"HTTP/2":   func() response { return raw2(t, method, target) },
			} {
				if protocol == "HTTP/2" && strings.Contains(target, "://") {
					continue // HTTP/2 has no absolute form
				}
				answer := send()
				if method == http.MethodPost && target == "*" {
					continue // the server itself answers the asterisk form
				}
				if answer.StatusCode/100 == 2 && answer.body != "" {
					t.Errorf("%s %s %q answered %d, want no success with content: %s", protocol, method, target, answer.StatusCode, answer.body)
				}
				s.untouched(protocol + " " + target)
			}
		}
	}
}

// The same attack on the endpoints that accept an anonymous POST: the sign-in
// of a handheld must not open the endpoints next to it.
func TestAttackCrookedPairing(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.quiet()
	for _, open := range []string{"/api/client-tokens/exchange", "/api/auth/device/init", "/api/auth/device/token"} {
		for _, bend := range []func(string) string{
			func(p string) string { return p + "/../../users" },
			func(p string) string { return p + "%2f..%2f..%2fusers" },
			func(p string) string { return p + ";x" },
			func(p string) string { return p + "%00" },
			func(p string) string { return p + "#" },
			func(p string) string { return p + "//" },
			func(p string) string { return p + `\` },
			func(p string) string { return p + "%3fx" },
			func(p string) string { return "/" + p },
			func(p string) string { return strings.Replace(p, "/api/", "/api//", 1) },
			func(p string) string { return strings.Replace(p, "/api/", "/api%2f", 1) },
			func(p string) string { return strings.Replace(p, "e", "%65", 1) },
			func(p string) string { return "/api/users?x=" + p },
			func(p string) string { return "/api/users#" + p },
		} {
			target := bend(open)
			raw(t, "POST "+target, "Content-Type: application/json", "Content-Length: 0")
			s.untouched(target)
			raw2(t, "POST", target, "content-type", "application/json")
			s.untouched(target + " over HTTP/2")
		}
		// Other methods are refused at these paths.
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO", "POSTX"} {
			raw(t, method+" "+open, "Content-Length: 0")
			s.untouched(method + " " + open)
		}
	}
}

// CVE-2026-71324: an unknown method opens nothing, and does not break the
// requests after it.
func TestAttackUnknownMethods(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	s.quiet()
	for _, method := range []string{"CONNECT", "TRACE", "TRACK", "DEBUG", "PROPFIND", "get", "GETX", "PRI", "PURGE"} {
		for _, target := range []string{"/api/heartbeat", "/api/users/me"} {
			if answer := raw(t, method+" "+target, b.ticketCookie(), "Content-Length: 0"); answer.StatusCode/100 == 2 && answer.body != "" {
				t.Errorf("%s %s answered %d, want no success with content: %s", method, target, answer.StatusCode, answer.body)
			}
			s.untouched(method)
		}
	}
	if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("/api/users/me after the unknown methods answered %d, want 200 with alice as the user: %s", me.StatusCode, me.body)
	}
}

// The gate forwards a signed-in user's unusual path unchanged or refuses it,
// and never rewrites it. No spelling reaches RomM's own callback, where an
// attacker could have the user's browser redeem the attacker's code.
func TestAttackCrookedCallback(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	s.quiet()
	for _, target := range []string{
		"/api/oauth/openid", "/api/oauth/openid/", "/api/oauth//openid", "//api/oauth/openid", "/api/./oauth/openid", "/api/x/../oauth/openid",
		"/api/oauth%2fopenid", "/api/oauth/%6fpenid", `/api\oauth\openid`, "/api%5coauth%5copenid", "/api/oauth/openid//", "/api/oauth/openid/.",
		"/api/oauth/openid/x", "/api/oauth/openid/%2e", "/api/oauth/openid%2f",
	} {
		for _, query := range []string{"?code=stolen&state=known", "?error=access_denied&state=known"} {
			raw(t, "GET "+target+query, b.ticketCookie())
			raw2(t, "GET", target+query, "cookie", strings.TrimPrefix(b.ticketCookie(), "Cookie: "))
		}
	}
	s.untouched("RomM's callback")
}

// At the inside address the gate answers requests for the provider's endpoints
// only, in any spelling of the path. Even the paths that are open at the
// public origin are refused.
func TestAttackCrookedPathsInside(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	s.quiet()
	for _, target := range append([]string{"/api/heartbeat", "/api/users/me", base, base + "/login", base + "/logout"}, crooked...) {
		if strings.Contains(target, "://"+publicHost) {
			continue // the absolute form names the host (RFC 9112 section 3.2.2)
		}
		if answer := rawInside(t, "GET "+target, b.ticketCookie()); answer.StatusCode/100 == 2 && answer.body != "" || answer.StatusCode/100 == 3 {
			t.Errorf("%q at RomM's address of the gate answered %d, want neither content nor a redirect: %s", target, answer.StatusCode, answer.body)
		}
		s.untouched(target)
	}
	if answer := rawInside(t, "GET "+base+"/jwks"); answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, `"keys"`) {
		t.Errorf("the JWKS answered %d at the inside address, want 200 with keys: %s", answer.StatusCode, answer.body)
	}
}
