// Refreshing access tokens: once, under load, on several nodes, during outages.

package handler

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// sendAtOnce sends n parallel requests with a ticket. The test fails unless all get 200.
func (s *siteWithProvider) sendAtOnce(gate *Handler, ticket string, n int) {
	s.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Cookie", ticket)
			w := httptest.NewRecorder()
			if err := gate.ServeHTTP(w, r, &chainFunc{serve: s.chain.serve}); err != nil || w.Code != http.StatusOK {
				s.Errorf("got %d, %v, want 200", w.Code, err)
			}
		})
	}
	wg.Wait()
}

// 200 requests arrive when the access token expires. The provider takes a second
// refresh for theft, so there is one refresh only, and all requests are answered.
func TestExpiryUnderLoad(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(time.Hour - 30*time.Second)
		s.op.ForgetRequests()
		s.sendAtOnce(s.handler, ticket, 200)
		s.settle()
		s.sendAtOnce(s.handler, ticket, 200)
		s.settle()
		s.wantCalls(authelia.EndpointToken, 1)
		s.wantCalls(authelia.EndpointUserinfo, 1)
		record := s.session(ticket).Record()
		if s.handler.unproven(record) || time.Until(record.Tokens.Expires) < 50*time.Minute {
			s.Errorf("the token expires in %s, the session is unproven since %s; want 50m or more, and proven", time.Until(record.Tokens.Expires), record.UnprovenSince)
		}
		if _, err := s.handler.config.RelyingParty.Recheck(s.Context(), record.Tokens, record.Identity); err != nil {
			s.Errorf("Recheck with the new tokens returned %v, want nil", err)
		}
	})
}

// The same on two nodes. The node that gets the lock second uses the tokens that the
// first one stored.
func TestExpiryOnTwoNodes(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		other := s.otherNode()
		s.advance(30 * time.Minute)
		s.sendAtOnce(other, ticket, 1)
		s.sendAtOnce(s.handler, ticket, 1)
		s.advance(30*time.Minute - 20*time.Second)
		s.op.ForgetRequests()
		var wg sync.WaitGroup
		for _, gate := range []*Handler{s.handler, other} {
			wg.Go(func() { s.sendAtOnce(gate, ticket, 50) })
		}
		wg.Wait()
		s.settle()
		s.wantCalls(authelia.EndpointToken, 1)
		s.sendAtOnce(s.handler, ticket, 1)
		s.sendAtOnce(other, ticket, 1)
		if s.handler.unproven(s.session(ticket).Record()) {
			s.Error("the session is unproven, want one refresh and live tokens")
		}
	})
}

// otherNode starts another node of the gate, over the same storage.
func (s *siteWithProvider) otherNode() *Handler {
	store := session.New(session.Options{Gate: "gate", Logger: zap.NewNop()})
	store.Configure(s.storage, session.Limits{Idle: 24 * time.Hour, Lifetime: 48 * time.Hour})
	cfg := s.handler.config
	cfg.Gate = NewGate(store)
	go cfg.Gate.Run(s.Context())
	cfg.RelyingParty = flow.New(s.partyConfig(&authelia.Client{Scopes: s.party.Scopes}, store))
	return New(cfg)
}

// A node that comes back to a session finds tokens that another node got, and
// that have expired since. It refreshes those: a user who was disabled meanwhile
// does not pass as one whose tokens merely ran out.
func TestExpiredTokensOfAnotherNodeAreRefreshed(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		other := s.otherNode()
		s.sendAtOnce(other, ticket, 1)
		for range 3 { // refreshes here after the first hour
			s.advance(35 * time.Minute)
			s.sendAtOnce(s.handler, ticket, 1)
			s.settle()
		}
		s.advance(40 * time.Minute)
		s.op.DisableUser("alice")
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
		r.TLS.HandshakeComplete = true
		r.Header.Set("Cookie", ticket)
		w := httptest.NewRecorder()
		if err := other.ServeHTTP(w, r, s.chain); err != nil || w.Code != http.StatusUnauthorized {
			s.Errorf("a disabled user's script got %d, %v from the other node, want 401", w.Code, err)
		}
	})
}

