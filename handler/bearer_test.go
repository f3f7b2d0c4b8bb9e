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
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
)

// vouching is a provider that says of every access token the same.
type vouching struct {
	introspection, userinfo string
	away                    bool
	asked                   int
}

func (p *vouching) RoundTrip(r *http.Request) (*http.Response, error) {
	const issuer = "https://auth.example.com"
	if p.away {
		return nil, errors.New("away")
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

// bearerFixture is a fixture at a provider that vouches for every token.
func bearerFixture(t *testing.T, policy Policy) (f *fixture, p *vouching, pass func(time.Duration)) {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	clock := func() time.Time { return now }
	p = &vouching{introspection: active, userinfo: userinfo}
	f = newFixture(t, func(c *Config) {
		c.Now, c.Policy = clock, policy
		c.RelyingParty = flow.New(flow.Config{
			Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: "s", Client: &http.Client{Transport: p}, Now: clock,
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
		})
	})
	return f, p, func(d time.Duration) { now = now.Add(d) }
}

// An access token is stamped as its user's session is, and never reaches the
// application itself. The provider is asked once a minute.
func TestBearer(t *testing.T) {
	t.Parallel()
	f, p, pass := bearerFixture(t, Policy{})
	for _, target := range []string{"/bearer", "POST /bearer"} {
		if w := f.do(t, target, "Authorization", "Bearer x", "Cookie", "a=b; app_session=forged", "Remote-User", "root"); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for _, r := range f.seen {
		if r.Header.Get("Cookie") != "app_session=app-i" || r.Header.Get("Authorization") != "" || r.Header.Get("X-Unforgeable") != "yes" || r.Header.Get("Remote-User") != "" {
			t.Errorf("passed on with %v", r.Header)
		}
	}
	if f.chain.identity == nil || f.chain.identity.Username != "alice" {
		t.Errorf("the log says %v", f.chain.identity)
	}
	pass(recognizedFor)
	if w := f.do(t, "/bearer", "Authorization", "bearer x"); w.Code != http.StatusOK || p.asked != 2 || f.app.signIns != 1 {
		t.Errorf("%d, asked %d times, signed in %d times", w.Code, p.asked, f.app.signIns)
	}
	f.do(t, "/bearer", "Authorization", "Bearer x")
	if f.app.confirms != 1 {
		t.Errorf("asked %d times whether the application's session lives", f.app.confirms)
	}
	f.do(t, "/bearer", "Authorization", "Bearer y")
	if f.app.signIns != 2 {
		t.Error("two tokens share a session")
	}
	if w := f.do(t, "POST /guarded", "Authorization", "Bearer x"); w.Code != http.StatusForbidden {
		t.Errorf("what even its user may not do: %d", w.Code)
	}
}

// What the provider no longer vouches for, or whom the policy no longer lets
// in, is out within a minute, and out of the application too.
func TestBearerEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*vouching)
		status int
		code   string
	}{
		"revoked":      {func(p *vouching) { p.introspection = inactive }, 418, "credential_unknown"},
		"disabled":     {func(p *vouching) { p.userinfo = `{"sub":"1"}` }, 418, "credential_unknown"},
		"out of group": {func(p *vouching) { p.userinfo = strings.Replace(userinfo, `"a"`, `"b"`, 1) }, 403, "not_allowed"},
		"another's":    {func(p *vouching) { p.introspection = strings.Replace(active, `"romm"`, `"other"`, 1) }, 418, "credential_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p, pass := bearerFixture(t, Policy{Groups: []string{"a"}})
			f.app.status = http.StatusTeapot // what the application's clients understand
			f.do(t, "/bearer", "Authorization", "Bearer x")
			c.change(p)
			pass(recognizedFor - time.Second)
			if w := f.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusOK {
				t.Errorf("within the minute: %d", w.Code)
			}
			pass(time.Second)
			if w := f.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != c.status || !strings.Contains(w.Body.String(), c.code) || len(f.seen) != 2 {
				t.Errorf("%d %s, passed %d", w.Code, w.Body, len(f.seen))
			}
			if !slices.Equal(f.app.ended, []string{"app-i"}) {
				t.Errorf("signed out of the application: %v", f.app.ended)
			}
			if f.app.signIns != 1 {
				t.Error("signed in to the application first")
			}
		})
	}
}

