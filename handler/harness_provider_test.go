// The harness with a provider: a site whose users sign in at a stand-in
// Authelia, in a synctest bubble.

package handler

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// siteWithProvider is a site with a stand-in Authelia, on the bubble's clock.
type siteWithProvider struct {
	*testing.T
	*site
	op      *authelia.Server
	party   flow.Config  // of the relying party
	portal  *http.Client // a browser's session at the portal
	logs    *observer.ObservedLogs
	answers struct { // from the application
		sync.Mutex
		n int
	}
}

// plainClient registers the gate as a client without refresh tokens.
func plainClient(o *authelia.Options) { o.Clients[0].GrantTypes = []string{"authorization_code"} }

// refreshingClient registers the gate as a client with refresh tokens.
func refreshingClient(o *authelia.Options) {
	o.Clients[0].Scopes = append(o.Clients[0].Scopes, "offline_access")
	o.Clients[0].GrantTypes = []string{"authorization_code", "refresh_token"}
}

// inBubble runs test with a new site. The gate lives until the test's end.
func inBubble(t *testing.T, client func(*authelia.Options), change func(*Config), test func(*siteWithProvider)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		op := authelia.Options{
			Issuer: "https://auth.example.com", CookieDomain: "example.com", NoRateLimit: true,
			Clients: []authelia.Client{{
				ID: "romm", Secret: "s", RedirectURIs: []string{"https://romm.example.com/api/oauth/openid"}, ConsentMode: "implicit",
				Scopes: []string{"openid", "profile", "email", "groups"},
			}},
			Users: []authelia.User{
				{Name: "alice", Password: "alice-password", Email: "alice@example.com", Groups: []string{"a"}},
				{Name: "bob", Password: "bob-password", Email: "bob@example.com", Groups: []string{"a"}},
			},
		}
		client(&op)
		s := &siteWithProvider{T: t, op: authelia.New(op)}
		core, logs := observer.New(zapcore.DebugLevel)
		s.logs = logs
		s.site = newSiteWithCapacity(t, 64, func(c *Config) {
			c.Recheck, c.Logger = 5*time.Minute, zap.New(core)
			s.party = s.partyConfig(&op.Clients[0], c.Gate.Sessions)
			c.RelyingParty = flow.New(s.party)
			if change != nil {
				change(c)
			}
		})
		s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
			s.answers.Lock()
			s.answers.n++
			s.answers.Unlock()
			_, err := w.Write([]byte("upstream"))
			return err
		}
		s.newPortal()
		test(s)
	})
}

