// Access tokens of the provider as credentials: checked, stamped, limited.

package handler

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// bearerProvider is a provider that answers the same for every access token.
type bearerProvider struct {
	introspection, userinfo string
	down                    bool
	asked                   int
}

func (p *bearerProvider) RoundTrip(r *http.Request) (*http.Response, error) {
	const issuer = "https://auth.example.com"
	if p.down {
		return nil, errors.New("provider down")
	}
	body := ""
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		body = `{"issuer":"` + issuer + `","authorization_endpoint":"` + issuer + `/a","token_endpoint":"` + issuer + `/t",` +
			`"userinfo_endpoint":"` + issuer + `/u","jwks_uri":"` + issuer + `/k","introspection_endpoint":"` + issuer + `/i"}`
	case "/i":
		p.asked++
		body = p.introspection
	case "/u":
		body = p.userinfo
	case "/k":
		body = `{"keys":[]}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

const (
	active   = `{"active":true,"client_id":"romm","sub":"1"}`
	inactive = `{"active":false}`
	userinfo = `{"sub":"1","preferred_username":"alice","email":"alice@example.com","email_verified":true,"groups":["a"]}`
)

// newSiteWithBearers returns a site with a provider that accepts every access token,
// the provider, and a function that advances the clock.
func newSiteWithBearers(t *testing.T, policy Policy) (s *site, p *bearerProvider, pass func(time.Duration)) {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	clock := func() time.Time { return now }
	p = &bearerProvider{introspection: active, userinfo: userinfo}
	s = newSite(t, func(c *Config) {
		c.Now, c.Policy = clock, policy
		c.RelyingParty = flow.New(flow.Config{
			Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: "s", Client: &http.Client{Transport: p}, Now: clock,
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
		})
	})
	return s, p, func(d time.Duration) { now = now.Add(d) }
}

// A request with an access token is stamped like one with a session. The token itself
// never reaches the application, and the gate introspects it once a minute.
func TestBearer(t *testing.T) {
	t.Parallel()
	s, p, pass := newSiteWithBearers(t, Policy{})
	for _, target := range []string{"/bearer", "POST /bearer"} {
		if w := s.do(t, target, "Authorization", "Bearer x", "Cookie", "a=b; app_session=forged", "Remote-User", "root"); w.Code != http.StatusOK {
			t.Fatalf("%s: got %d %s, want 200", target, w.Code, w.Body)
		}
	}
	for _, r := range s.seen {
		if r.Header.Get("Cookie") != "app_session=app-i" || r.Header.Get("Authorization") != "" || r.Header.Get("X-Unforgeable") != "yes" || r.Header.Get("Remote-User") != "" {
			t.Errorf("passed on with %v, want the stamp and no token", r.Header)
		}
	}
	if user := s.chain.user(); user != "alice" {
		t.Errorf("the server was told the user %q, want alice", user)
	}
	pass(recognizedFor)
	if w := s.do(t, "/bearer", "Authorization", "bearer x"); w.Code != http.StatusOK || p.asked != 2 || s.app.signIns != 1 {
		t.Errorf("a minute later: got %d, %d introspections and %d sign-ins, want 200, 2 and 1", w.Code, p.asked, s.app.signIns)
	}
	s.do(t, "/bearer", "Authorization", "Bearer x")
	if s.app.confirms != 1 {
		t.Errorf("%d calls of Confirm, want 1", s.app.confirms)
	}
	s.do(t, "/bearer", "Authorization", "Bearer y")
	if s.app.signIns != 2 {
		t.Errorf("%d sign-ins for two tokens, want 2", s.app.signIns)
	}
	if w := s.do(t, "POST /guarded", "Authorization", "Bearer x"); w.Code != http.StatusForbidden {
		t.Errorf("POST /guarded: got %d, want 403", w.Code)
	}
}

// The provider rejects the token, or the policy rejects its user. Within a minute the
// token is refused and signed out of the application.
func TestBearerEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*bearerProvider)
		status int
		code   string
	}{
		"token revoked": {func(p *bearerProvider) { p.introspection = inactive }, 418, "credential_unknown"},
		"user disabled": {func(p *bearerProvider) { p.userinfo = `{"sub":"1"}` }, 418, "credential_unknown"},
		"group removed": {func(p *bearerProvider) { p.userinfo = strings.Replace(userinfo, `"a"`, `"b"`, 1) }, 403, "not_allowed"},
		"other client":  {func(p *bearerProvider) { p.introspection = strings.Replace(active, `"romm"`, `"other"`, 1) }, 418, "credential_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p, pass := newSiteWithBearers(t, Policy{Groups: []string{"a"}})
			s.app.status = http.StatusTeapot // the application's own status for a refusal
			s.do(t, "/bearer", "Authorization", "Bearer x")
			c.change(p)
			pass(recognizedFor - time.Second)
			if w := s.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusOK {
				t.Errorf("within the minute: got %d, want 200", w.Code)
			}
			pass(time.Second)
			if w := s.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != c.status || !strings.Contains(w.Body.String(), c.code) || len(s.seen) != 2 {
				t.Errorf("after a minute: got %d %s and %d requests at the application, want %d %s and 2", w.Code, w.Body, len(s.seen), c.status, c.code)
			}
			if !slices.Equal(s.app.ended, []string{"app-i"}) {
				t.Errorf("signed out of the application: %v, want [app-i]", s.app.ended)
			}
			if s.app.signIns != 1 {
				t.Errorf("%d sign-ins, want 1: a refused token must not sign in", s.app.signIns)
			}
		})
	}
}

// The policy of a new configuration applies at once.
func TestBearerAfterAReload(t *testing.T) {
	t.Parallel()
	s, _, _ := newSiteWithBearers(t, Policy{})
	s.do(t, "/bearer", "Authorization", "Bearer x")
	stricter := s.handler.config
	stricter.Policy = Policy{Groups: []string{"b"}}
	s.handler = New(stricter)
	if w := s.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusForbidden {
		t.Errorf("after the reload: got %d, want 403", w.Code)
	}
}

// The gate accepts a token until it expires, even within the minute.
func TestBearerExpires(t *testing.T) {
	t.Parallel()
	s, p, pass := newSiteWithBearers(t, Policy{})
	p.introspection = fmt.Sprintf(`{"active":true,"client_id":"romm","sub":"1","exp":%d}`, s.handler.now().Unix()+10)
	s.do(t, "/bearer", "Authorization", "Bearer x")
	pass(10 * time.Second)
	if w := s.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusUnauthorized {
		t.Errorf("expired token: got %d, want 401", w.Code)
	}
}

// The user's groups change, or the application forgets the session. Both times the
// gate signs the user in again and signs the old session out.
func TestBearerSignsInAgain(t *testing.T) {
	t.Parallel()
	s, p, pass := newSiteWithBearers(t, Policy{})
	s.do(t, "/bearer", "Authorization", "Bearer x")
	p.userinfo = strings.Replace(userinfo, `"a"`, `"b"`, 1)
	pass(recognizedFor)
	s.do(t, "/bearer", "Authorization", "Bearer x")
	delete(s.app.alive, "app-ii")
	s.handler.applicationFailed()
	pass(time.Second)
	if w := s.do(t, "POST /bearer", "Authorization", "Bearer x"); w.Code != http.StatusOK {
		t.Errorf("after the application failed: got %d %s, want 200", w.Code, w.Body)
	}
	for i, want := range []string{"app-i", "app-ii", "app-iii"} {
		if got := s.seen[i].Header.Get("Cookie"); got != "app_session="+want {
			t.Errorf("request %d was passed on with %q, want the session %s", i+1, got, want)
		}
	}
	if !slices.Equal(s.app.ended, []string{"app-i", "app-ii"}) {
		t.Errorf("signed out of the application: %v, want [app-i app-ii]", s.app.ended)
	}
}

// An attacker guesses tokens no faster than passwords. While the provider is down,
// tokens do not count as guesses.
func TestGuessingBearers(t *testing.T) {
	t.Parallel()
	s, p, pass := newSiteWithBearers(t, Policy{})
	s.do(t, "/bearer", "Authorization", "Bearer good")
	pass(recognizedFor)
	p.introspection = inactive
	for range attemptLimit {
		if w := s.do(t, "/bearer", "Authorization", "Bearer bad"); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Fatalf("wrong token: got %d %v, want 401 with WWW-Authenticate: Bearer", w.Code, w.Header())
		}
	}
	asked := p.asked
	if w := s.do(t, "/bearer", "Authorization", "Bearer bad"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || p.asked != asked {
		t.Errorf("wrong token over the limit: got %d after %d introspections, want 429 with Retry-After after 0", w.Code, p.asked-asked)
	}
	p.introspection = active
	if w := s.do(t, "/bearer", "Authorization", "Bearer good"); w.Code != http.StatusOK {
		t.Errorf("known token over the limit: got %d, want 200", w.Code)
	}
	down, provider, _ := newSiteWithBearers(t, Policy{})
	provider.down = true
	for range attemptLimit + 1 {
		if w := down.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusServiceUnavailable || len(down.seen) != 0 {
			t.Fatalf("provider down: got %d and %d requests at the application, want 503 and 0", w.Code, len(down.seen))
		}
	}
}

// Forged tokens cause key reads. When those are used up, forged tokens still count
// as guesses.
func TestForgedBearersCount(t *testing.T) {
	t.Parallel()
	s, _, _ := newSiteWithBearers(t, Policy{})
	segment := base64.RawURLEncoding.EncodeToString
	forged := segment([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"1"}`)) + "." + segment([]byte(`{"iss":"https://auth.example.com"}`)) + "." + segment(make([]byte, 64))
	unavailable := 0
	for i := range attemptLimit {
		switch w := s.do(t, "/bearer", "Authorization", "Bearer "+forged); w.Code {
		case http.StatusServiceUnavailable:
			unavailable++
		case http.StatusUnauthorized:
		default:
			t.Fatalf("forged token %d: got %d %s, want 401 or 503", i+1, w.Code, w.Body)
		}
	}
	if w := s.do(t, "/bearer", "Authorization", "Bearer "+forged); w.Code != http.StatusTooManyRequests || unavailable == 0 {
		t.Errorf("forged token over the limit: got %d after %d responses of 503, want 429 after at least one", w.Code, unavailable)
	}
}

