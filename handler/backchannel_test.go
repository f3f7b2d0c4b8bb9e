// Back-channel logout: genuine, forged and replayed logout tokens.

package handler

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const backchannelPath = request.Base + "/backchannel-logout"

// siteWithBackchannel is a site with a provider that sends logout tokens.
type siteWithBackchannel struct {
	*site
	op *authelia.Server
}

func newSiteWithBackchannel(tb testing.TB, change func(*Config)) *siteWithBackchannel {
	tb.Helper()
	return newSiteWithBackchannelAt(tb, time.Now, change)
}

// newSiteWithBackchannelAt is newSiteWithBackchannel with a clock for the relying
// party.
func newSiteWithBackchannelAt(tb testing.TB, now func() time.Time, change func(*Config)) *siteWithBackchannel {
	tb.Helper()
	s := &siteWithBackchannel{op: authelia.New(authelia.Options{
		Issuer:  alice.Issuer,
		Clients: []authelia.Client{{ID: "romm", Secret: "s", RedirectURIs: []string{"https://romm.example.com" + request.Base}, Scopes: []string{"openid"}}},
	})}
	s.site = newSite(tb, func(c *Config) {
		c.RelyingParty = flow.New(flow.Config{
			Issuer: alice.Issuer, ClientID: "romm", ClientSecret: "s", RedirectURI: "https://romm.example.com" + request.Base,
			Scopes: []string{"openid"}, Client: &http.Client{Transport: s.op.Transport()}, Keyring: c.Gate.Sessions.Keyring, Now: now,
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
		})
		if change != nil {
			change(c)
		}
	})
	return s
}

// signInWithSID signs a user in from a session at the provider and returns the
// cookie.
func (s *siteWithBackchannel) signInWithSID(tb testing.TB, identity flow.Identity, sid string) string {
	tb.Helper()
	ticket, _, err := s.handler.config.Gate.Sessions.Create(tb.Context(), session.Record{Identity: identity, Tokens: flow.Tokens{SID: sid}})
	if err != nil {
		tb.Fatal(err)
	}
	return "__Host-romm_oidc=" + ticket
}

func (s *siteWithBackchannel) lives(tb testing.TB, cookie string) bool {
	tb.Helper()
	return s.do(tb, "/api/x", "Cookie", cookie).Code == http.StatusOK
}

// token returns a logout token. The claims are pairs of name and value.
func (s *siteWithBackchannel) token(claims ...string) string {
	return s.op.LogoutToken("romm", authelia.SignedProperly, func(object map[string]any) {
		for i := 0; i < len(claims); i += 2 {
			object[claims[i]] = claims[i+1]
		}
	})
}

// postLogout sends a logout request as the provider does. It checks the header that
// every response must have.
func (s *siteWithBackchannel) postLogout(tb testing.TB, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://romm.example.com"+backchannelPath, strings.NewReader(body))
	r.TLS.HandshakeComplete = true
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	if err := s.handler.ServeHTTP(w, r, s.chain); err != nil {
		tb.Fatal(err)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf("Cache-Control is %q, want no-store", w.Header().Get("Cache-Control"))
	}
	return w
}

func form(token string) string { return url.Values{"logout_token": {token}}.Encode() }

