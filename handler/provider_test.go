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

// site is a gate with a stand-in Authelia, in a bubble of its own time.
type site struct {
	*testing.T
	*fixture
	op      *authelia.Server
	party   flow.Config  // of its relying party
	portal  *http.Client // a browser's session at the portal
	logs    *observer.ObservedLogs
	answers struct { // of the chain, by all who ask
		sync.Mutex
		n int
	}
}

// plainClient is a client that gets no refresh tokens, refreshing one that does.
func plainClient(o *authelia.Options) { o.Clients[0].GrantTypes = []string{"authorization_code"} }

func refreshingClient(o *authelia.Options) {
	o.Clients[0].Scopes = append(o.Clients[0].Scopes, "offline_access")
	o.Clients[0].GrantTypes = []string{"authorization_code", "refresh_token"}
}

// inBubble runs test with a new site; its gate lives until the test's end.
func inBubble(t *testing.T, client func(*authelia.Options), change func(*Config), test func(*site)) {
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
		s := &site{T: t, op: authelia.New(op)}
		core, logs := observer.New(zapcore.DebugLevel)
		s.logs = logs
		s.fixture = newSizedFixture(t, 64, func(c *Config) {
			c.Recheck, c.Logger = 5*time.Minute, zap.New(core)
			s.party = s.partyConfig(op.Clients[0].Scopes, c.Gate.Sessions)
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

func (s *site) partyConfig(scopes []string, store *session.Store) flow.Config {
	return flow.Config{
		Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: "s", Scopes: scopes,
		RedirectURI: "https://romm.example.com/api/oauth/openid", Keyring: store.Keyring,
		UsernameClaim: "preferred_username", GroupsClaim: "groups",
		Client: &http.Client{
			Transport: s.op.Transport(), Timeout: 30 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// newPortal is a browser whose cookies of the portal are gone.
func (s *site) newPortal() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	s.portal = &http.Client{Transport: s.op.Transport(), Jar: jar}
}

// through follows a redirect to the portal and back, and returns the answer to the callback.
func (s *site) through(w *httptest.ResponseRecorder, user string, cookies ...string) *httptest.ResponseRecorder {
	s.Helper()
	if w.Code != http.StatusFound || !strings.HasPrefix(w.Header().Get("Location"), "https://auth.example.com/") {
		s.Fatalf("not sent to the provider: %d %s", w.Code, w.Header().Get("Location"))
	}
	callback, err := s.op.SignIn(s.portal, w.Header().Get("Location"), user, user+"-password")
	if err != nil {
		s.Fatal(err)
	}
	return s.callback(w, callback, cookies...)
}

// callback comes back from the portal, with the cookies that w set.
func (s *site) callback(w *httptest.ResponseRecorder, callback string, cookies ...string) *httptest.ResponseRecorder {
	s.Helper()
	u, err := url.Parse(callback)
	if err != nil {
		s.Fatal(err)
	}
	for _, line := range w.Header()["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		cookies = append(cookies, pair)
	}
	return s.do(s, u.RequestURI(), append(fields(navigation), "Cookie", strings.Join(cookies, "; "))...)
}

// as signs a user in and returns their ticket, as a cookie.
func (s *site) as(user string) string {
	s.Helper()
	return s.ticketOf(s.through(s.open("/"), user))
}

// ticketOf returns the ticket that an answer sets.
func (s *site) ticketOf(w *httptest.ResponseRecorder) string {
	s.Helper()
	for _, line := range w.Header()["Set-Cookie"] {
		if pair, _, _ := strings.Cut(line, ";"); strings.HasPrefix(pair, "__Host-romm_oidc=") && len(pair) > 40 {
			return pair
		}
	}
	s.Fatalf("no ticket: %d %v %s", w.Code, w.Header(), w.Body)
	return ""
}

// open navigates to path, with a ticket or none.
func (s *site) open(path string, cookies ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.do(s, path, append(fields(navigation), "Cookie", strings.Join(cookies, "; "))...)
}

// save writes, as a game in the background does, and fails unless it is stored.
func (s *site) save(ticket string) {
	s.Helper()
	if w := s.do(s, "POST /api/saves", "Cookie", ticket, "Origin", "https://romm.example.com"); w.Code != http.StatusOK || w.Body.String() != "upstream" {
		s.Errorf("a save was lost: %d %s", w.Code, w.Body)
	}
}

// session returns what a ticket opens, nil if nothing.
func (s *site) session(ticket string) *session.Session {
	s.Helper()
	_, text, _ := strings.Cut(ticket, "=")
	found, err := s.handler.config.Gate.Sessions.Lookup(s.Context(), text)
	if err != nil {
		s.Fatal(err)
	}
	return found
}

// settle lets all that is due now happen.
func (s *site) settle() { synctest.Wait() }

// after lets time pass in which nobody comes by.
func (s *site) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// ended returns the reasons in the log.
func (s *site) ended() []string {
	entries := s.logs.FilterMessage("session ended").All()
	reasons := make([]string, 0, len(entries))
	for _, entry := range entries {
		reasons = append(reasons, entry.ContextMap()["reason"].(string))
	}
	return reasons
}

// calls fails the test unless an endpoint got so many requests.
func (s *site) calls(endpoint string, want int) {
	s.Helper()
	if got := s.op.Calls(endpoint); got != want {
		s.Errorf("%d requests at %s, want %d", got, endpoint, want)
	}
}

// upstream fails the test unless an answer is the application's.
func (s *site) upstream(w *httptest.ResponseRecorder) {
	s.Helper()
	if w.Code != http.StatusOK || w.Body.String() != "upstream" {
		s.Errorf("got %d %s", w.Code, w.Header().Get("Location"))
	}
}

// socket opens a socket and returns what tells how it ended.
func (s *site) socket(ticket string) <-chan error {
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

// open reports whether a socket is.
func isOpen(ended <-chan error) bool {
	select {
	case <-ended:
		return false
	default:
		return true
	}
}
