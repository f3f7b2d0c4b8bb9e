// Anonymous requests, and what applies to every request: origin, early data,
// a storage that is down, errors that pass.

package handler

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// An anonymous request gets nothing from the application except its open paths.
// Each kind of client gets a refusal that it understands.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target string
		fields string
		status int
		passes bool
		body   string
	}{
		"navigation, provider down":               {"/library", navigation, 503, false, "<!DOCTYPE html>"},
		"old browser's navigation":                {"/library", oldNavigation, 503, false, "<!DOCTYPE html>"},
		"old browser's download":                  {"/api/x", oldNavigation, 503, false, "<!DOCTYPE html>"},
		"old browser's form":                      {"POST /api/x", oldNavigation, 401, false, "<!DOCTYPE html>"},
		"old browser's fetch":                     {"/library", "Accept=text/html,*/*", 401, false, `{"detail":"Not authenticated"`},
		"old browser's API request":               {"/api/x", "Accept=text/html,*/*", 401, false, `{"detail":"Not authenticated"`},
		"old browser's PUT":                       {"PUT /api/x", oldNavigation, 401, false, `{"detail":"Not authenticated"`},
		"old browser's prefetch":                  {"/library", oldNavigation + " Purpose=prefetch", 503, false, ""},
		"old browser's socket":                    {"/ws/x", oldNavigation, 401, false, ""},
		"Safari before 16.4":                      {"/library", oldSafari, 503, false, "<!DOCTYPE html>"},
		"Safari before 16.4, form":                {"POST /api/x", oldSafari, 401, false, "<!DOCTYPE html>"},
		"Safari before 16.4, prefetch":            {"/library", oldSafari + " Purpose=prefetch", 503, false, ""},
		"Safari before 16.4, link to a file":      {"/api/x", oldSafari, 503, false, "<!DOCTYPE html>"},
		"WebKit's <a download>":                   {"/api/x", oldSafari + " Referer=https://romm.example.com/", 401, false, `{"detail":"Not authenticated"`},
		"old browser's bad address":               {"/a%00b", oldNavigation, 400, false, "<!DOCTYPE html>"},
		"old browser at a sign-in path":           {"/signin", "Accept=text/html,*/*", 503, false, "<!DOCTYPE html>"},
		"old browser, unknown endpoint":           {request.Base + "/x", "Accept=text/html,*/*", 404, false, "<!DOCTYPE html>"},
		"navigation to a bad address":             {"/a%00b", navigation, 400, false, "<!DOCTYPE html>"},
		"fetch after a UIR":                       {"/library", fetch + " Accept=text/html Upgrade-Insecure-Requests=1", 401, false, `{"detail"`},
		"script":                                  {"/api/x", fetch, 401, false, `{"detail":"Not authenticated"`},
		"script's POST":                           {"POST /api/x", fetch, 401, false, `{"detail":"Not authenticated"`},
		"form":                                    {"POST /library", navigation, 401, false, "<!DOCTYPE html>"},
		"image":                                   {"/x.png", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image", 401, false, ""},
		"frame":                                   {"/library", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe", 401, false, ""},
		"prefetch":                                {"/library", navigation + " Sec-Purpose=prefetch", 503, false, ""},
		"socket":                                  {"/ws/x", "Connection=Upgrade Upgrade=websocket", 401, false, ""},
		"socket on another path":                  {"/library", "Connection=Upgrade Upgrade=websocket", 401, false, ""},
		"long poll":                               {"/ws/x", fetch, 401, false, ""},
		"curl":                                    {"/library", "Accept=*/*", 401, false, `{"detail"`},
		"event stream":                            {"/api/x", "Accept=text/event-stream", 401, false, `{"detail"`},
		"User-Agent of a health check":            {"/api/x", "User-Agent=GoogleHC/1.0", 401, false, `{"detail"`}, // CVE-2026-34457
		"forged application session":              {"/api/x", "Cookie=app_session=app-0", 401, false, `{"detail"`},
		"forged ticket":                           {"/api/x", "Cookie=__Host-romm_oidc=" + strings.Repeat("A", 43), 401, false, `{"detail"`},
		"forwarded path (CVE-2026-40575)":         {"/api/x", "X-Forwarded-Uri=/open X-Original-Url=/open X-Rewrite-Url=/open X-Forwarded-Prefix=/open X-Forwarded-Method=GET", 401, false, `{"detail"`},
		"open path":                               {"/open", "", 200, true, "upstream"},
		"open path, not normalized":               {"//open", "", 401, false, `{"detail"`},
		"open path in the query (CVE-2025-54576)": {"/api/x?y=/open", "", 401, false, `{"detail"`},
		"undecided credential":                    {"/token", "Authorization=x", 200, true, "upstream"},
		"control byte":                            {"/api/%0ax", "", 400, false, `{"detail"`},
		"unknown method (CVE-2026-71324)":         {"PROPFIND /open", "", 405, false, ""},
		"CONNECT":                                 {"CONNECT /open", "", 405, false, ""},
		"another host":                            {"/open", "Host=evil.com", 421, false, ""},
		"another port":                            {"/open", "Host=romm.example.com:8443", 421, false, ""},
		"explicit default port":                   {"/open", "Host=ROMM.example.com:443", 200, true, "upstream"},
		"unknown endpoint of the gate":            {request.Base + "/x", "", 404, false, ""},
		"callback as an image":                    {request.Base + "?state=x", "Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image", 401, false, ""},
		"login in a frame":                        {request.Base + "/login", "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe", 401, false, ""},
		"CONNECT of another protocol":             {"CONNECT /ws/x", ":protocol=connect-udp", 405, false, ""},
		"extended CONNECT":                        {"CONNECT /ws/x", ":protocol=websocket", 401, false, ""},
		"callback with POST":                      {"POST " + request.Base, "", 405, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			w := s.do(t, c.target, fields(c.fields)...)
			if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.body) {
				t.Errorf("got %d %.80q, want %d %q", w.Code, w.Body, c.status, c.body)
			}
			if passed := len(s.seen) > 0; passed != c.passes {
				t.Errorf("reached the application: %v, want %v", passed, c.passes)
			}
			if !c.passes {
				// GHSA-59jp-rwph-878r: a refusal that carries content.
				if strings.Contains(w.Body.String(), "upstream") {
					t.Errorf("the refusal contains content of the application, want none: %q", w.Body)
				}
				if w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("Cache-Control is %q, want no-store", w.Header().Get("Cache-Control"))
				}
				if challenge := w.Header().Get("WWW-Authenticate"); challenge != "" && challenge != "Bearer" {
					t.Errorf("WWW-Authenticate is %q, want none or Bearer: a browser would ask for a password", challenge)
				}
			} else if w.Header().Get("X-Private") != "" {
				t.Errorf("X-Private is %q, want it filtered", w.Header().Get("X-Private"))
			}
		})
	}
}

