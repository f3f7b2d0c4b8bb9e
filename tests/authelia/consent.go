// The consent step of an authorization request, from its start to the decision.

package authelia

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// consentFlow is an authorization request on its way through the portal.
type consentFlow struct {
	id       string
	query    url.Values // the authorization request's
	username string     // of the user who consents, once known
	started  time.Time
	sequence int // the stand-in's at the start

	decided, granted, used bool
}

func (s *Server) newFlow(query url.Values) *consentFlow {
	s.sequence++
	return &consentFlow{id: newUUID(), query: maps.Clone(query), started: s.now(), sequence: s.sequence}
}

// resume returns the flow that consentID names, or a new one if it is empty. A consent is good once, for 10 minutes, for
// one user and one request.
func (s *Server) resume(a *authorization, consentID string, sess *session) (*consentFlow, *oauthError) {
	if consentID == "" {
		return s.newFlow(a.query), nil
	}
	flow := s.flows[consentID]
	if flow == nil || flow.used || s.late(flow) || flow.query.Encode() != a.query.Encode() ||
		(flow.username != "" && sess != nil && flow.username != sess.username) {
		return nil, errServerError.with("Could not perform consent.")
	}
	return flow, nil
}

func (s *Server) late(flow *consentFlow) bool { return s.now().Sub(flow.started) > s.lifespans.Consent }

// flowURL returns the URL of a portal page for the flow.
func (s *Server) flowURL(path string, flow *consentFlow) string {
	return s.Issuer() + path + "?" + url.Values{"flow": {"openid_connect"}, "flow_id": {flow.id}}.Encode()
}

// resumeURL returns the URL that continues the flow at the authorization endpoint.
func (s *Server) resumeURL(flow *consentFlow) string {
	query := maps.Clone(flow.query)
	query.Set("consent_id", flow.id)
	return s.Issuer() + "/api/oidc/authorization?" + query.Encode()
}

// consent is the page that asks for the user's consent, and for the password if the client requires it again.
func (s *Server) consent(r *http.Request) answer {
	flow, sess := s.flows[r.URL.Query().Get("flow_id")], s.sessionOf(r)
	if flow == nil || flow.used || flow.decided {
		return s.completionPage("This request is over", "Please go back to the application and try again.", "")
	}
	if sess == nil || flow.username != sess.username {
		return redirect(http.StatusFound, s.flowURL("/", flow))
	}
	a, refusal := s.trust(flow.query)
	if refusal != nil {
		return s.complete(refusal)
	}
	password := s.stale(a, flow, sess)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.consentPage(r, http.StatusOK, a, sess, password, "")
	case http.MethodPost:
	default:
		return methodNotAllowed("GET, POST")
	}
	flow.granted = r.PostFormValue("decision") == "accept"
	if flow.granted && password {
		if s.authenticateUser(sess.username, r.PostFormValue("password")) == nil {
			flow.granted = false
			return s.consentPage(r, http.StatusUnauthorized, a, sess, password, authenticationFailed)
		}
		s.sequence++
		sess.authenticated, sess.sequence = s.now(), s.sequence
	}
	flow.decided = true
	if flow.granted && a.client.ConsentMode == consentPreConfigured && r.PostFormValue("remember") != "" {
		s.consents[consentKey(a, sess)] = true
	}
	return redirect(http.StatusFound, s.resumeURL(flow))
}

const (
	consentImplicit      = "implicit"
	consentPreConfigured = "pre-configured"
)

// asksConsent reports whether the user is asked for consent.
func (s *Server) asksConsent(a *authorization, sess *session) bool {
	if slices.Contains(a.scopes, "offline_access") || slices.Contains(a.prompts, "consent") {
		return true
	}
	switch a.client.ConsentMode {
	case consentImplicit:
		return false
	case consentPreConfigured:
		return !s.consents[consentKey(a, sess)]
	}
	return true
}

// consentKey names a remembered consent: one user's, for one client and one set of scopes.
func consentKey(a *authorization, sess *session) string {
	return sess.username + "\n" + a.client.ID + "\n" + strings.Join(slices.Sorted(slices.Values(a.scopes)), " ")
}

// positive reads a number of seconds. Anything but a positive number is 0.
func positive(seconds string) time.Duration {
	n, err := strconv.Atoi(seconds)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 1<<31)) * time.Second
}

func itoa(n int) string { return strconv.Itoa(n) }

// scopeNames are the names of the scopes on the consent page.
var scopeNames = map[string]string{
	"openid":         "Use OpenID to verify your identity",
	"offline_access": "Automatically refresh these permissions without user interaction",
	"groups":         "Access your group membership",
	"profile":        "Access your profile information",
	"email":          "Access your email addresses",
}

func describe(scopes []string) []string {
	described := make([]string, 0, len(scopes))
	for _, scope := range slices.Compact(scopes) {
		if name := scopeNames[scope]; name != "" {
			scope = name
		}
		described = append(described, scope)
	}
	return described
}