func TestBearersAreBounded(t *testing.T) {
	t.Parallel()
	var m bearers
	now, ended := time.Now(), 0
	for i := range uint64(bearersKept + 10) {
		var key [sha256.Size]byte
		binary.BigEndian.PutUint64(key[:], i)
		ended += len(m.put(key, &bearer{expires: now.Add(time.Hour)}, now))
	}
	if len(m.known) != bearersKept || ended != 10 {
		t.Errorf("%d bearers kept and %d evicted, want %d and 10", len(m.known), ended, bearersKept)
	}
	if ended := m.put([sha256.Size]byte{1}, &bearer{}, now.Add(2*time.Hour)); len(ended) != endedAtOnce {
		t.Errorf("%d expired bearers evicted by one put, want %d", len(ended), endedAtOnce)
	}
}

// An access token that is forgotten, because it expired or because there are
// too many, leaves no session behind in the application.
func TestForgottenBearersAreSignedOut(t *testing.T) {
	t.Parallel()
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		s, p, pass := newSiteWithBearers(t, Policy{})
		p.introspection = fmt.Sprintf(`{"active":true,"client_id":"romm","sub":"1","exp":%d}`, s.handler.now().Unix()+10)
		s.do(t, "/bearer", "Authorization", "Bearer x")
		pass(11 * time.Second)
		p.introspection = active
		s.do(t, "/bearer", "Authorization", "Bearer y")
		if want := []string{"app-i"}; !slices.Equal(s.app.ended, want) {
			t.Errorf("signed out of the application: %v, want %v", s.app.ended, want)
		}
	})
	t.Run("too many", func(t *testing.T) {
		t.Parallel()
		s, _, _ := newSiteWithBearers(t, Policy{})
		for i := range uint64(bearersKept) {
			var key [sha256.Size]byte
			binary.BigEndian.PutUint64(key[:], i)
			s.handler.config.Gate.bearers.put(key, &bearer{record: &session.Record{Upstream: session.Upstream{ID: "app-old"}}}, s.handler.now())
		}
		s.do(t, "/bearer", "Authorization", "Bearer x")
		if want := []string{"app-old"}; !slices.Equal(s.app.ended, want) {
			t.Errorf("signed out of the application: %v, want %v", s.app.ended, want)
		}
	})
}
