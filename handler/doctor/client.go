// What the provider accepts of the client. No user is involved, and at most one
// request counts as a failure at Authelia.

package doctor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/oauth2"
)

var quoted = regexp.MustCompile(`scope '([^']+)'`)

// authorization sends an authorization request without a browser's cookies, and
// reports whether the client is known.
func (e *examination) authorization(ctx context.Context, s *site, client *http.Client, md *metadata) bool {
	query := url.Values{
		"client_id": {s.settings.ClientID}, "redirect_uri": {s.settings.RedirectURI}, "response_type": {"code"}, "scope": {strings.Join(s.settings.Scopes, " ")},
		"state": {rand.Text()}, "nonce": {rand.Text()}, "code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())}, "code_challenge_method": {"S256"},
	}
	separator := "?"
	if strings.Contains(md.Authorization, "?") {
		separator = "&"
	}
	answer, _, err := get(ctx, client, md.Authorization+separator+query.Encode()) //nolint:bodyclose // get has closed it
	if err != nil {
		e.add("authelia_refused", Finding{Site: s.name, Seen: err.Error(), Expected: "a login page"})
		return false
	}
	location, err := answer.Location()
	if err != nil {
		if answer.StatusCode >= http.StatusBadRequest {
			e.add("authelia_refused", Finding{Site: s.name, Seen: "the authorization endpoint answered " + answer.Status, Expected: "a login page"})
		}
		return answer.StatusCode < http.StatusBadRequest
	}
	refusal := location.Query()
	code, description := refusal.Get("error"), strings.TrimSpace(refusal.Get("error_description")+" "+refusal.Get("error_hint"))
	finding := Finding{Site: s.name, Seen: "Authelia answers " + code + ": " + description}
	switch {
	case code == "" || slices.Contains([]string{"login_required", "interaction_required", "consent_required"}, code):
		return true
	case code == "invalid_client" || code == "unauthorized_client":
		finding.Expected, finding.Line = "a client called "+s.settings.ClientID, e.line("client_id", s.settings.ClientID)
		e.add("authelia_client_id", finding)
		return false
	case code == "invalid_scope":
		finding.Expected, finding.Line = "all of "+strings.Join(s.settings.Scopes, " "), e.line("scopes", strings.Join(s.settings.Scopes, " "))
		if match := quoted.FindStringSubmatch(description); match != nil {
			finding.Write = "scopes " + strings.Join(without(s.settings.Scopes, match[1]), " ")
		}
		e.add("authelia_scope", finding)
		return true
	case strings.Contains(description, "redirect_uri"):
		finding.Expected, finding.Line, finding.Write = s.settings.RedirectURI, "redirect_uris of the client in Authelia's configuration.yml", "- '"+s.settings.RedirectURI+"'"
		e.add("authelia_redirect_uri", finding)
		return true
	}
	finding.Expected = "a login page"
	e.add("authelia_refused", finding)
	return true
}

// tokenRequest redeems a code that does not exist: the refusal says whether the
// secret is right.
func (e *examination) tokenRequest(ctx context.Context, s *site, client *http.Client, md *metadata) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {"doctor-" + rand.Text()}, "redirect_uri": {s.settings.RedirectURI}, "code_verifier": {oauth2.GenerateVerifier()}}
	post := s.settings.ClientAuth == "post"
	if post {
		form.Set("client_id", s.settings.ClientID)
		form.Set("client_secret", s.settings.ClientSecret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, md.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return // the endpoint has been checked
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !post { // RFC 6749 section 2.3.1
		r.SetBasicAuth(url.QueryEscape(s.settings.ClientID), url.QueryEscape(s.settings.ClientSecret))
	}
	answer, body, err := send(client, r) //nolint:bodyclose // send has closed it
	if err != nil {
		e.add("authelia_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "an answer of the token endpoint"})
		return
	}
	var refusal struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &refusal) // what is no JSON has no error code
	finding := Finding{Site: s.name, Seen: "the token endpoint answered " + answer.Status + ": " + refusal.Error + ": " + refusal.Description}
	other := map[bool]string{true: "basic", false: "post"}[post]
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		finding.Expected = "an answer"
		e.add("authelia_rate_limit", finding)
	case strings.Contains(refusal.Description, "does not allow this method"):
		finding.Expected, finding.Line, finding.Write = "client_auth "+other+", or private_key_jwt", e.settingLine("client_auth", s.settings.ClientAuth), "client_auth "+other
		e.add("authelia_client_auth", finding)
	case refusal.Error == "invalid_client" || refusal.Error == "unauthorized_client" || answer.StatusCode == http.StatusUnauthorized:
		finding.Expected, finding.Line = "the secret of which Authelia has the digest", e.withoutValue("client_secret")
		e.add("authelia_client_secret", finding)
	}
}

// logout asks whether Authelia's logout page sends browsers back to the site.
func (e *examination) logout(ctx context.Context, s *site, client *http.Client) {
	body := `{"targetURL":"` + s.origin.String() + `/"}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.settings.Issuer, "/")+"/api/logout", strings.NewReader(body))
	if err != nil {
		return // the issuer has been checked
	}
	r.Header.Set("Content-Type", "application/json")
	answer, content, err := send(client, r) //nolint:bodyclose // send has closed it
	var reply struct {
		Status string `json:"status"`
		Data   struct {
			Safe *bool `json:"safeTargetURL"`
		} `json:"data"`
	}
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(content, &reply) != nil || reply.Data.Safe == nil {
		return // another provider
	}
	if !*reply.Data.Safe {
		e.add("authelia_logout", Finding{Site: s.name, Seen: "the logout page does not return to " + s.origin.String(), Expected: "a return", Line: "domain under session: cookies in Authelia's configuration.yml"})
	}
}
