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
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
)

// Who sends garbage is soon not listened to; the provider still is, and the
// sender a minute later.
func TestLogoutFailuresAreLimited(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSiteWithBackchannel(t, func(c *Config) { c.Now = func() time.Time { return now } })
	for range limit.AttemptLimit {
		if w := s.postLogout(t, form("x")); w.Code != http.StatusBadRequest {
			t.Fatal(w.Code)
		}
	}
	if w := s.postLogout(t, form(s.token("sub", "1"))); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d", w.Code)
	}
	now = now.Add(time.Minute)
	for range 2 * limit.AttemptLimit { // what succeeds does not count
		if w := s.postLogout(t, form(s.token("sub", "1"))); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// However many addresses send garbage, the provider is listened to: it shares
// no count with them.
func TestLogoutsAreNotCrowdedOut(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSiteWithBackchannel(t, func(c *Config) { c.Now = func() time.Time { return now } })
	for i := range limit.AddressesKept + 2*limit.AttemptLimit {
		s.chain.ip = fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)
		if w := s.postLogout(t, "x"); w.Code != http.StatusBadRequest {
			t.Fatalf("address %d: %d", i+1, w.Code)
		}
	}
	s.chain.ip = "192.0.2.7"
	if w := s.postLogout(t, form(s.token("sub", "1"))); w.Code != http.StatusOK {
		t.Errorf("the provider got %d %s", w.Code, w.Body)
	}
}

// While the provider's keys cannot be read the answer is what the
// specification knows (section 2.8), and the token can be sent again.
func TestBackchannelLogoutWhileProviderIsAway(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSiteWithBackchannelAt(t, func() time.Time { return now }, nil)
	cookie, token := s.signInWithSID(t, alice, "s1"), form(s.token("sub", "1"))
	s.op.Down()
	if w := s.postLogout(t, token); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "provider_unavailable") || !s.lives(t, cookie) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.op.Up()
	now = now.Add(time.Minute)
	if w := s.postLogout(t, token); w.Code != http.StatusOK || s.lives(t, cookie) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A storage that is away, or hangs, holds nothing up: what memory has ends at
// once, and the answer comes in bounded time.
func TestBackchannelLogoutWithoutStorage(t *testing.T) {
	t.Parallel()
	s := newSiteWithBackchannel(t, nil)
	cookie, token := s.signInWithSID(t, alice, "s1"), form(s.token("sub", "1"))
	s.storage.fail(errors.New("away"))
	if w := s.postLogout(t, token); w.Code != http.StatusOK || s.lives(t, cookie) {
		t.Errorf("away: %d %s", w.Code, w.Body)
	}

	synctest.Test(t, func(t *testing.T) {
		s := newSiteWithBackchannel(t, nil)
		cookie, token := s.signInWithSID(t, alice, "s1"), form(s.token("sub", "1"))
		hung := &hangingStorage{memory: s.storage, released: make(chan struct{})}
		s.handler.config.Gate.Sessions.Configure(hung, session.Limits{})
		began := time.Now()
		w := s.postLogout(t, token)
		if took := time.Since(began); w.Code != http.StatusOK || took != logoutAnswer {
			t.Errorf("hanging: %d after %s", w.Code, took)
		}
		if s.do(t, "/api/x", "Cookie", cookie).Code == http.StatusOK {
			t.Error("the session lives")
		}
		close(hung.released)
		synctest.Wait()
	})
}
