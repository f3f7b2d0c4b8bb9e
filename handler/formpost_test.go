// Responses of the provider that come in a form.

package handler

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A provider that is set to form_post posts its response from its own site. Nothing
// comes of it, whatever it holds, and the page says what to set.
func TestPostedResponse(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, path := range []string{request.Base, request.Base + "?code=x&state=y"} {
		w := s.do(t, "POST "+path, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://auth.example.com",
			"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || !strings.Contains(w.Body.String(), "Set response_mode to query") {
			t.Errorf("POST %s: got %d %v %s, want 405 and what to set", path, w.Code, w.Header(), w.Body)
		}
		if set := w.Header()["Set-Cookie"]; len(set) > 0 {
			t.Errorf("POST %s set %q, want no cookie", path, set)
		}
	}
	if w := s.do(t, "POST "+request.Base+"/failed"); strings.Contains(w.Body.String(), "response_mode") {
		t.Errorf("POST of another endpoint: %s, want no word of response_mode", w.Body)
	}
}

// useForms has the gate ask for responses in a form.
func (s *siteWithProvider) useForms() {
	s.party.FormPost = true
	s.handler.config.RelyingParty, s.handler.config.FormPost = flow.New(s.party), true
}

// With response_mode form_post, a user signs in by the form of the provider's page.
// Browsers send only the login's cookie with it. A user who signs in again keeps
// what is under way in the former session, which ends.
func TestFormPost(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.useForms()
		user := s.visitor()
		start := user.get("/rom/7")
		if location := start.Header().Get("Location"); !strings.Contains(location, "response_mode=form_post") {
			s.Errorf("asked for %s, want response_mode=form_post", location)
		}
		if w := user.at(start, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/rom/7" {
			s.Fatalf("got %d %v, want a redirect to the page", w.Code, w.Header())
		}
		for name, crossSite := range user.forForms {
			if crossSite && user.cookies[name] != "" {
				s.Errorf("after the sign-in other sites send %s, want no cookie", name)
			}
		}
		former := user.session("__Host-romm_oidc=" + user.cookies["__Host-romm_oidc"])
		if w := user.at(user.get(request.Base+"/login?next=/rom/8"), nil); w.Header().Get("Location") != "/rom/8" {
			s.Fatalf("signing in again: got %d %v", w.Code, w.Header())
		}
		if !former.Ended() {
			s.Error("the former session of the browser goes on")
		}
	})
}

// What is wrong with a response is wrong in a form too. Nothing outside the form counts.
func TestForgedFormPost(t *testing.T) {
	for name, c := range map[string]struct {
		change func(url.Values)
		code   string
	}{
		"another state":  {func(q url.Values) { q.Set("state", "x") }, ""},
		"no state":       {func(q url.Values) { q.Del("state") }, ""},
		"two codes":      {func(q url.Values) { q.Add("code", "x") }, "response_invalid"},
		"another issuer": {func(q url.Values) { q.Set("iss", "https://evil.example") }, "response_invalid"},
		"a long form":    {func(q url.Values) { q.Set("x", strings.Repeat("x", responseLimit)) }, "response_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, nil, func(s *siteWithProvider) {
				s.useForms()
				user := s.visitor()
				w := user.at(user.get("/"), c.change)
				if c.code != "" {
					user.failed(w, c.code)
				} else if w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), s.op.Issuer()+"/") {
					s.Errorf("got %d %v, want one new sign-in", w.Code, w.Header())
				}
				if user.cookies["__Host-romm_oidc"] != "" || len(s.op.Requests(authelia.EndpointToken)) > 0 {
					s.Error("a session, or a token request, want neither")
				}
			})
		})
	}
	t.Run("in the address", func(t *testing.T) {
		inBubble(t, plainClient, nil, func(s *siteWithProvider) {
			s.useForms()
			if _, err := authorizationResponse(httptest.NewRequest(http.MethodPost, "/?code=x&state=y", strings.NewReader(""))); err != nil {
				s.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "/?code=x&state=y", strings.NewReader("code=z"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if got, _ := authorizationResponse(r); got.Get("code") != "z" || got.Has("state") {
				s.Errorf("got %v, want the form's code alone", got)
			}
		})
	})
}

// A provider that keeps sending forms that fit no login does not send the browser
// round for ever.
func TestFormPostWithoutItsLogin(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.useForms()
		user := s.visitor()
		w := user.get("/")
		for range 5 {
			if strings.HasPrefix(w.Header().Get("Location"), failedPath) {
				user.failed(w, "state_lost")
				return
			}
			w = user.at(w, func(q url.Values) { q.Set("state", "lost") })
		}
		s.Errorf("got %d %v, want the page of a lost state", w.Code, w.Header())
	})
}
