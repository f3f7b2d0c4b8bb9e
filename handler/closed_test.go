// What is open only to credentials that the application recognized, and what is closed to all.

package handler

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// The gate asks first who owns a credential. Where the application would not check
// it, only a recognized one passes. Where the gate lets no credential pass, an
// owner is told so with 403; 401 would make an app forget a valid token.
func TestVouchedAndClosed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, authorization string
		status              int
		code                string
	}{
		"checked by the application, recognized": {"/token", "good", http.StatusOK, ""},
		"checked by the application, undecided":  {"/token", "?", http.StatusOK, ""},
		"recognized":                             {"/vouched", "good", http.StatusOK, ""},
		"undecided":                              {"/vouched", "?", http.StatusUnauthorized, "credential_unknown"},
		"unknown":                                {"/vouched", "bad", http.StatusUnauthorized, "credential_unknown"},
		"closed, recognized":                     {"/closed", "good", http.StatusForbidden, "credential_not_allowed"},
		"closed, undecided":                      {"/closed", "?", http.StatusUnauthorized, "credential_unknown"},
		"closed, unknown":                        {"/closed", "bad", http.StatusUnauthorized, "credential_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newSiteWithClock(t)
			w := s.do(t, c.path, "Authorization", c.authorization)
			passed := 0
			if c.status == http.StatusOK {
				passed = 1
			}
			if w.Code != c.status || c.code != "" && !strings.Contains(w.Body.String(), c.code) || len(s.seen) != passed {
				t.Errorf("got %d %s and %d requests at the application, want %d %s and %d", w.Code, w.Body, len(s.seen), c.status, c.code, passed)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge == "Bearer") != (c.status == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate is %q with status %d, want Bearer with 401 only", challenge, w.Code)
			}
		})
	}
}

// What the application would not check stays closed while it cannot be asked, even
// to a credential of good standing.
func TestVouchedWhileTheApplicationIsBusy(t *testing.T) {
	t.Parallel()
	s, pass := newSiteWithClock(t)
	s.do(t, "/vouched", "Authorization", "good")
	s.app.err = problem.ProviderUnavailable
	if w := s.do(t, "/vouched", "Authorization", "good"); w.Code != http.StatusOK {
		t.Errorf("busy, within the minute: got %d, want 200", w.Code)
	}
	pass(recognizedFor)
	for path, status := range map[string]int{"/token": http.StatusOK, "/vouched": http.StatusServiceUnavailable, "/closed": http.StatusServiceUnavailable} {
		if w := s.do(t, path, "Authorization", "good"); w.Code != status {
			t.Errorf("busy, %s after a minute: got %d, want %d", path, w.Code, status)
		}
	}
}

// A user who opens a page can sign in, even if the browser sends along a credential
// that the application does not know.
func TestPageWithAnUnknownCredential(t *testing.T) {
	t.Parallel()
	s, _ := newSiteWithClock(t)
	w := s.do(t, "/vouched", "Authorization", "bad", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	if !strings.Contains(w.Body.String(), problem.ProviderUnavailable.Code) { // this site's provider is down
		t.Errorf("got %d %s, want a sign-in at the provider", w.Code, w.Body)
	}
}

// The application gets the path that the gate decided on.
func TestSlashesAreMergedForCredentials(t *testing.T) {
	t.Parallel()
	s, _ := newSiteWithClock(t)
	if w := s.do(t, "//files//a(b%20c", "Authorization", "good"); w.Code != http.StatusOK {
		t.Fatalf("got %d %s, want 200", w.Code, w.Body)
	}
	if got := s.seen[0].URL.EscapedPath(); got != "/files/a(b%20c" {
		t.Errorf("the application got %s, want /files/a(b%%20c", got)
	}
}

// Where the gate lets no access token pass, the owner of one is told so with 403.
func TestClosedToBearers(t *testing.T) {
	t.Parallel()
	s, p, pass := newSiteWithBearers(t, Policy{})
	if w := s.do(t, "/bearer-closed", "Authorization", "Bearer x"); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "credential_not_allowed") {
		t.Errorf("valid token: got %d %s, want 403 credential_not_allowed", w.Code, w.Body)
	}
	p.introspection = inactive
	pass(recognizedFor)
	if w := s.do(t, "/bearer-closed", "Authorization", "Bearer x"); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "credential_unknown") {
		t.Errorf("revoked token: got %d %s, want 401 credential_unknown", w.Code, w.Body)
	}
	if len(s.seen) != 0 {
		t.Errorf("%d requests at the application, want 0", len(s.seen))
	}
}
