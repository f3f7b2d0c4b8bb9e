package handler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const backchannelPath = request.Base + "/backchannel-logout"

// backchannel is a fixture whose provider sends logout tokens.
type backchannel struct {
	*fixture
	op *authelia.Server
}

func newBackchannel(tb testing.TB, change func(*Config)) *backchannel {
	tb.Helper()
	return newBackchannelAt(tb, time.Now, change)
}

// newBackchannelAt is newBackchannel with a relying party that takes its time from now.
func newBackchannelAt(tb testing.TB, now func() time.Time, change func(*Config)) *backchannel {
	tb.Helper()
	b := &backchannel{op: authelia.New(authelia.Options{
		Issuer:  alice.Issuer,
		Clients: []authelia.Client{{ID: "romm", Secret: "s", RedirectURIs: []string{"https://romm.example.com" + request.Base}, Scopes: []string{"openid"}}},
	})}
	b.fixture = newFixture(tb, func(c *Config) {
		c.RelyingParty = flow.New(flow.Config{
			Issuer: alice.Issuer, ClientID: "romm", ClientSecret: "s", RedirectURI: "https://romm.example.com" + request.Base,
			Scopes: []string{"openid"}, Client: &http.Client{Transport: b.op.Transport()}, Keyring: c.Gate.Sessions.Keyring, Now: now,
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
		})
		if change != nil {
			change(c)
		}
	})
	return b
}

// from signs identity in from a session at the provider and returns the cookie.
func (b *backchannel) from(tb testing.TB, identity flow.Identity, sid string) string {
	tb.Helper()
	ticket, _, err := b.handler.config.Gate.Sessions.Create(tb.Context(), session.Record{Identity: identity, Tokens: flow.Tokens{SID: sid}})
	if err != nil {
		tb.Fatal(err)
	}
	return "__Host-romm_oidc=" + ticket.String()
}

func (b *backchannel) lives(tb testing.TB, cookie string) bool {
	tb.Helper()
	return b.do(tb, "/api/x", "Cookie", cookie).Code == http.StatusOK
}

// token returns a logout token; claims are name, value, ...
func (b *backchannel) token(claims ...string) string {
	return b.op.LogoutToken("romm", authelia.SignedProperly, func(object map[string]any) {
		for i := 0; i < len(claims); i += 2 {
			object[claims[i]] = claims[i+1]
		}
	})
}

// ask sends a logout request as the provider does, and checks what every answer has.
func (b *backchannel) ask(tb testing.TB, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://romm.example.com"+backchannelPath, strings.NewReader(body))
	r.TLS.HandshakeComplete = true
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	if err := b.handler.ServeHTTP(w, r, b.chain); err != nil {
		tb.Fatal(err)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf("Cache-Control is %q", w.Header().Get("Cache-Control"))
	}
	return w
}

func form(token string) string { return url.Values{"logout_token": {token}}.Encode() }

func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims []string
		left   []int // of those below
	}{
		"a session":                   {[]string{"sid", "s1"}, []int{2, 3, 4}},
		"a session and its user":      {[]string{"sid", "s1", "sub", "1"}, []int{2, 3, 4}},
		"a user":                      {[]string{"sub", "1"}, []int{3, 4}},
		"a session that is not ours":  {[]string{"sid", "s9"}, []int{0, 1, 2, 3, 4}},
		"a user who is not signed in": {[]string{"sub", "9"}, []int{0, 1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackchannel(t, nil)
			cookies := []string{b.from(t, alice, "s1"), b.from(t, alice, "s1"), b.from(t, alice, "s2"), b.from(t, bob, "s3"), b.from(t, bob, "")}
			w := b.ask(t, form(b.token(c.claims...)))
			if w.Code != http.StatusOK || w.Body.Len() > 0 || len(w.Result().Cookies()) > 0 {
				t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
			}
			var left []int
			for i, cookie := range cookies {
				if b.lives(t, cookie) {
					left = append(left, i)
				}
			}
			if !slices.Equal(left, c.left) {
				t.Errorf("left: %v, want %v", left, c.left)
			}
		})
	}
}

