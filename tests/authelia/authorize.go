// The authorization endpoint: which requests it refuses, and where, and when it
// sends the browser to the portal.

package authelia

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authorization is an authorization request whose response may go to the client's redirect URI.
type authorization struct {
	client      *Client
	query       url.Values // without consent_id
	redirectURI string
	scopes      []string
	prompts     []string
	mode        string
}

// authorize is the authorization endpoint. A request that cannot be trusted ends on a page of the portal (302), every
// other one at the redirect URI (303).
func (s *Server) authorize(r *http.Request) answer {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return methodNotAllowed("GET, OPTIONS, POST")
	}
	if err := r.ParseForm(); err != nil {
		return s.complete(errInvalidRequest.with("Unable to parse the request."))
	}
	query := url.Values{}
	maps.Copy(query, r.Form)
	consentID := query.Get("consent_id")
	query.Del("consent_id")

	query, refusal := s.pulled(query)
	if refusal != nil {
		return s.complete(refusal)
	}
	a, refusal := s.trust(query)
	if refusal != nil {
		return s.complete(refusal)
	}
	if refusal := a.check(); refusal != nil {
		return s.deliverError(a, refusal)
	}
	return s.decide(r, a, consentID)
}

// trust finds the client and the redirect URI. Without them the client cannot be told of an error.
func (s *Server) trust(query url.Values) (*authorization, *oauthError) {
	client := s.clients[query.Get("client_id")]
	if client == nil {
		return nil, errInvalidClient.with("The requested OAuth 2.0 Client does not exist.")
	}
	if query.Has("request") {
		return nil, errInvalidRequestObject.with("Request objects are not part of this stand-in.")
	}
	if client.RequirePAR && !query.Has("request_uri") {
		return nil, errInvalidRequest.with("Pushed Authorization Requests are enforced but no such request was sent.")
	}
	if !client.redirects(query.Get("redirect_uri")) {
		return nil, errInvalidRequest.with("The 'redirect_uri' parameter does not match any of the OAuth 2.0 Client's pre-registered 'redirect_uris'.")
	}
	mode := query.Get("response_mode")
	if mode == "" {
		mode = "query"
	}
	if !slices.Contains(responseModes, mode) {
		return nil, errUnsupportedResponseMode.with("Request with unsupported response_mode '" + mode + "'.")
	}
	return &authorization{
		client: client, query: query, mode: mode,
		redirectURI: query.Get("redirect_uri"),
		scopes:      strings.Fields(query.Get("scope")),
		prompts:     strings.Fields(query.Get("prompt")),
	}, nil
}

// check returns what the original refuses before the user signs in.
func (a *authorization) check() *oauthError {
	if a.mode != "query" && a.mode != "form_post" && !slices.Contains(a.client.ResponseModes, a.mode) {
		return errUnsupportedResponseMode.with("The 'response_mode' requested was '" + a.mode + "', but the OAuth 2.0 Client is not allowed to use it.")
	}
	for _, scope := range a.scopes {
		if !slices.Contains(a.client.Scopes, scope) {
			return errInvalidScope.with("The OAuth 2.0 Client is not allowed to request scope '" + scope + "'.")
		}
	}
	if audience := a.query.Get("audience"); audience != "" {
		return errInvalidTarget.with("Requested audience '" + audience + "' has not been whitelisted by the OAuth 2.0 Client.")
	}
	if responseType := a.query.Get("response_type"); responseType != "code" {
		return errUnsupportedResponseType.with("The client is not allowed to request response_type '" + responseType + "'.")
	}
	if len(a.query.Get("state")) < 8 {
		return errInvalidState.with("Request parameter 'state' must be at least be 8 characters long to ensure sufficient entropy.")
	}
	return nil
}

// decide sends the browser to the portal or back to the client.
func (s *Server) decide(r *http.Request, a *authorization, consentID string) answer {
	sess, silent := s.sessionOf(r), slices.Contains(a.prompts, "none")
	flow, refusal := s.resume(a, consentID, sess)
	if refusal != nil {
		return s.deliverError(a, refusal)
	}
	if sess == nil {
		if silent {
			return s.deliverError(a, errLoginRequired.with("The Authorization Server requires the End-User to sign in, but the 'prompt' parameter was 'none'."))
		}
		s.flows[flow.id] = flow
		return redirect(http.StatusFound, s.flowURL("/", flow))
	}
	if hint, err := s.hinted(a); silent && err == nil && hint != "" && hint != s.subject(sess.username) {
		return s.deliverError(a, errLoginRequired.with("The request was made for another subject than the one signed in."))
	}
	if !a.client.permits(sess.groups) {
		return s.deliverError(a, errAccessDenied.with("The user was denied access to this client."))
	}
	flow.username = sess.username
	if a.client.TwoFactor {
		s.flows[flow.id] = flow
		return redirect(http.StatusFound, s.flowURL("/", flow))
	}
	if flow.decided && !flow.granted {
		flow.used = true
		return s.deliverError(a, errAccessDenied.with("Make sure that the request you are making is valid. Maybe the credential or request parameters you are using are limited in scope or otherwise restricted."))
	}
	// This is so with prompt=none too: the original sends neither consent_required nor interaction_required.
	if s.stale(a, flow, sess) || (!flow.granted && s.asksConsent(a, sess)) {
		if flow.decided {
			flow.used = true
			flow = s.newFlow(a.query)
			flow.username = sess.username
		}
		s.flows[flow.id] = flow
		return redirect(http.StatusFound, s.flowURL("/consent/openid/decision", flow))
	}
	flow.used = true
	return s.grantCode(a, sess)
}

// stale reports whether the user must enter the password again: since this request for prompt=login, or when the last
// time is longer ago than max_age. A max_age of 0, negative or not a number can never be satisfied.
func (s *Server) stale(a *authorization, flow *consentFlow, sess *session) bool {
	if slices.Contains(a.prompts, "login") && sess.sequence < flow.sequence {
		return true
	}
	if !a.query.Has("max_age") {
		return false
	}
	maxAge := positive(a.query.Get("max_age"))
	return maxAge == 0 || s.now().Sub(sess.authenticated) > maxAge
}

// complete shows an error on the portal. The client never hears of it.
func (s *Server) complete(e *oauthError) answer {
	return redirect(http.StatusFound, s.Issuer()+"/consent/completion?"+url.Values{
		"error":             {e.code},
		"error_description": {e.description},
		"error_hint":        {e.hint},
		"error_status_code": {itoa(e.status)},
	}.Encode())
}
