package handler

import (
	"crypto/sha256"
	"encoding/binary"
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

// clockFixture is a fixture whose clock stands still until it is moved.
func clockFixture(t *testing.T) (f *fixture, pass func(time.Duration)) {
	t.Helper()
	now := time.Now()
	f = newFixture(t, func(c *Config) { c.Now = func() time.Time { return now } })
	f.app.credentials = map[string]application.Recognition{"good": application.Recognized, "bad": application.Unrecognized}
	return f, func(d time.Duration) { now = now.Add(d) }
}

// The application is asked about a credential once a minute, so that one that
// was revoked passes for a minute at most.
func TestCredentialIsAskedAboutOnceAMinute(t *testing.T) {
	t.Parallel()
	f, pass := clockFixture(t)
	for range 3 {
		if w := f.do(t, "/token", "Authorization", "good", "Cookie", "a=b; app_session=x"); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if f.app.asked != 1 || len(f.seen) != 3 {
		t.Errorf("asked %d times, passed %d", f.app.asked, len(f.seen))
	}
	if f.app.patience <= 0 || f.app.patience > recognizeTimeout {
		t.Errorf("a request waits %v for the answer", f.app.patience)
	}
	if r := f.seen[0]; r.Header.Get("Authorization") != "good" || r.Header.Get("Cookie") != "" {
		t.Errorf("passed on with %v", r.Header)
	}
	f.app.credentials["good"] = application.Unrecognized // revoked
	pass(recognizedFor - time.Second)
	if w := f.do(t, "/token", "Authorization", "good"); w.Code != http.StatusOK {
		t.Errorf("within the minute: %d", w.Code)
	}
	pass(time.Second)
	if w := f.do(t, "/token", "Authorization", "good"); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "credential_unknown") {
		t.Errorf("after a minute: %d %s", w.Code, w.Body)
	}
	for range attemptLimit - 1 {
		f.do(t, "/token", "Authorization", "good")
	}
	if w := f.do(t, "/token", "Authorization", "good"); w.Code != http.StatusTooManyRequests {
		t.Errorf("it does not count like any other: %d", w.Code)
	}
}

// An unknown credential goes no further than the gate, which answers with the
// status that the application's own clients understand.
func TestUnknownCredentialIsRefused(t *testing.T) {
	t.Parallel()
	f, _ := clockFixture(t)
	f.app.status = http.StatusForbidden
	w := f.do(t, "/token", "Authorization", "bad")
	if w.Code != http.StatusForbidden || !strings.HasPrefix(w.Body.String(), `{"detail":"Not authenticated"`) || len(f.seen) != 0 {
		t.Errorf("%d %s, passed %d", w.Code, w.Body, len(f.seen))
	}
}

// Guessing ends after 20 wrong ones a minute. Whoever is behind the same
// address with a credential that was good a moment ago does not notice.
func TestGuessingCredentials(t *testing.T) {
	t.Parallel()
	f, pass := clockFixture(t)
	f.app.credentials["other"] = application.Recognized
	f.do(t, "/token", "Authorization", "good")
	pass(recognizedFor)
	for range attemptLimit {
		if w := f.do(t, "/token", "Authorization", "bad"); w.Code != http.StatusUnauthorized {
			t.Fatalf("%d", w.Code)
		}
	}
	asked := f.app.asked
	for _, authorization := range []string{"bad", "other"} {
		w := f.do(t, "/token", "Authorization", authorization)
		if seconds, _ := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != http.StatusTooManyRequests || seconds < 1 || seconds > 61 {
			t.Errorf("%s: %d, Retry-After %q", authorization, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if f.app.asked != asked {
		t.Error("the application was asked all the same")
	}
	if w := f.do(t, "/token", "Authorization", "good"); w.Code != http.StatusOK {
		t.Errorf("a known one: %d", w.Code)
	}
	pass(attemptWindow)
	if w := f.do(t, "/token", "Authorization", "other"); w.Code != http.StatusOK {
		t.Errorf("a minute later: %d", w.Code)
	}
}

// What the application does not decide passes, is asked about again, and does
// not count; with an error it does not pass.
func TestUndecidedCredential(t *testing.T) {
	t.Parallel()
	f, _ := clockFixture(t)
	for range attemptLimit + 1 {
		if w := f.do(t, "/token", "Authorization", "?"); w.Code != http.StatusOK {
			t.Fatalf("%d", w.Code)
		}
	}
	if f.app.asked != attemptLimit+1 {
		t.Errorf("asked %d times", f.app.asked)
	}
	f.app.err = problem.ProviderUnavailable
	for range attemptLimit + 1 {
		if w := f.do(t, "/token", "Authorization", "?"); w.Code != http.StatusServiceUnavailable {
			t.Fatalf("%d", w.Code)
		}
	}
	if passed := len(f.seen); passed != attemptLimit+1 {
		t.Errorf("passed %d", passed)
	}
}

// While the application is too busy to say, what it knew within the hour
// passes, so that no saved game is lost; it looks itself. Nothing else does.
func TestCredentialOfGoodStanding(t *testing.T) {
	t.Parallel()
	f, pass := clockFixture(t)
	f.do(t, "/token", "Authorization", "good")
	f.app.err = problem.ProviderUnavailable
	pass(standingFor - time.Second)
	for authorization, status := range map[string]int{"good": http.StatusOK, "other": http.StatusServiceUnavailable} {
		if w := f.do(t, "/token", "Authorization", authorization); w.Code != status {
			t.Errorf("%s: %d, want %d", authorization, w.Code, status)
		}
	}
	pass(time.Second)
	if w := f.do(t, "/token", "Authorization", "good"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("after an hour: %d", w.Code)
	}
	f.app.err, f.app.credentials["good"] = nil, application.Unrecognized
	f.do(t, "/token", "Authorization", "good")
	f.app.err = problem.ProviderUnavailable
	if w := f.do(t, "/token", "Authorization", "good"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("revoked: %d", w.Code)
	}
}

// A ticket beside a credential wins: nobody asks about it.
func TestTicketBesideACredential(t *testing.T) {
	t.Parallel()
	f, _ := clockFixture(t)
	if w := f.do(t, "/token", "Authorization", "bad", "Cookie", f.ticket(t, alice)); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if f.app.asked != 0 || f.seen[0].Header.Get("Authorization") != "" {
		t.Errorf("asked %d times, passed on with %v", f.app.asked, f.seen[0].Header)
	}
}

func TestRecognizedIsBounded(t *testing.T) {
	t.Parallel()
	var m recognized
	for i := range uint64(2*recognizedKept + 1) {
		var key [sha256.Size]byte
		binary.BigEndian.PutUint64(key[:], i)
		m.remember(key, time.Now())
	}
	if len(m.at) > recognizedKept {
		t.Errorf("%d are remembered", len(m.at))
	}
}

// Many requests with one credential at once are one question.
func TestCredentialIsAskedAboutOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := clockFixture(t)
		f.app.hold = make(chan struct{})
		var wg sync.WaitGroup
		for range 2 * attemptLimit {
			wg.Go(func() {
				r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/token", nil)
				r.Header.Set("Authorization", "good")
				if err := f.handler.recognize(r, f.chain); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(f.app.hold)
		wg.Wait()
		if f.app.asked != 1 {
			t.Errorf("asked %d times", f.app.asked)
		}
	})
}

// A password in a body is guessed no faster than one in a header field, and
// the answers tell a guesser nothing: not whether the account exists, nor what
// kind of account it is.
func TestExchange(t *testing.T) {
	t.Parallel()
	f, pass := clockFixture(t)
	status := http.StatusOK
	f.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		f.seen = append(f.seen, r)
		w.Header().Set("X-Private", "secret")
		w.WriteHeader(status)
		_, err := w.Write([]byte("from the application"))
		return err
	}
	for range attemptLimit + 1 {
		w := f.do(t, "POST /exchange", "Authorization", "junk", "Cookie", "a=b")
		if w.Code != http.StatusOK || w.Body.String() != "from the application" || w.Header().Get("X-Private") != "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	if r := f.seen[0]; r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		t.Errorf("passed on with %v", r.Header)
	}
	for i := range attemptLimit {
		status = []int{http.StatusUnauthorized, http.StatusInternalServerError}[i%2]
		w := f.do(t, "POST /exchange")
		if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Body.String(), `{"detail":"Not authenticated","code":"credential_unknown"`) {
			t.Fatalf("the application's %d became %d %s", status, w.Code, w.Body)
		}
	}
	if w := f.do(t, "POST /exchange"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", w.Code)
	}
	pass(attemptWindow)
	status = http.StatusBadGateway
	for range attemptLimit + 1 {
		if w := f.do(t, "POST /exchange"); w.Code != http.StatusBadGateway {
			t.Fatalf("while the application is away: %d", w.Code)
		}
	}
	if f.app.failed == 0 {
		t.Error("the application was not told that it failed")
	}
	status = http.StatusBadRequest
	for range attemptLimit {
		f.do(t, "POST /exchange")
	}
	if w := f.do(t, "POST /exchange"); w.Code != http.StatusTooManyRequests {
		t.Errorf("other refusals do not count: %d", w.Code)
	}
}
