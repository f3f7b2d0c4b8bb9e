// Back-channel logout under attack, and while the provider or the storage is
// down.

package handler

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// An address that sends invalid logout tokens is soon refused, for a minute. Valid
// tokens do not count.
func TestLogoutFailuresAreLimited(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSiteWithBackchannel(t, func(c *Config) { c.Now = func() time.Time { return now } })
	for range attemptLimit {
		if w := s.postLogout(t, form("x")); w.Code != http.StatusBadRequest {
			t.Fatalf("invalid token: got %d, want 400", w.Code)
		}
	}
	if w := s.postLogout(t, form(s.token("sub", "1"))); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("after too many invalid tokens: got %d, want 429 with Retry-After", w.Code)
	}
	now = now.Add(time.Minute)
	for range 2 * attemptLimit { // valid tokens do not count
		if w := s.postLogout(t, form(s.token("sub", "1"))); w.Code != http.StatusOK {
			t.Fatalf("valid token a minute later: got %d %s, want 200", w.Code, w.Body)
		}
	}
}

// Invalid tokens from many networks do not keep the provider out: its address has
// a count of its own.
func TestLogoutsAreNotCrowdedOut(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSiteWithBackchannel(t, func(c *Config) { c.Now = func() time.Time { return now } })
	for i := range addressesKept + 2*attemptLimit {
		s.chain.ip = fmt.Sprintf("2001:%x:%x::1", i>>16, i&0xffff)
		if w := s.postLogout(t, "x"); w.Code != http.StatusBadRequest {
			t.Fatalf("invalid token from network %d: got %d, want 400", i+1, w.Code)
		}
	}
	s.chain.ip = "192.0.2.7"
	if w := s.postLogout(t, form(s.token("sub", "1"))); w.Code != http.StatusOK {
		t.Errorf("the provider's token: got %d %s, want 200", w.Code, w.Body)
	}
}

// While the gate cannot read the provider's keys, it answers with an error that the
// specification defines (Back-Channel Logout 2.8), and the token stays valid.
func TestBackchannelLogoutWhileProviderIsAway(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSiteWithBackchannelAt(t, func() time.Time { return now }, nil)
	cookie, token := s.signInWithSID(t, alice, "s1"), form(s.token("sub", "1"))
	s.op.Down()
	if w := s.postLogout(t, token); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "provider_unavailable") || !s.lives(t, cookie) {
		t.Errorf("provider down: got %d %s, want 400 provider_unavailable and the session alive", w.Code, w.Body)
	}
	s.op.Up()
	now = now.Add(time.Minute)
	if w := s.postLogout(t, token); w.Code != http.StatusOK || s.lives(t, cookie) {
		t.Errorf("provider back: got %d %s, want 200 and the session ended", w.Code, w.Body)
	}
}

// A storage that is down or hangs does not block a logout. Sessions in memory end at
// once, and the response comes in bounded time.
func TestBackchannelLogoutWithoutStorage(t *testing.T) {
	t.Parallel()
	s := newSiteWithBackchannel(t, nil)
	cookie, token := s.signInWithSID(t, alice, "s1"), form(s.token("sub", "1"))
	s.storage.fail(errors.New("storage down"))
	if w := s.postLogout(t, token); w.Code != http.StatusOK || s.lives(t, cookie) {
		t.Errorf("storage down: got %d %s, want 200 and the session ended", w.Code, w.Body)
	}

	synctest.Test(t, func(t *testing.T) {
		s := newSiteWithBackchannel(t, nil)
		cookie, token := s.signInWithSID(t, alice, "s1"), form(s.token("sub", "1"))
		hung := &hangingStorage{memory: s.storage, released: make(chan struct{})}
		s.handler.config.Gate.Sessions.Configure(hung, session.Limits{Idle: session.DefaultIdle, Lifetime: session.DefaultLifetime})
		began := time.Now()
		w := s.postLogout(t, token)
		if took := time.Since(began); w.Code != http.StatusOK || took != logoutAnswer {
			t.Errorf("storage hangs: got %d after %s, want 200 after %s", w.Code, took, logoutAnswer)
		}
		if s.do(t, "/api/x", "Cookie", cookie).Code == http.StatusOK {
			t.Error("storage hangs: the session lives, want it ended")
		}
		close(hung.released)
		synctest.Wait()
	})
}
