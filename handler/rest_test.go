// A gate that rested follows what happens on other nodes again as soon as it knows
// something that they could change.

package handler

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// inRest runs do with a gate that rests after before, and another node of it.
func inRest(t *testing.T, newSite func(*testing.T) *site, before func(*site), do func(s *site, other *Gate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		store := s.handler.config.Gate.Sessions
		go store.Run(context.Background()) // until the test ends
		s.handler.keep(s.chain)
		before(s)
		time.Sleep(time.Hour)
		synctest.Wait()
		if store.Resting() == nil {
			t.Fatal("the gate does not rest")
		}
		do(s, otherNode(t, s))
		store.Close()
	})
}

// Another node shuts an account, or changes it, right after a gate that rested has
// recognized a credential of it. The gate asks again.
func TestRestedGateAsksAgainAboutCredentials(t *testing.T) {
	t.Parallel()
	withCredentials := func(t *testing.T) *site {
		t.Helper()
		s := newSite(t, func(c *Config) { c.Now = time.Now })
		s.app.credentials = map[string]application.Recognition{"good": application.Recognized}
		return s
	}
	withBearers := func(t *testing.T) *site {
		t.Helper()
		s, _, _ := newSiteWithBearers(t, Policy{})
		s.handler.config.Now = time.Now
		s.handler = New(s.handler.config)
		return s
	}
	for name, c := range map[string]struct {
		newSite       func(*testing.T) *site
		target, field string
		asked         func(s *site) int
		change        func(ctx context.Context, other *Gate)
	}{
		"a token of the application, and changed accounts": {withCredentials, "/token", "good", func(s *site) int { return s.app.asked }, func(ctx context.Context, other *Gate) { other.AccountsChanged(ctx) }},
		"a token of the application, and a shut":           {withCredentials, "/token", "good", func(s *site) int { return s.app.asked }, func(ctx context.Context, other *Gate) { other.accountsShut(ctx) }},
		"an access token, and changed accounts":            {withBearers, "/bearer", "Bearer x", func(s *site) int { return s.app.confirms }, func(ctx context.Context, other *Gate) { other.AccountsChanged(ctx) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := func(s *site) int {
				t.Helper()
				if w := s.do(t, c.target, "Authorization", c.field); w.Code != http.StatusOK {
					t.Fatalf("got %d %s, want 200", w.Code, w.Body)
				}
				return c.asked(s)
			}
			inRest(t, c.newSite, func(s *site) { ask(s) }, func(s *site, other *Gate) {
				ask(s)
				time.Sleep(time.Second) // the gate looks at what happened during its rest
				before := ask(s)
				if now := ask(s); now != before {
					t.Errorf("asked %d times in the same second, want %d", now, before)
				}
				c.change(t.Context(), other)
				time.Sleep(4 * time.Second)
				synctest.Wait()
				if now := ask(s); now != before+1 {
					t.Errorf("asked %d times after a change on another node, want %d", now, before+1)
				}
			})
		})
	}
}

// An account could not be shut. The gate tries again, however long that takes, although
// it has no session.
func TestRestedGateRetriesShuts(t *testing.T) {
	t.Parallel()
	inRest(t, func(t *testing.T) *site { t.Helper(); return newSite(t, nil) }, func(*site) {}, func(s *site, _ *Gate) {
		failing := errors.New("the storage is full")
		set := func(err error) {
			s.app.mu.Lock()
			defer s.app.mu.Unlock()
			s.app.shutErr = err
		}
		set(failing)
		gate := s.handler.config.Gate
		gate.shutSoon(&flow.Identity{Issuer: "https://auth.example.com", Subject: "1"}, "")
		time.Sleep(time.Hour)
		synctest.Wait()
		if gate.shuts.len() != 1 || gate.Sessions.Resting() != nil {
			t.Errorf("%d accounts wait, resting %t, want 1, false", gate.shuts.len(), gate.Sessions.Resting() != nil)
		}
		set(nil)
		time.Sleep(2 * shutMost)
		synctest.Wait()
		if gate.shuts.len() != 0 {
			t.Errorf("%d accounts wait, want none", gate.shuts.len())
		}
	})
}
