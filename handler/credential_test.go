// The application's own credentials: checked at the application, remembered,
// and protected against guessing.

package handler

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// newSiteWithClock returns a site with a stopped clock, and a function that advances
// it.
func newSiteWithClock(t *testing.T) (s *site, pass func(time.Duration)) {
	t.Helper()
	now := time.Now()
	s = newSite(t, func(c *Config) { c.Now = func() time.Time { return now } })
	s.app.credentials = map[string]application.Recognition{"good": application.Recognized, "bad": application.Unrecognized}
	return s, func(d time.Duration) { now = now.Add(d) }
}

// The gate checks a credential at the application once a minute, so a revoked one
// works for a minute at most.
func TestCredentialIsCheckedOnceAMinute(t *testing.T) {
	t.Parallel()
	s, pass := newSiteWithClock(t)
	for range 3 {
		if w := s.do(t, "/token", "Authorization", "good", "Cookie", "a=b; app_session=x"); w.Code != http.StatusOK {
			t.Fatalf("valid credential: got %d %s, want 200", w.Code, w.Body)
		}
	}
	if s.app.asked != 1 || len(s.seen) != 3 {
		t.Errorf("%d checks and %d requests at the application, want 1 and 3", s.app.asked, len(s.seen))
	}
	if s.app.patience <= 0 || s.app.patience > recognizeTimeout {
		t.Errorf("a check may take %v, want more than 0 and at most %v", s.app.patience, recognizeTimeout)
	}
	if r := s.seen[0]; r.Header.Get("Authorization") != "good" || r.Header.Get("Cookie") != "" {
		t.Errorf("passed on with %v, want the credential and no cookie", r.Header)
	}
	s.app.credentials["good"] = application.Unrecognized // revoked
	pass(recognizedFor - time.Second)
	if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusOK {
		t.Errorf("revoked, within the minute: got %d, want 200", w.Code)
	}
	pass(time.Second)
	if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "credential_unknown") {
		t.Errorf("revoked, after a minute: got %d %s, want 401 credential_unknown", w.Code, w.Body)
	}
	for range attemptLimit - 1 {
		s.do(t, "/token", "Authorization", "good")
	}
	if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusTooManyRequests {
		t.Errorf("revoked, over the limit: got %d, want 429", w.Code)
	}
}

// The gate refuses an unknown credential itself, with the status that the
// application's clients understand.
func TestUnknownCredentialIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := newSiteWithClock(t)
	s.app.status = http.StatusForbidden
	w := s.do(t, "/token", "Authorization", "bad")
	if w.Code != http.StatusForbidden || !strings.HasPrefix(w.Body.String(), `{"detail":"Not authenticated"`) || len(s.seen) != 0 {
		t.Errorf("got %d %s and %d requests at the application, want 403 \"Not authenticated\" and 0", w.Code, w.Body, len(s.seen))
	}
}