// Requests do not wait for a provider that hangs.
func TestRequestsDoNotWaitForARefresh(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.useFor(58*time.Minute, ticket)
		s.op.Hang()
		s.useFor(4*time.Minute, ticket)
		began := time.Now()
		s.save(ticket)
		s.wantUpstream(s.open("/", ticket))
		s.sendAtOnce(s.handler, ticket, 10)
		if waited := time.Since(began); waited != 0 {
			s.Errorf("requests waited %s, want 0", waited)
		}
		s.op.Up()
		s.advance(time.Minute)
		s.save(ticket)
		s.settle()
		if record := s.session(ticket).Record(); s.handler.unproven(record) {
			s.Error("the session is unproven after the provider hung, want proven")
		}
	})
}

// A provider that is down for a day ends no session. The gate asks it less and less
// often, and refreshes when it is back.
func TestProviderAwayForADay(t *testing.T) {
	inBubble(t, refreshingClient, func(c *Config) {
		c.Gate.Sessions.Configure(&memory{values: map[string][]byte{}}, session.Limits{Idle: session.DefaultIdle, Lifetime: session.DefaultLifetime})
	}, func(s *siteWithProvider) {
		s.op.SetLifespans(authelia.Lifespans{RefreshToken: 30 * 24 * time.Hour})
		ticket := s.signInAs("alice")
		s.advance(5 * time.Minute)
		s.op.Unavailable()
		s.op.ForgetRequests()
		for range 24 * 60 {
			s.advance(time.Minute)
			s.wantUpstream(s.open("/", ticket))
		}
		asked := s.op.Calls(authelia.EndpointToken) + s.op.Calls(authelia.EndpointUserinfo)
		if asked < 50 || asked > 400 {
			s.Errorf("%d requests at the provider in 24 hours, want 50 to 400", asked)
		}
		s.op.Up()
		for range 10 {
			s.advance(time.Minute)
			s.save(ticket)
		}
		s.settle()
		if record := s.session(ticket).Record(); s.handler.unproven(record) || time.Until(record.Tokens.Expires) < 30*time.Minute {
			s.Errorf("the session is unproven: %v, its token expires at %s; want a refresh since the outage", s.handler.unproven(record), record.Tokens.Expires)
		}
	})
}

// The lock is in the storage. Without it, the gate does not refresh.
func TestNoRefreshWithoutStorage(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(30 * time.Minute)
		s.save(ticket)
		s.advance(29 * time.Minute)
		s.storage.fail(errors.New("away"))
		s.op.ForgetRequests()
		s.save(ticket)
		s.settle()
		s.wantCalls(authelia.EndpointToken, 0)
		s.storage.fail(nil)
		s.advance(time.Minute)
		s.save(ticket)
		s.settle()
		s.wantCalls(authelia.EndpointToken, 1)
	})
}

// A session with only an open socket stays proven while the socket is open.
func TestSocketIsRefreshedByTimer(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		socket := s.openSocket(s.signInAs("alice"))
		s.op.ForgetRequests()
		s.advance(10 * time.Hour)
		if !isOpen(socket) {
			s.Error("the socket is closed after 10 hours, want it open")
		}
		if n := s.op.Calls(authelia.EndpointToken); n != 10 {
			s.Errorf("%d refreshes in 10 hours, want 10", n)
		}
		if n := s.op.Calls(authelia.EndpointUserinfo); n < 115 || n > 131 {
			s.Errorf("%d re-checks in 10 hours, want 115 to 131", n)
		}
		began := time.Now()
		s.op.DisableUser("alice")
		<-socket
		if took := time.Since(began); took > s.handler.config.Recheck+5*time.Second {
			s.Errorf("the socket closed %s after the user was disabled, want %s at most", took, s.handler.config.Recheck+5*time.Second)
		}
		s.settle()
		if ended := s.endReasons(); len(ended) != 1 || ended[0] != reasonAccountGone {
			s.Errorf("sessions ended with %v, want once %s", ended, reasonAccountGone)
		}
	})
}