// Whatever is not a logout token of the provider's for us ends nothing: among
// them what the OpenID Foundation's conformance tests send.
func TestForgedLogoutToken(t *testing.T) {
	t.Parallel()
	b := newBackchannel(t, nil)
	cookie := b.from(t, alice, "s1")
	const event = "http://schemas.openid.net/event/backchannel-logout"
	sign := func(signature authelia.Signature, edits ...authelia.Edit) string {
		return form(b.op.LogoutToken("romm", signature, authelia.Edits(append([]authelia.Edit{authelia.Set("sub", "1"), authelia.Set("sid", "s1")}, edits...)...)))
	}
	good := sign(authelia.SignedProperly)
	for name, c := range map[string]struct {
		body   string
		change func(*http.Request)
	}{
		"oidcc-client-test-rp-backchannel-rpinitlogout-alg-none":    {sign(authelia.SignedNone), nil},
		"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg":   {sign(authelia.SignedWithClientSecret), nil},
		"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss":   {sign(0, authelia.Set("iss", "https://evil.example")), nil},
		"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud":   {sign(0, authelia.Set("aud", "other")), nil},
		"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event": {sign(0, authelia.Set("events", map[string]any{event + "2": map[string]any{}})), nil},
		"oidcc-client-test-rp-backchannel-rpinitlogout-no-event":    {sign(0, authelia.Without("events")), nil},
		"oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce":  {sign(0, authelia.Set("nonce", "n")), nil},
		"foreign key":              {sign(authelia.SignedByForeignKey), nil},
		"neither session nor user": {sign(0, authelia.Without("sub", "sid")), nil},
		"nothing":                  {"", nil},
		"no JWT":                   {form("x"), nil},
		"two tokens":               {good + "&" + good, nil},
		"too large":                {good + "&x=" + strings.Repeat("x", logoutFormLimit), nil},
		"no form":                  {good, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
		"in the query":             {"", func(r *http.Request) { r.URL.RawQuery = good }},
	} {
		t.Run(name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := b.ask(t, c.body, change)
			if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), `"error":"invalid_request"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if !b.lives(t, cookie) {
				t.Fatal("the session has ended")
			}
		})
	}
	if w := b.do(t, backchannelPath+"?"+good); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", w.Code, w.Header())
	}
	if w := b.ask(t, good, func(r *http.Request) { r.Host = "evil.com" }); w.Code != http.StatusMisdirectedRequest || !b.lives(t, cookie) {
		t.Errorf("another host: %d", w.Code)
	}
	if w := b.ask(t, good, func(r *http.Request) { r.Header.Set("Origin", "https://auth.example.com") }); w.Code != http.StatusOK || b.lives(t, cookie) {
		t.Errorf("the good one: %d %s", w.Code, w.Body)
	}
}

// A logout token that somebody recorded does not sign its user out again.
func TestReplayedLogoutToken(t *testing.T) {
	t.Parallel()
	b := newBackchannel(t, nil)
	token := form(b.token("sub", "1"))
	if w := b.ask(t, token); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	cookie := b.from(t, alice, "s1")
	if w := b.ask(t, token); w.Code != http.StatusBadRequest || !b.lives(t, cookie) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Who sends garbage is soon not listened to; the provider still is, and the
// sender a minute later.
func TestLogoutFailuresAreLimited(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBackchannel(t, func(c *Config) { c.Now = func() time.Time { return now } })
	for range limit.AttemptLimit {
		if w := b.ask(t, form("x")); w.Code != http.StatusBadRequest {
			t.Fatal(w.Code)
		}
	}
	if w := b.ask(t, form(b.token("sub", "1"))); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d", w.Code)
	}
	now = now.Add(time.Minute)
	for range 2 * limit.AttemptLimit { // what succeeds does not count
		if w := b.ask(t, form(b.token("sub", "1"))); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// However many addresses send garbage, the provider is listened to: it shares
// no count with them.
func TestLogoutsAreNotCrowdedOut(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBackchannel(t, func(c *Config) { c.Now = func() time.Time { return now } })
	for i := range limit.AddressesKept + 2*limit.AttemptLimit {
		b.chain.ip = fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)
		if w := b.ask(t, "x"); w.Code != http.StatusBadRequest {
			t.Fatalf("address %d: %d", i+1, w.Code)
		}
	}
	b.chain.ip = "192.0.2.7"
	if w := b.ask(t, form(b.token("sub", "1"))); w.Code != http.StatusOK {
		t.Errorf("the provider got %d %s", w.Code, w.Body)
	}
}

// While the provider's keys cannot be read the answer is what the
// specification knows (section 2.8), and the token can be sent again.
func TestBackchannelLogoutWhileProviderIsAway(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBackchannelAt(t, func() time.Time { return now }, nil)
	cookie, token := b.from(t, alice, "s1"), form(b.token("sub", "1"))
	b.op.Down()
	if w := b.ask(t, token); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "provider_unavailable") || !b.lives(t, cookie) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.op.Up()
	now = now.Add(time.Minute)
	if w := b.ask(t, token); w.Code != http.StatusOK || b.lives(t, cookie) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A storage that is away, or hangs, holds nothing up: what memory has ends at
// once, and the answer comes in bounded time.
func TestBackchannelLogoutWithoutStorage(t *testing.T) {
	t.Parallel()
	b := newBackchannel(t, nil)
	cookie, token := b.from(t, alice, "s1"), form(b.token("sub", "1"))
	b.storage.fail(errors.New("away"))
	if w := b.ask(t, token); w.Code != http.StatusOK || b.lives(t, cookie) {
		t.Errorf("away: %d %s", w.Code, w.Body)
	}

	synctest.Test(t, func(t *testing.T) {
		b := newBackchannel(t, nil)
		cookie, token := b.from(t, alice, "s1"), form(b.token("sub", "1"))
		hung := &hangingStorage{memory: b.storage, released: make(chan struct{})}
		b.handler.config.Gate.Sessions.Configure(hung, session.Limits{})
		began := time.Now()
		w := b.ask(t, token)
		if took := time.Since(began); w.Code != http.StatusOK || took != logoutAnswer {
			t.Errorf("hanging: %d after %s", w.Code, took)
		}
		if b.do(t, "/api/x", "Cookie", cookie).Code == http.StatusOK {
			t.Error("the session lives")
		}
		close(hung.released)
		synctest.Wait()
	})
}

// hangingStorage lists nothing until it is released, whatever the context.
type hangingStorage struct {
	*memory
	released chan struct{}
}

func (h *hangingStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	<-h.released
	return h.memory.List(ctx, path, recursive)
}
