// The portal: the login form, the first-factor API and the logout.

package authelia

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// authenticationFailed is the portal's one message for a wrong password, an unknown user and a disabled user.
const authenticationFailed = "Authentication failed. Check your credentials."

// portal is the login form. The original needs JavaScript. This one is a plain form, for clients that are no browser.
func (s *Server) portal(r *http.Request) answer {
	query := r.URL.Query()
	flow := s.flows[query.Get("flow_id")]
	if flow != nil && (flow.used || s.late(flow)) {
		flow = nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		sess := s.sessionOf(r)
		if sess == nil {
			return s.loginPage(r, http.StatusOK, flow, "", "")
		}
		if flow != nil && s.clients[flow.query.Get("client_id")].TwoFactor {
			return s.completionPage("Register your first device", "This application needs a second factor.", "")
		}
		return s.authenticatedPage(sess.username) // even with a flow: only the tab with the password continues
	case http.MethodPost:
	default:
		return methodNotAllowed("GET, POST")
	}
	name := r.PostFormValue("username")
	u := s.authenticateUser(name, r.PostFormValue("password"))
	if u == nil {
		return s.loginPage(r, http.StatusUnauthorized, flow, name, authenticationFailed)
	}
	return redirect(http.StatusFound, s.afterLogin(flow, query.Get("rd"))).with("Set-Cookie", s.signIn(u))
}

// afterLogin returns where the browser goes after a sign-in: back to the authorization request, to a safe target, or to
// the portal.
func (s *Server) afterLogin(flow *consentFlow, target string) string {
	switch {
	case flow != nil:
		return s.resumeURL(flow)
	case s.safe(target):
		return target
	}
	return s.Issuer() + "/"
}

// firstFactor is the API behind the original's login form.
func (s *Server) firstFactor(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return methodNotAllowed("OPTIONS, POST")
	}
	var body struct {
		Username  string `json:"username"`
		Password  string `json:"password"`
		TargetURL string `json:"targetURL"`
		FlowID    string `json:"flowID"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return ko(http.StatusBadRequest, authenticationFailed)
	}
	u := s.authenticateUser(body.Username, body.Password)
	if u == nil {
		return ko(http.StatusUnauthorized, authenticationFailed)
	}
	return ok(map[string]any{"redirect": s.afterLogin(s.flows[body.FlowID], body.TargetURL)}).with("Set-Cookie", s.signIn(u))
}

// logoutPage is a page and nothing else: without its script the user stays signed in.
func (s *Server) logoutPage(r *http.Request) answer {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return methodNotAllowed("GET")
	}
	return s.signOutPage(r.URL.Query().Get("rd"))
}

// logoutAPI ends the session. It needs no CSRF token, ignores the content type and accepts an empty body.
func (s *Server) logoutAPI(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return methodNotAllowed("OPTIONS, POST")
	}
	var body struct {
		TargetURL string `json:"targetURL"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil && err != io.EOF {
		return ko(http.StatusOK, "Operation failed.").with("Set-Cookie", s.signOut(r))
	}
	return ok(map[string]any{"safeTargetURL": s.safe(body.TargetURL)}).with("Set-Cookie", s.signOut(r))
}

// safe reports whether the portal redirects to target: https, and a host that is the cookie's domain or below it, in the
// same case. Port, path and user info do not matter.
func (s *Server) safe(target string) bool {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return false
	}
	// For the demo, unlike the original: http on loopback is safe for a stand-in that is itself on loopback.
	if s.issuer.Scheme == "http" && u.Scheme == "http" && isLoopback(u.Hostname()) {
		return true
	}
	domain := s.cookieDomain
	if domain == "" {
		domain = s.issuer.Hostname()
	}
	return u.Scheme == "https" && (u.Hostname() == domain || strings.HasSuffix(u.Hostname(), "."+domain))
}

func ok(data any) answer {
	return jsonAnswer(http.StatusOK, map[string]any{"status": "OK", "data": data})
}

func ko(status int, message string) answer {
	return jsonAnswer(status, map[string]any{"status": "KO", "message": message})
}