// A new configuration's policy holds at once.
func TestBearerAfterAReload(t *testing.T) {
	t.Parallel()
	f, _, _ := bearerFixture(t, Policy{})
	f.do(t, "/bearer", "Authorization", "Bearer x")
	stricter := f.handler.config
	stricter.Policy = Policy{Groups: []string{"b"}}
	f.handler = New(stricter)
	if w := f.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}

// A token is taken for good no longer than it lives.
func TestBearerExpires(t *testing.T) {
	t.Parallel()
	f, p, pass := bearerFixture(t, Policy{})
	p.introspection = fmt.Sprintf(`{"active":true,"client_id":"romm","sub":"1","exp":%d}`, f.handler.now().Unix()+10)
	f.do(t, "/bearer", "Authorization", "Bearer x")
	pass(10 * time.Second)
	if w := f.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusUnauthorized {
		t.Errorf("%d", w.Code)
	}
}

// Roles may hang on what the provider says now, and the application may forget
// its session: both sign in again, and leave nothing behind.
func TestBearerSignsInAgain(t *testing.T) {
	t.Parallel()
	f, p, pass := bearerFixture(t, Policy{})
	f.do(t, "/bearer", "Authorization", "Bearer x")
	p.userinfo = strings.Replace(userinfo, `"a"`, `"b"`, 1)
	pass(recognizedFor)
	f.do(t, "/bearer", "Authorization", "Bearer x")
	delete(f.app.alive, "app-ii")
	f.handler.applicationFailed()
	pass(time.Second)
	if w := f.do(t, "POST /bearer", "Authorization", "Bearer x"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for i, want := range []string{"app-i", "app-ii", "app-iii"} {
		if got := f.seen[i].Header.Get("Cookie"); got != "app_session="+want {
			t.Errorf("request %d: %s, want %s", i+1, got, want)
		}
	}
	if !slices.Equal(f.app.ended, []string{"app-i", "app-ii"}) {
		t.Errorf("signed out of the application: %v", f.app.ended)
	}
}

// Tokens are guessed no faster than passwords, and a provider that is away is
// nobody's fault.
func TestGuessingBearers(t *testing.T) {
	t.Parallel()
	f, p, pass := bearerFixture(t, Policy{})
	f.do(t, "/bearer", "Authorization", "Bearer good")
	pass(recognizedFor)
	p.introspection = inactive
	for range limit.AttemptLimit {
		if w := f.do(t, "/bearer", "Authorization", "Bearer bad"); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
	}
	asked := p.asked
	if w := f.do(t, "/bearer", "Authorization", "Bearer bad"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || p.asked != asked {
		t.Errorf("%d, asked %d times", w.Code, p.asked-asked)
	}
	p.introspection = active
	if w := f.do(t, "/bearer", "Authorization", "Bearer good"); w.Code != http.StatusOK {
		t.Errorf("who is known is shut out: %d", w.Code)
	}
	away, provider, _ := bearerFixture(t, Policy{})
	provider.away = true
	for range limit.AttemptLimit + 1 {
		if w := away.do(t, "/bearer", "Authorization", "Bearer x"); w.Code != http.StatusServiceUnavailable || len(away.seen) != 0 {
			t.Fatalf("%d", w.Code)
		}
	}
}

// Forged tokens are guesses, too, when the provider's keys were read for them
// so often that they are read no more.
func TestForgedBearersCount(t *testing.T) {
	t.Parallel()
	f, _, _ := bearerFixture(t, Policy{})
	segment := base64.RawURLEncoding.EncodeToString
	forged := segment([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"1"}`)) + "." + segment([]byte(`{"iss":"https://auth.example.com"}`)) + "." + segment(make([]byte, 64))
	unavailable := 0
	for i := range limit.AttemptLimit {
		switch w := f.do(t, "/bearer", "Authorization", "Bearer "+forged); w.Code {
		case http.StatusServiceUnavailable:
			unavailable++
		case http.StatusUnauthorized:
		default:
			t.Fatalf("token %d: %d %s", i+1, w.Code, w.Body)
		}
	}
	if w := f.do(t, "/bearer", "Authorization", "Bearer "+forged); w.Code != http.StatusTooManyRequests || unavailable == 0 {
		t.Errorf("one too many: %d; %d of the others could not be checked", w.Code, unavailable)
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
		t.Errorf("%d are kept, %d ended", len(m.known), ended)
	}
	if ended := m.put([sha256.Size]byte{1}, &bearer{}, now.Add(2*time.Hour)); len(ended) != endedAtOnce {
		t.Errorf("%d of the expired ended", len(ended))
	}
}
