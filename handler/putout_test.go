// A user is put out while a sign-in of theirs is under way: what the provider said at
// its beginning neither keeps them in nor opens their account again.

package handler

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// openingApplication runs opening at the beginning of Open.
type openingApplication struct {
	*fakeApplication
	once    sync.Once
	opening func()
}

func (a *openingApplication) Open(ctx context.Context, identity flow.Identity) error {
	a.once.Do(a.opening)
	return a.fakeApplication.Open(ctx, identity)
}

// aliceOf is alice as a check finds her.
func (s *siteWithProvider) aliceOf() *flow.Identity {
	return &flow.Identity{Issuer: "https://auth.example.com", Subject: s.op.Subject("alice"), Username: "alice"}
}

// A check puts alice out just before her sign-in opens her account. The account is
// shut again.
func TestPutOutWhileTheSignInOpensTheAccount(t *testing.T) {
	app := new(openingApplication)
	inBubble(t, plainClient, func(c *Config) {
		app.fakeApplication = c.Application.(*fakeApplication)
		c.Application = app
	}, func(s *siteWithProvider) {
		var shut int
		app.opening = func() {
			s.handler.config.Gate.putOut(s.aliceOf(), reasonAccountGone)
			s.advance(time.Second)
			shut = len(s.app.gone)
		}
		if back := s.through(s.open("/"), "alice"); hasTicket(back.Header()) {
			s.Errorf("callback: got %d %v, want no ticket", back.Code, back.Header())
		}
		s.advance(time.Second)
		if len(s.app.opened) != 1 || shut == 0 || len(s.app.gone) == shut {
			s.Errorf("shut %d times, %d of them before the account was opened, want it shut after that", len(s.app.gone), shut)
		}
	})
}

// The same on another node, which cannot find the session that is not there yet.
func TestPutOutOnAnotherNodeWhileSigningIn(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		other := s.otherNode()
		other.keep(s.chain)
		var shut int
		s.app.during = func(int) {
			other.config.Gate.putOut(s.aliceOf(), reasonAccountGone)
			s.advance(time.Second)
			shut = len(s.app.gone)
		}
		back := s.through(s.open("/"), "alice")
		if back.Code != http.StatusForbidden || hasTicket(back.Header()) {
			s.Errorf("callback: got %d %v, want 403 without a ticket", back.Code, back.Header())
		}
		s.advance(time.Second)
		if shut == 0 || len(s.app.opened) > 0 && len(s.app.gone) == shut {
			s.Errorf("shut %d times, %d of them before the account was opened, want it shut after that", len(s.app.gone), shut)
		}
		if ended := s.endReasons(); len(ended) != 1 || ended[0] != reasonAccountGone {
			s.Errorf("sessions ended with %v, want %s", ended, reasonAccountGone)
		}
		s.app.during = nil
		if again := s.signInAs("alice"); s.session(again) == nil {
			s.Error("alice's next sign-in got no session, want one")
		}
	})
}