// The gate refuses an http request for an https origin, unless a trusted proxy says
// that it terminated TLS.
func TestSchemeIsThatOfTheOrigin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted bool
		proto   string
		status  int
	}{
		"plain http":                 {false, "", 421},
		"client claims https":        {false, "https", 421}, // CVE-2024-21499
		"trusted proxy says https":   {true, "https", 200},
		"trusted proxy says nothing": {true, "", 421},
		"trusted proxy says http":    {true, "http", 421},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			s.chain.trusted = c.trusted
			r := httptest.NewRequest(http.MethodGet, "http://romm.example.com/open", nil)
			if c.proto != "" {
				r.Header.Set("X-Forwarded-Proto", c.proto)
			}
			w := httptest.NewRecorder()
			if err := s.handler.ServeHTTP(w, r, s.chain); err != nil || w.Code != c.status {
				t.Errorf("got %d, %v, want %d", w.Code, err, c.status)
			}
		})
	}
}

// CVE-2024-39321: an attacker can record 0-RTT data and send it again.
func TestEarlyDataChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for target, status := range map[string]int{"GET /open": 200, "POST /api/x": 425, "GET " + request.Base + "?state=x": 425, "GET " + request.Base + "/logout": 425} {
		for _, proxy := range []bool{false, true} { // one in front of Caddy
			method, path, _ := strings.Cut(target, " ")
			r := httptest.NewRequest(method, "https://romm.example.com"+path, nil)
			r.TLS.HandshakeComplete = proxy
			if proxy {
				r.Header.Set("Early-Data", "1")
			}
			w := httptest.NewRecorder()
			if err := s.handler.ServeHTTP(w, r, s.chain); err != nil || w.Code != status {
				t.Errorf("%s, proxy: %v: got %d, %v, want %d", target, proxy, w.Code, err, status)
			}
		}
	}
}

// A storage that is down ends no session. Users with a session in memory stay
// signed in, others are told to wait, and open paths are answered.
func TestStorageAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	restarted := newSite(t, nil) // the same gate with an empty memory
	restarted.handler.config.Gate.Sessions.Configure(s.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
	s.storage.fail(errors.New("storage down"))
	if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
		t.Errorf("session in memory: got %d, want 200", w.Code)
	}
	if w := restarted.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("session that cannot be looked up: got %d %v, want 503 with Retry-After", w.Code, w.Header())
	}
	if w := restarted.do(t, "/open", "Cookie", ticket); w.Code != http.StatusOK {
		t.Errorf("open path: got %d, want 200", w.Code)
	}
	s.storage.fail(nil)
	if w := restarted.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
		t.Errorf("after the outage: got %d, want 200", w.Code)
	}
}

func TestErrorsPass(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.PassErrors = true })
	w := httptest.NewRecorder()
	err := s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://evil.com/", nil), s.chain)
	problem, ok := errors.AsType[*problem.Problem](err)
	if !ok || problem.Code != "misdirected" || problem.Status != 421 || problem.Reference == "" {
		t.Errorf("got %#v, want a misdirected problem with 421 and a reference", err)
	}
	if w.Body.Len() != 0 {
		t.Errorf("wrote %q, want nothing", w.Body)
	}
}