func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims []string
		left   []int // indexes of the cookies that still work
	}{
		"a session":                {[]string{"sid", "s1"}, []int{2, 3, 4}},
		"a session and its user":   {[]string{"sid", "s1", "sub", "1"}, []int{2, 3, 4}},
		"a user":                   {[]string{"sub", "1"}, []int{3, 4}},
		"an unknown session":       {[]string{"sid", "s9"}, []int{0, 1, 2, 3, 4}},
		"a user without a session": {[]string{"sub", "9"}, []int{0, 1, 2, 3, 4}},
		// A provider that names its sessions in logout tokens only.
		"a session and its user, whose session is unknown":  {[]string{"sid", "s9", "sub", "2"}, []int{0, 1, 2, 3}},
		"a session and another user than that of a session": {[]string{"sid", "s3", "sub", "1"}, []int{0, 1, 2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSiteWithBackchannel(t, nil)
			cookies := []string{s.signInWithSID(t, alice, "s1"), s.signInWithSID(t, alice, "s1"), s.signInWithSID(t, alice, "s2"), s.signInWithSID(t, bob, "s3"), s.signInWithSID(t, bob, "")}
			w := s.postLogout(t, form(s.token(c.claims...)))
			if w.Code != http.StatusOK || w.Body.Len() > 0 || len(w.Result().Cookies()) > 0 {
				t.Errorf("got %d %s %v, want 200 without a body and cookies", w.Code, w.Body, w.Header())
			}
			var left []int
			for i, cookie := range cookies {
				if s.lives(t, cookie) {
					left = append(left, i)
				}
			}
			if !slices.Equal(left, c.left) {
				t.Errorf("sessions that live: %v, want %v", left, c.left)
			}
		})
	}
}

// Only a genuine logout token from the provider for this client ends a session.
// TestConformance has further forgeries.
func TestForgedLogoutToken(t *testing.T) {
	t.Parallel()
	s := newSiteWithBackchannel(t, nil)
	cookie := s.signInWithSID(t, alice, "s1")
	sign := func(signature authelia.Signature, edits ...authelia.Edit) string {
		return form(s.op.LogoutToken("romm", signature, authelia.Edits(append([]authelia.Edit{authelia.Set("sub", "1"), authelia.Set("sid", "s1")}, edits...)...)))
	}
	good := sign(authelia.SignedProperly)
	for name, c := range map[string]struct {
		body   string
		change func(*http.Request)
	}{
		"foreign key":         {sign(authelia.SignedByForeignKey), nil},
		"neither sid nor sub": {sign(0, authelia.Without("sub", "sid")), nil},
		"empty body":          {"", nil},
		"not a JWT":           {form("x"), nil},
		"two tokens":          {good + "&" + good, nil},
		"body too large":      {good + "&x=" + strings.Repeat("x", logoutFormLimit), nil},
		"not a form":          {good, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
		"token in the query":  {"", func(r *http.Request) { r.URL.RawQuery = good }},
	} {
		t.Run(name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := s.postLogout(t, c.body, change)
			if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), `"error":"invalid_request"`) {
				t.Errorf("got %d %s, want 400 invalid_request as JSON", w.Code, w.Body)
			}
			if !s.lives(t, cookie) {
				t.Fatal("the forged token ended the session, want it alive")
			}
		})
	}
	if w := s.do(t, backchannelPath+"?"+good); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: got %d %v, want 405 with Allow: POST", w.Code, w.Header())
	}
	if w := s.postLogout(t, good, func(r *http.Request) { r.Host = "evil.com" }); w.Code != http.StatusMisdirectedRequest || !s.lives(t, cookie) {
		t.Errorf("another host: got %d, want 421 and the session alive", w.Code)
	}
	if w := s.postLogout(t, good, func(r *http.Request) { r.Header.Set("Origin", "https://auth.example.com") }); w.Code != http.StatusOK || s.lives(t, cookie) {
		t.Errorf("genuine token: got %d %s, want 200 and the session ended", w.Code, w.Body)
	}
}

// An attacker replays a recorded logout token. It does not sign the user out again.
func TestReplayedLogoutToken(t *testing.T) {
	t.Parallel()
	s := newSiteWithBackchannel(t, nil)
	token := form(s.token("sub", "1"))
	if w := s.postLogout(t, token); w.Code != http.StatusOK {
		t.Fatalf("first use: got %d %s, want 200", w.Code, w.Body)
	}
	cookie := s.signInWithSID(t, alice, "s1")
	if w := s.postLogout(t, token); w.Code != http.StatusBadRequest || !s.lives(t, cookie) {
		t.Errorf("replay: got %d %s, want 400 and the session alive", w.Code, w.Body)
	}
}