// Guessing ends after 20 wrong credentials a minute. A user at the attacker's address
// with a recently valid credential does not notice.
func TestGuessingCredentials(t *testing.T) {
	t.Parallel()
	s, pass := newSiteWithClock(t)
	s.app.credentials["other"] = application.Recognized
	s.do(t, "/token", "Authorization", "good")
	pass(recognizedFor)
	for i := range attemptLimit {
		guess := fmt.Sprint("guess", i)
		s.app.credentials[guess] = application.Unrecognized
		if w := s.do(t, "/token", "Authorization", guess); w.Code != http.StatusUnauthorized {
			t.Fatalf("wrong credential: got %d, want 401", w.Code)
		}
	}
	asked := s.app.asked
	for _, authorization := range []string{"bad", "other"} {
		w := s.do(t, "/token", "Authorization", authorization)
		if seconds, _ := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != http.StatusTooManyRequests || seconds < 1 || seconds > 61 {
			t.Errorf("%s over the limit: got %d with Retry-After %q, want 429 with 1 to 61", authorization, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if s.app.asked != asked {
		t.Errorf("%d checks over the limit, want 0", s.app.asked-asked)
	}
	if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusOK {
		t.Errorf("recently valid credential over the limit: got %d, want 200", w.Code)
	}
	pass(attemptWindow)
	if w := s.do(t, "/token", "Authorization", "other"); w.Code != http.StatusOK {
		t.Errorf("valid credential a minute later: got %d, want 200", w.Code)
	}
}

// A credential that the application cannot judge passes. The gate checks it again
// each time and does not count it. If the check fails, the credential does not pass.
func TestUndecidedCredential(t *testing.T) {
	t.Parallel()
	s, _ := newSiteWithClock(t)
	for range attemptLimit + 1 {
		if w := s.do(t, "/token", "Authorization", "?"); w.Code != http.StatusOK {
			t.Fatalf("undecided: got %d, want 200", w.Code)
		}
	}
	if s.app.asked != attemptLimit+1 {
		t.Errorf("%d checks, want %d", s.app.asked, attemptLimit+1)
	}
	s.app.err = problem.ProviderUnavailable
	for range attemptLimit + 1 {
		if w := s.do(t, "/token", "Authorization", "?"); w.Code != http.StatusServiceUnavailable {
			t.Fatalf("check failed: got %d, want 503", w.Code)
		}
	}
	if passed := len(s.seen); passed != attemptLimit+1 {
		t.Errorf("%d requests at the application, want %d", passed, attemptLimit+1)
	}
}

// While the application is too busy for checks, credentials that were valid within
// the last hour pass, so that no saved game is lost. Others do not pass.
func TestCredentialOfGoodStanding(t *testing.T) {
	t.Parallel()
	s, pass := newSiteWithClock(t)
	s.do(t, "/token", "Authorization", "good")
	s.app.err = problem.ProviderUnavailable
	pass(standingFor - time.Second)
	for authorization, status := range map[string]int{"good": http.StatusOK, "other": http.StatusServiceUnavailable} {
		if w := s.do(t, "/token", "Authorization", authorization); w.Code != status {
			t.Errorf("busy, credential %s: got %d, want %d", authorization, w.Code, status)
		}
	}
	pass(time.Second)
	if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("busy, an hour after the last check: got %d, want 503", w.Code)
	}
	s.app.err, s.app.credentials["good"] = nil, application.Unrecognized
	s.do(t, "/token", "Authorization", "good")
	s.app.err = problem.ProviderUnavailable
	if w := s.do(t, "/token", "Authorization", "good"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("busy, credential known to be revoked: got %d, want 503", w.Code)
	}
}

// A ticket wins over a credential, which the gate then does not check.
func TestTicketWinsOverCredential(t *testing.T) {
	t.Parallel()
	s, _ := newSiteWithClock(t)
	if w := s.do(t, "/token", "Authorization", "bad", "Cookie", s.ticket(t, alice)); w.Code != http.StatusOK {
		t.Errorf("got %d %s, want 200", w.Code, w.Body)
	}
	if s.app.asked != 0 || s.seen[0].Header.Get("Authorization") != "" {
		t.Errorf("%d checks, passed on with %v; want 0 and no credential", s.app.asked, s.seen[0].Header)
	}
}

func TestRecognizedIsBounded(t *testing.T) {
	t.Parallel()
	var m recognized
	for i := range uint64(2*recognizedKept + 1) {
		var key [sha256.Size]byte
		binary.BigEndian.PutUint64(key[:], i)
		m.remember(key, standing{at: time.Now()})
	}
	if len(m.known) > recognizedKept {
		t.Errorf("%d credentials remembered, want %d at most", len(m.known), recognizedKept)
	}
}

// Parallel requests with the same credential cause one check.
func TestCredentialCheckIsSingleFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSiteWithClock(t)
		s.app.hold = make(chan struct{})
		var wg sync.WaitGroup
		for range 2 * attemptLimit {
			wg.Go(func() {
				r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/token", nil)
				r.Header.Set("Authorization", "good")
				if _, err := s.handler.recognize(&incoming{handler: s.handler, r: r, chain: s.chain}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(s.app.hold)
		wg.Wait()
		if s.app.asked != 1 {
			t.Errorf("%d checks, want 1", s.app.asked)
		}
	})
}

// A password in a body is guessed no faster than one in a header field. The
// responses reveal neither whether an account exists nor what kind it is.
func TestExchange(t *testing.T) {
	t.Parallel()
	s, pass := newSiteWithClock(t)
	status := http.StatusOK
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		s.seen = append(s.seen, r)
		w.Header().Set("X-Private", "secret")
		w.WriteHeader(status)
		_, err := w.Write([]byte("from the application"))
		return err
	}
	for range attemptLimit + 1 {
		w := s.do(t, "POST /exchange", "Authorization", "junk", "Cookie", "a=b")
		if w.Code != http.StatusOK || w.Body.String() != "from the application" || w.Header().Get("X-Private") != "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("accepted: got %d %v %s, want the application's 200, filtered, with no-store", w.Code, w.Header(), w.Body)
		}
	}
	if r := s.seen[0]; r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		t.Errorf("passed on with %v, want no credential and no cookie", r.Header)
	}
	for i := range attemptLimit {
		status = []int{http.StatusUnauthorized, http.StatusInternalServerError}[i%2]
		w := s.do(t, "POST /exchange")
		if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Body.String(), `{"detail":"Not authenticated","code":"credential_unknown"`) {
			t.Fatalf("the application's %d became %d %s, want 401 credential_unknown", status, w.Code, w.Body)
		}
	}
	if w := s.do(t, "POST /exchange"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("over the limit: got %d, want 429 with Retry-After", w.Code)
	}
	pass(attemptWindow)
	status = http.StatusBadGateway
	for range attemptLimit + 1 {
		if w := s.do(t, "POST /exchange"); w.Code != http.StatusBadGateway {
			t.Fatalf("application down: got %d, want 502", w.Code)
		}
	}
	if s.app.failed == 0 {
		t.Error("Failed was not called, want a call per 502")
	}
	status = http.StatusBadRequest
	for range attemptLimit {
		s.do(t, "POST /exchange")
	}
	if w := s.do(t, "POST /exchange"); w.Code != http.StatusTooManyRequests {
		t.Errorf("after refusals with 400: got %d, want 429", w.Code)
	}
}

// The response to a credential in a body is larger than the gate reads, so that it
// cannot see whose tokens are in it. The client does not get them.
func TestExchangeTooLargeToRead(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		_, err := fmt.Fprintf(w, `{"access_token":"secret","scope":%q}`, strings.Repeat("roms.read ", 7000))
		return err
	}
	if w := s.do(t, "POST /exchange"); w.Code != http.StatusBadGateway || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("got %d %.40q, want 502 without the tokens", w.Code, w.Body)
	}
}
