package handler

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// rateLimited is a provider that limits token requests, as Authelia does by default.
func rateLimited(o *authelia.Options) {
	plainClient(o)
	o.NoRateLimit = false
}

// madeUp begins a sign-in as any stranger can and ends it with a code that
// the provider never gave.
func (s *site) madeUp() *httptest.ResponseRecorder {
	s.Helper()
	w := s.open("/")
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		s.Fatal(err)
	}
	response := url.Values{"state": {u.Query().Get("state")}, "code": {"authelia_ac_made.up"}, "iss": {"https://auth.example.com"}}
	return s.callback(w, "https://romm.example.com"+request.Base+"?"+response.Encode())
}

// Anybody gets a genuine state and may come back with a made-up code. Each
// costs a token request that fails, and after 30 in a minute Authelia refuses
// all of the gate's, everybody's sign-ins and refreshes.
func TestMadeUpCodesLockNobodyOut(t *testing.T) {
	inBubble(t, rateLimited, nil, func(s *site) {
		for hour := range 3 {
			for i := range 400 {
				s.chain.ip = fmt.Sprintf("2001:db8:7:%x::1", hour*400+i) // all of them one network's
				if i%2 == 0 {
					s.chain.ip = "203.0.113.7"
				}
				if w := s.madeUp(); w.Code != http.StatusBadGateway && w.Code != http.StatusTooManyRequests {
					s.Fatalf("a made-up code: %d %s", w.Code, w.Body)
				}
				s.after(9 * time.Second)
			}
			s.chain.ip = "192.0.2.1"
			s.upstream(s.open("/", s.as("alice")))
		}
	})
}

// Whoever waited sees why, and a moment later signs in from there as well.
func TestMadeUpCodesFromTheSameAddress(t *testing.T) {
	inBubble(t, rateLimited, nil, func(s *site) {
		for range 10 {
			s.madeUp()
		}
		w := s.through(s.open("/"), "alice")
		if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "too_many_sign_ins · reference") {
			s.Fatalf("%d %s", w.Code, w.Body)
		}
		if calls := s.op.Calls(authelia.EndpointToken); calls >= 10 {
			s.Errorf("%d token requests", calls)
		}
		s.after(time.Minute)
		s.upstream(s.open("/", s.as("alice")))
	})
}

// Whoever is signed in and only had to prove it goes on where they were.
func TestMadeUpCodesEndNoSession(t *testing.T) {
	inBubble(t, rateLimited, longLife, func(s *site) {
		ticket := s.as("alice")
		s.after(2 * time.Hour)
		s.save(ticket)
		s.settle()
		for range 10 {
			s.madeUp()
		}
		back := s.through(s.open("/library", ticket), "alice", ticket)
		if back.Code != http.StatusSeeOther || back.Header().Get("Location") != "/library" {
			s.Errorf("%d %s", back.Code, back.Body)
		}
		s.upstream(s.open("/library", ticket))
	})
}

// A wrong client secret is nobody's guess: its page stays, however many come,
// and once it is right everybody gets in.
func TestWrongSecretKeepsItsPage(t *testing.T) {
	inBubble(t, rateLimited, nil, func(s *site) {
		right := s.handler.config.RelyingParty
		wrong := s.party
		wrong.ClientSecret = "wrong"
		s.handler.config.RelyingParty = flow.New(wrong)
		for range 40 {
			if w := s.through(s.open("/"), "alice"); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "client_refused · reference") {
				s.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		s.handler.config.RelyingParty = right
		s.after(time.Minute)
		s.upstream(s.open("/", s.as("alice")))
	})
}
