// Sign-outs on the page of a refused sign-in.

package handler

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// signOut presses the button of a page, and returns the query of the request to the
// provider's end-session endpoint.
func (v *visitor) signOut() url.Values {
	v.Helper()
	w := v.get("POST " + request.Base + "/logout")
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusSeeOther {
		v.Fatalf("the sign-out answered %d %v, want 303", w.Code, w.Header())
	}
	return u.Query()
}

// A user whom the site refuses has no session, and the provider is told who signs
// out nevertheless: without the hint, it would ask.
func TestRefusalPageSignsOutWithAHint(t *testing.T) {
	ended := func(s *siteWithProvider, edits ...authelia.Edit) {
		s.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Metadata = authelia.Edits(append(edits, authelia.Set("end_session_endpoint", s.op.Issuer()+"/end"))...)
		})
	}
	for name, refuse := range map[string]struct {
		policy func(*Config)
		claims authelia.Edit
		code   string
	}{
		"by the policy":    {func(c *Config) { c.Policy = Policy{Emails: []string{"bob@example.com"}} }, func(map[string]any) {}, problem.NotAllowed.Code},
		"for their claims": {nil, authelia.Set("email_verified", false), problem.EmailUnverified.Code},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, refuse.policy, func(s *siteWithProvider) {
				ended(s)
				s.saysOf(refuse.claims)
				v := s.visitor()
				v.failed(v.at(v.get("/rom/7"), nil), refuse.code)
				query := v.signOut()
				token := strings.Split(query.Get("id_token_hint"), ".")
				if len(token) != 3 || query.Get("client_id") != "romm" {
					s.Errorf("the sign-out asks the provider with %v, want an id_token_hint", query)
				}
				if again := v.signOut(); again.Has("id_token_hint") {
					s.Errorf("a second sign-out has the hint again: %v", again)
				}
			})
		})
	}
	t.Run("gone after a sign-in", func(t *testing.T) {
		inBubble(t, plainClient, nil, func(s *siteWithProvider) {
			ended(s)
			v := s.visitor()
			s.saysOf(authelia.Set("email_verified", false))
			v.failed(v.at(v.get("/rom/7"), nil), problem.EmailUnverified.Code)
			s.saysOf(func(map[string]any) {})
			s.advance(time.Minute) // the refusal has ended what there was of the user
			if w := v.at(v.get("/rom/7"), nil); w.Header().Get("Location") != "/rom/7" {
				s.Fatalf("the next sign-in answered %d %v, want 303 to the page", w.Code, w.Header())
			}
			for name := range v.cookies {
				if strings.HasSuffix(name, "_hint") {
					s.Errorf("the browser keeps %s after a sign-in", name)
				}
			}
		})
	})
	t.Run("forged, or of another site", func(t *testing.T) {
		inBubble(t, plainClient, nil, func(s *siteWithProvider) {
			ended(s)
			v := s.visitor()
			v.cookies["__Host-romm_oidc_hint"] = "eyJhbGciOiJub25lIn0.e30."
			if query := v.signOut(); query.Has("id_token_hint") || !query.Has("state") {
				s.Errorf("the sign-out asks the provider with %v, want no hint", query)
			}
		})
	})
	t.Run("Authelia takes none", func(t *testing.T) {
		inBubble(t, plainClient, nil, func(s *siteWithProvider) {
			v := s.visitor()
			s.saysOf(authelia.Set("email_verified", false))
			v.failed(v.at(v.get("/rom/7"), nil), problem.EmailUnverified.Code)
			for name := range v.cookies {
				if strings.HasSuffix(name, "_hint") {
					s.Errorf("the browser keeps %s, which is of no use", name)
				}
			}
		})
	})
}