func (s *siteWithProvider) partyConfig(client *authelia.Client, store *session.Store) flow.Config {
	return flow.Config{
		Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: "s", Scopes: client.Scopes, IDTokenAlg: client.Alg, UserinfoAlg: client.UserinfoAlg,
		RedirectURI: "https://romm.example.com/api/oauth/openid", Keyring: store.Keyring,
		UsernameClaim: "preferred_username", GroupsClaim: "groups",
		Client: &http.Client{
			Transport: s.op.Transport(), Timeout: 30 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// newPortal starts a browser that has no session at the portal.
func (s *siteWithProvider) newPortal() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	s.portal = &http.Client{Transport: s.op.Transport(), Jar: jar}
}

// through follows a redirect to the portal, signs the user in there, and returns
// the response to the callback.
func (s *siteWithProvider) through(w *httptest.ResponseRecorder, user string, cookies ...string) *httptest.ResponseRecorder {
	s.Helper()
	if w.Code != http.StatusFound || !strings.HasPrefix(w.Header().Get("Location"), "https://auth.example.com/") {
		s.Fatalf("got %d with Location %q, want a redirect to the provider", w.Code, w.Header().Get("Location"))
	}
	callback, err := s.op.SignIn(s.portal, w.Header().Get("Location"), user, user+"-password")
	if err != nil {
		s.Fatal(err)
	}
	return s.callback(w, callback, cookies...)
}

// callback sends the callback as the browser does, with the cookies that w set.
// It follows the redirect to the page of a failed sign-in.
func (s *siteWithProvider) callback(w *httptest.ResponseRecorder, callback string, cookies ...string) *httptest.ResponseRecorder {
	s.Helper()
	u, err := url.Parse(callback)
	if err != nil {
		s.Fatal(err)
	}
	cookies = append(cookies, cookiesOf(w)...)
	back := s.do(s, u.RequestURI(), append(fields(navigation), "Cookie", strings.Join(cookies, "; "))...)
	if location := back.Header().Get("Location"); strings.HasPrefix(location, failedPath) {
		return s.open(location, append(cookies, cookiesOf(back)...)...)
	}
	return back
}

// cookiesOf returns the cookies that a response sets.
func cookiesOf(w *httptest.ResponseRecorder) []string {
	cookies := make([]string, 0, len(w.Header()["Set-Cookie"]))
	for _, line := range w.Header()["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		cookies = append(cookies, pair)
	}
	return cookies
}

// signInAs signs a user in at the provider and returns their cookie.
func (s *siteWithProvider) signInAs(user string) string {
	s.Helper()
	return s.ticketOf(s.through(s.open("/"), user))
}

// ticketOf returns the cookie with the ticket that a response sets.
func (s *siteWithProvider) ticketOf(w *httptest.ResponseRecorder) string {
	s.Helper()
	for _, line := range w.Header()["Set-Cookie"] {
		if pair, _, _ := strings.Cut(line, ";"); strings.HasPrefix(pair, "__Host-romm_oidc=") && len(pair) > 40 {
			return pair
		}
	}
	s.Fatalf("got %d %v %s, want a ticket", w.Code, w.Header(), w.Body)
	return ""
}

// open navigates to a path with these cookies.
func (s *siteWithProvider) open(path string, cookies ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.do(s, path, append(fields(navigation), "Cookie", strings.Join(cookies, "; "))...)
}

// save sends a write, as a game in the background does. The test fails unless the
// application gets it.
func (s *siteWithProvider) save(ticket string) {
	s.Helper()
	if w := s.do(s, "POST /api/saves", "Cookie", ticket, "Origin", "https://romm.example.com"); w.Code != http.StatusOK || w.Body.String() != "upstream" {
		s.Errorf("POST /api/saves: got %d %q, want 200 from the application", w.Code, w.Body)
	}
}

// session returns the session of a ticket, or nil.
func (s *siteWithProvider) session(ticket string) *session.Session {
	s.Helper()
	_, text, _ := strings.Cut(ticket, "=")
	found, err := s.handler.config.Gate.Sessions.Lookup(s.Context(), text)
	if err != nil {
		s.Fatal(err)
	}
	return found
}

// settle waits until all work that is due now is done.
func (s *siteWithProvider) settle() { synctest.Wait() }

// advance lets time pass without requests.
func (s *siteWithProvider) advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// endReasons returns the reasons of all ended sessions in the log.
func (s *siteWithProvider) endReasons() []string {
	entries := s.logs.FilterMessage("session ended").All()
	reasons := make([]string, 0, len(entries))
	for _, entry := range entries {
		reasons = append(reasons, entry.ContextMap()["reason"].(string))
	}
	return reasons
}

// wantCalls fails the test unless an endpoint got that many requests.
func (s *siteWithProvider) wantCalls(endpoint string, want int) {
	s.Helper()
	if got := s.op.Calls(endpoint); got != want {
		s.Errorf("the provider's %s got %d requests, want %d", endpoint, got, want)
	}
}

// wantUpstream fails the test unless a response comes from the application.
func (s *siteWithProvider) wantUpstream(w *httptest.ResponseRecorder) {
	s.Helper()
	if w.Code != http.StatusOK || w.Body.String() != "upstream" {
		s.Errorf("got %d with Location %q, want 200 from the application", w.Code, w.Header().Get("Location"))
	}
}

// openSocket opens a socket. The channel receives the error with which it ends.
func (s *siteWithProvider) openSocket(ticket string) <-chan error {
	ended := make(chan error, 1)
	opened := make(chan struct{})
	chain := &chainFunc{serve: func(_ http.ResponseWriter, r *http.Request) error {
		close(opened)
		<-r.Context().Done()
		ended <- r.Context().Err()
		return nil
	}}
	go func() {
		r := httptest.NewRequestWithContext(s.Context(), http.MethodGet, "https://romm.example.com/ws/x", nil)
		r.TLS.HandshakeComplete = true
		for name, value := range map[string]string{"Cookie": ticket, "Connection": "Upgrade", "Upgrade": "websocket"} {
			r.Header.Set(name, value)
		}
		if err := s.handler.ServeHTTP(httptest.NewRecorder(), r, chain); err != nil && !errors.Is(err, context.Canceled) {
			s.Error(err)
		}
	}()
	<-opened
	return ended
}

// isOpen reports whether a socket of openSocket is still open.
func isOpen(ended <-chan error) bool {
	select {
	case <-ended:
		return false
	default:
		return true
	}
}
