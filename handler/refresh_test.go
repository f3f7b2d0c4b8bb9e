package handler

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// crowd sends n requests with a ticket at once, and fails unless all are answered.
func (s *site) crowd(gate *Handler, ticket string, n int) {
	s.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Cookie", ticket)
			w := httptest.NewRecorder()
			if err := gate.ServeHTTP(w, r, &chainFunc{serve: s.chain.serve}); err != nil || w.Code != http.StatusOK {
				s.Errorf("%d %v", w.Code, err)
			}
		})
	}
	wg.Wait()
}

// 200 requests at the moment at which the access token expires, against a
// provider that takes two refreshes for a theft: one refresh, and all answered.
func TestExpiryUnderLoad(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *site) {
		ticket := s.as("alice")
		s.after(time.Hour - 30*time.Second)
		s.op.ForgetRequests()
		s.crowd(s.handler, ticket, 200)
		s.settle()
		s.crowd(s.handler, ticket, 200)
		s.settle()
		s.calls(authelia.EndpointToken, 1)
		s.calls(authelia.EndpointUserinfo, 1)
		record := s.session(ticket).Record()
		if unproven(record) || time.Until(record.Tokens.Expires) < 50*time.Minute {
			s.Errorf("expires in %s, unproven since %s", time.Until(record.Tokens.Expires), record.UnprovenSince)
		}
		if _, err := s.handler.config.RelyingParty.Recheck(s.Context(), record.Tokens, record.Identity); err != nil {
			s.Errorf("the family is dead: %v", err)
		}
	})
}

// Two nodes at that moment: the one that gets the lock second takes what the
// first got, and asks nothing.
func TestExpiryOnTwoNodes(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *site) {
		ticket := s.as("alice")
		store := session.New(session.Options{Gate: "gate", Logger: zap.NewNop()})
		store.Configure(s.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
		cfg := s.handler.config
		cfg.Gate = NewGate(store)
		go cfg.Gate.Run(s.Context())
		cfg.RelyingParty = flow.New(s.partyConfig(s.party.Scopes, store))
		other := New(cfg)
		s.after(30 * time.Minute)
		s.crowd(other, ticket, 1)
		s.crowd(s.handler, ticket, 1)
		s.after(30*time.Minute - 20*time.Second)
		s.op.ForgetRequests()
		var wg sync.WaitGroup
		for _, gate := range []*Handler{s.handler, other} {
			wg.Go(func() { s.crowd(gate, ticket, 50) })
		}
		wg.Wait()
		s.settle()
		s.calls(authelia.EndpointToken, 1)
		s.crowd(s.handler, ticket, 1)
		s.crowd(other, ticket, 1)
		if unproven(s.session(ticket).Record()) {
			s.Error("the family is dead")
		}
	})
}

// No request waits for a provider that does not answer.
func TestRefreshIsInNobodysWay(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *site) {
		ticket := s.as("alice")
		s.after(50 * time.Minute)
		s.upstream(s.open("/", ticket))
		s.after(15 * time.Minute)
		s.op.Hang()
		began := time.Now()
		s.save(ticket)
		s.upstream(s.open("/", ticket))
		s.crowd(s.handler, ticket, 10)
		if waited := time.Since(began); waited != 0 {
			s.Errorf("waited %s", waited)
		}
		s.op.Up()
		s.after(time.Minute)
		s.save(ticket)
		s.settle()
		if record := s.session(ticket).Record(); unproven(record) {
			s.Error("a provider that hung made the session unproven")
		}
	})
}

// A provider that is away for a day ends nothing, is asked less and less, and
// is asked again when it is back.
func TestProviderAwayForADay(t *testing.T) {
	inBubble(t, refreshingClient, func(c *Config) {
		c.Gate.Sessions.Configure(&memory{values: map[string][]byte{}}, session.Limits{Idle: session.DefaultIdle, Lifetime: session.DefaultLifetime})
	}, func(s *site) {
		s.op.SetLifespans(authelia.Lifespans{RefreshToken: 30 * 24 * time.Hour})
		ticket := s.as("alice")
		s.after(5 * time.Minute)
		s.op.Unavailable()
		s.op.ForgetRequests()
		for range 24 * 60 {
			s.after(time.Minute)
			s.upstream(s.open("/", ticket))
		}
		asked := s.op.Calls(authelia.EndpointToken) + s.op.Calls(authelia.EndpointUserinfo)
		if asked < 50 || asked > 400 {
			s.Errorf("asked %d times", asked)
		}
		s.op.Up()
		for range 10 {
			s.after(time.Minute)
			s.save(ticket)
		}
		s.settle()
		if record := s.session(ticket).Record(); unproven(record) || time.Until(record.Tokens.Expires) < 30*time.Minute {
			s.Errorf("not refreshed since: %+v", record.Tokens.Expires)
		}
	})
}

// Without the lock, which is in storage, the tokens are left alone.
func TestNoRefreshWithoutStorage(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *site) {
		ticket := s.as("alice")
		s.after(30 * time.Minute)
		s.save(ticket)
		s.after(29 * time.Minute)
		s.storage.fail(application.ErrAborted)
		s.op.ForgetRequests()
		s.save(ticket)
		s.settle()
		s.calls(authelia.EndpointToken, 0)
		s.storage.fail(nil)
		s.after(time.Minute)
		s.save(ticket)
		s.settle()
		s.calls(authelia.EndpointToken, 1)
	})
}

// A session that only holds a socket keeps its proof for as long as it is open.
func TestSocketIsRefreshedByTimer(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *site) {
		socket := s.socket(s.as("alice"))
		s.op.ForgetRequests()
		s.after(10 * time.Hour)
		if !isOpen(socket) {
			s.Error("the socket was closed")
		}
		if n := s.op.Calls(authelia.EndpointToken); n != 10 {
			s.Errorf("refreshed %d times in 10 hours", n)
		}
		if n := s.op.Calls(authelia.EndpointUserinfo); n < 115 || n > 131 {
			s.Errorf("checked %d times in 10 hours", n)
		}
		began := time.Now()
		s.op.DisableUser("alice")
		<-socket
		if took := time.Since(began); took > s.handler.config.Recheck+5*time.Second {
			s.Errorf("closed after %s", took)
		}
		s.settle()
		if ended := s.ended(); len(ended) != 1 || ended[0] != reasonAccountGone {
			s.Errorf("ended %v", ended)
		}
	})
}
