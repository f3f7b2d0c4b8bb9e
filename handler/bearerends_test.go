// Access tokens that were ended before they expired.

package handler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// An operator, or the provider, ends everything of a user. The access tokens that
// the user has by then are refused at once, on this node and on others, whether or
// not a node knew them. A later token is good.
func TestEndedTokensAreRefused(t *testing.T) {
	t.Parallel()
	byName := func(identity *flow.Identity) bool { return identity.Username == "alice" }
	none := func(*flow.Identity) bool { return false }
	for name, end := range map[string]func(g *Gate, ctx context.Context) (int, error){
		"by name": func(g *Gate, ctx context.Context) (int, error) { return g.EndTokens(ctx, nil, byName, "operator") },
		"by subject": func(g *Gate, ctx context.Context) (int, error) {
			return g.EndTokens(ctx, []string{session.UserKey(alice.Issuer, "1")}, none, "operator")
		},
		"all": func(g *Gate, ctx context.Context) (int, error) { return g.EndAllTokens(ctx, "operator") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p, pass := newSiteWithBearers(t, Policy{})
			issued := func(at time.Time) {
				p.introspection = fmt.Sprintf(`{"active":true,"client_id":"romm","sub":"1","iat":%d}`, at.Unix())
			}
			issued(s.handler.now())
			other := New(s.handler.config)
			other.config.Gate = otherNode(t, s)
			ask := func(h *Handler, token string) int {
				t.Helper()
				here := s.handler
				s.handler = h
				defer func() { s.handler = here }()
				return s.do(t, "/bearer", "Authorization", "Bearer "+token).Code
			}
			for _, h := range []*Handler{s.handler, other} {
				if code := ask(h, "x"); code != http.StatusOK {
					t.Fatalf("before the end: got %d, want 200", code)
				}
			}
			pass(time.Second)
			if n, err := end(s.handler.config.Gate, t.Context()); n != 1 || err != nil {
				t.Fatalf("ended %d, %v, want 1", n, err)
			}
			other.config.Gate.doubt() // as its next poll finds out
			for node, h := range map[string]*Handler{"this node": s.handler, "another node": other} {
				for _, token := range []string{"x", "never seen"} {
					if code := ask(h, token); code != http.StatusUnauthorized {
						t.Errorf("%s, token %q: got %d, want 401", node, token, code)
					}
				}
			}
			pass(time.Hour)
			if code := ask(s.handler, "x"); code != http.StatusUnauthorized {
				t.Errorf("an hour later: got %d, want 401", code)
			}
			issued(s.handler.now())
			if code := ask(s.handler, "new"); code != http.StatusOK {
				t.Errorf("a token that was issued later: got %d, want 200", code)
			}
			if ended := s.endedInApplication(t, 2); !slices.Contains(ended, "app-i") || !slices.Contains(ended, "app-ii") {
				t.Errorf("signed out of the application: %v, want app-i and app-ii", ended)
			}
		})
	}
}

// otherNode returns the gate of another node with the storage of s.
func otherNode(t *testing.T, s *site) *Gate {
	t.Helper()
	store := session.New(session.Options{Gate: "gate"})
	t.Cleanup(store.Close)
	store.Configure(s.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
	g := NewGate(store)
	go g.Run(t.Context())
	return g
}

// A request with an access token must not meet a session of another account, or one
// in another role, either.
func TestBearerIsConfirmed(t *testing.T) {
	t.Parallel()
	s, _, _ := newSiteWithBearers(t, Policy{})
	role := ""
	s.app.role = func(*flow.Identity) (string, error) { return role, nil }
	s.do(t, "/bearer", "Authorization", "Bearer x")
	delete(s.app.alive, "app-i")
	s.handler.config.Gate.doubt()
	s.do(t, "/bearer", "Authorization", "Bearer x")
	role = "user"
	s.handler = New(s.handler.config)
	s.do(t, "/bearer", "Authorization", "Bearer x")
	for i, want := range []string{"app-i", "app-ii", "app-iii"} {
		if got := s.seen[i].Header.Get("Cookie"); got != "app_session="+want {
			t.Errorf("request %d was passed on with %q, want the session %s", i+1, got, want)
		}
	}
	s.app.away = errors.New("away")
	s.handler.config.Gate.doubt()
	if w := s.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusBadGateway || len(s.seen) != 3 {
		t.Errorf("not confirmed: got %d and %d requests at the application, want 502 and 3", w.Code, len(s.seen))
	}
}

// A client brings an access token of alice's with fewer scopes than a sign-in asks for.
// What userinfo leaves out for want of a scope neither ends her sessions nor takes a role
// away. The same answer to a token with all scopes does.
func TestNarrowAccessTokenSaysNothingAboutItsUser(t *testing.T) {
	t.Parallel()
	const groupless = `{"sub":"1","preferred_username":"alice","email":"alice@example.com","email_verified":true}`
	for name, c := range map[string]struct {
		scope, userinfo string
		status          int
		out             bool
	}{
		"no name":              {`"openid email"`, `{"sub":"1","email":"alice@example.com","email_verified":true}`, http.StatusUnauthorized, false},
		"subject only":         {`"openid"`, `{"sub":"1"}`, http.StatusUnauthorized, false},
		"no address":           {`"openid profile"`, `{"sub":"1","preferred_username":"alice"}`, http.StatusForbidden, false},
		"no groups":            {`"openid profile email"`, groupless, http.StatusForbidden, false},
		"no groups, as a list": {`["openid","profile","email"]`, groupless, http.StatusForbidden, false},
		"all scopes":           {`"openid profile email groups"`, userinfo, http.StatusOK, false},
		"more scopes":          {`"openid profile email groups phone"`, userinfo, http.StatusOK, false},
		"all, and gone":        {`"openid profile email groups"`, `{"sub":"1"}`, http.StatusUnauthorized, true},
		"all, and in no group": {`"openid profile email groups"`, groupless, http.StatusForbidden, true},
		"not said, and gone":   {`null`, `{"sub":"1"}`, http.StatusUnauthorized, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p, _ := newSiteWithBearers(t, Policy{Groups: []string{"a"}})
			cfg := s.handler.config
			cfg.GroupRules = true
			cfg.RelyingParty = flow.New(flow.Config{
				Issuer: alice.Issuer, ClientID: "romm", ClientSecret: "s", Client: &http.Client{Transport: p}, Now: cfg.Now,
				UsernameClaim: "preferred_username", GroupsClaim: "groups", Scopes: []string{"openid", "profile", "email", "groups", "offline_access"},
			})
			s.handler = New(cfg)
			s.do(t, "/open") // which lets the gate know the handler
			p.introspection, p.userinfo = `{"active":true,"client_id":"romm","sub":"1","scope":`+c.scope+`}`, c.userinfo
			if w := s.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != c.status {
				t.Errorf("the token: got %d %s, want %d", w.Code, w.Body, c.status)
			}
			waits := s.handler.config.Gate.shuts.len()
			s.app.mu.Lock()
			defer s.app.mu.Unlock()
			if out := waits+len(s.app.gone) > 0; out != c.out {
				t.Errorf("alice was put out: %v, want %v", out, c.out)
			}
		})
	}
}
