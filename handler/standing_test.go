// Credentials of good standing, while the application cannot be asked.

package handler

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// A credential passes while the application cannot be asked only if nothing speaks
// against its account: another node shut it, this node shut one and has not asked
// since, the storage cannot tell, or the application answered after all.
func TestStandingEndsWithTheAccount(t *testing.T) {
	t.Parallel()
	answered := *problem.ProviderUnavailable
	answered.Away = false
	for name, c := range map[string]struct {
		then   func(s *site)
		err    error // of the question; nil: the application cannot tell
		status int
	}{
		"away":                           {func(*site) {}, problem.ProviderUnavailable, http.StatusOK},
		"another account shut elsewhere": {func(s *site) { s.app.shut = map[string]bool{"2": true} }, problem.ProviderUnavailable, http.StatusOK},
		"shut elsewhere":                 {func(s *site) { s.app.shut = map[string]bool{"1": true} }, problem.ProviderUnavailable, http.StatusUnauthorized},
		"shut elsewhere, cannot tell":    {func(s *site) { s.app.shut = map[string]bool{"1": true} }, nil, http.StatusUnauthorized},
		"the storage cannot tell":        {func(s *site) { s.app.shutErr = errors.New("full") }, problem.ProviderUnavailable, http.StatusServiceUnavailable},
		"shut here":                      {func(s *site) { s.handler.config.Gate.recognized.doubt(s.handler.now()) }, problem.ProviderUnavailable, http.StatusServiceUnavailable},
		"the application answered":       {func(*site) {}, &answered, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pass := newSiteWithClock(t)
			s.app.owners = map[string]string{"good": "1"}
			if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusOK {
				t.Fatalf("before: got %d, want 200", w.Code)
			}
			c.then(s)
			s.app.err, s.app.credentials = c.err, map[string]application.Recognition{}
			pass(recognizedFor + time.Second)
			if w := s.do(t, "/token", "Authorization", "good"); w.Code != c.status {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}

// A credential of an unknown account passed a short time ago. While the application
// cannot be asked, it passes only if its account cannot be one that was shut since.
func TestUnknownOwnerOfGoodStanding(t *testing.T) {
	t.Parallel()
	unknown := &problem.Problem{Code: "owner_unknown", Status: http.StatusServiceUnavailable}
	for name, c := range map[string]struct {
		err    error // of IsShut
		status int
		code   string
	}{
		"no account is shut": {nil, http.StatusOK, ""},
		"one is":             {unknown, http.StatusServiceUnavailable, unknown.Code},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pass := newSiteWithClock(t)
			if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusOK {
				t.Fatalf("before: got %d, want 200", w.Code)
			}
			s.app.shutErr, s.app.err = c.err, problem.ProviderUnavailable
			pass(recognizedFor + time.Second)
			if w := s.do(t, "/token", "Authorization", "good"); w.Code != c.status || !strings.Contains(w.Body.String(), c.code) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.code)
			}
		})
	}
}
