// A provider that goes away after it was seen.

package handler

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// The provider goes away after it was seen. A browser that the gate sent there
// would show an error of its own, which no reload cures: it gets a page that
// reloads itself at the page that was asked for.
func TestProviderAwayAfterItWasSeen(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.signInAs("alice")
		for name, away := range map[string]func(){"down": s.op.Down, "503": s.op.Unavailable} {
			s.advance(time.Minute)
			away()
			v := s.visitor()
			for _, path := range []string{"/rom/7?a=b", "/signin?next=/rom/7", request.Base + "/login?next=%2From%2F7", sessionsPath} {
				w := v.get(path)
				if w.Code != 503 || !strings.Contains(w.Body.String(), "provider_unavailable · reference") || w.Header().Get("Refresh") != "5" || w.Header().Get("Retry-After") != "5" {
					s.Errorf("%s, %s: got %d %v, want 503 that reloads itself", name, path, w.Code, w.Header())
				}
			}
			s.op.Up()
			s.advance(5 * time.Second)
			if back := v.at(v.get("/rom/7?a=b"), nil); back.Header().Get("Location") != "/rom/7?a=b" {
				s.Errorf("%s: the reload led to %q, want /rom/7?a=b", name, back.Header().Get("Location"))
			}
		}
	})
}

// Many visitors come at once: the gate asks the provider once, and for ten seconds
// no visitor waits.
func TestOneQuestionWhetherTheProviderAnswers(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.open("/")
		s.advance(time.Minute)
		before := s.op.Calls(authelia.EndpointDiscovery)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { s.handler.config.RelyingParty.Reachable(s.Context()) })
		}
		all.Wait()
		for range 9 {
			s.advance(time.Second)
			s.open("/")
		}
		if asked := s.op.Calls(authelia.EndpointDiscovery) - before; asked != 1 {
			s.Errorf("the provider was asked %d times, want once", asked)
		}
		s.op.Hang()
		began := time.Now()
		if w := s.open("/"); w.Code != 302 || time.Since(began) > time.Second {
			s.Errorf("got %d after %s, want a redirect at once", w.Code, time.Since(began))
		}
		s.op.Up()
	})
}
