// Tests of refused token requests.

package op

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	form := func(change func(url.Values)) func(*http.Request, url.Values) {
		return func(_ *http.Request, values url.Values) { change(values) }
	}
	header := func(name, value string) func(*http.Request, url.Values) {
		return func(r *http.Request, _ url.Values) { r.Header.Set(name, value) }
	}
	inBody := func(id, secret string) func(*http.Request, url.Values) {
		return func(r *http.Request, form url.Values) {
			r.Header.Del("Authorization")
			form.Set("client_id", id)
			form.Set("client_secret", secret)
		}
	}
	for name, row := range map[string]struct {
		change func(*http.Request, url.Values)
		status int
		error  string
		reason string // as recorded for the code
		noCode bool   // the request carries no genuine code, so nothing is recorded
	}{
		"wrong secret":                 {header("Authorization", basic("romm", "wrong")), 401, "invalid_client", reasonSecret, false},
		"empty secret":                 {header("Authorization", basic("romm", "")), 401, "invalid_client", reasonSecret, false},
		"prefix of the secret":         {header("Authorization", basic("romm", "s3cret")), 401, "invalid_client", reasonSecret, false},
		"form-urlencoded secret":       {header("Authorization", basic("romm", url.QueryEscape(testConfig.ClientSecret))), 401, "invalid_client", reasonSecret, false},
		"form-decoded secret":          {header("Authorization", basic("romm", "s3cret with signs")), 401, "invalid_client", reasonSecret, false},
		"wrong client ID":              {header("Authorization", basic("other", testConfig.ClientSecret)), 401, "invalid_client", reasonClient, false},
		"client ID in other case":      {header("Authorization", basic("ROMM", testConfig.ClientSecret)), 401, "invalid_client", reasonClient, false},
		"no credentials":               {func(r *http.Request, _ url.Values) { r.Header.Del("Authorization") }, 401, "invalid_client", reasonClient, false},
		"bearer token":                 {header("Authorization", "Bearer x"), 401, "invalid_client", reasonClient, false},
		"basic, not base64":            {header("Authorization", "Basic !"), 401, "invalid_client", reasonClient, false},
		"basic, no colon":              {header("Authorization", "Basic cm9tbQ=="), 401, "invalid_client", reasonClient, false},
		"public client, no secret":     {inBody("romm", ""), 401, "invalid_client", reasonSecret, false},
		"wrong secret in the body":     {inBody("romm", "wrong"), 401, "invalid_client", reasonSecret, false},
		"wrong client ID in the body":  {inBody("other", testConfig.ClientSecret), 401, "invalid_client", reasonClient, false},
		"basic and secret in the body": {form(func(f url.Values) { f.Set("client_secret", testConfig.ClientSecret) }), 400, "invalid_request", reasonRequest, false},
		"two client IDs":               {form(func(f url.Values) { f.Set("client_id", "other") }), 400, "invalid_request", reasonRequest, false},
		"two Authorization fields":     {func(r *http.Request, _ url.Values) { r.Header.Add("Authorization", basic("romm", "x")) }, 400, "invalid_request", reasonRequest, false},
		"no grant type":                {form(func(f url.Values) { f.Del("grant_type") }), 400, "invalid_request", reasonRequest, false},
		"refresh token":                {form(func(f url.Values) { f.Set("grant_type", "refresh_token") }), 400, "unsupported_grant_type", reasonGrantType, false},
		"client credentials":           {form(func(f url.Values) { f.Set("grant_type", "client_credentials") }), 400, "unsupported_grant_type", reasonGrantType, false},
		"grant type in other case":     {form(func(f url.Values) { f.Set("grant_type", "Authorization_Code") }), 400, "unsupported_grant_type", reasonGrantType, false},
		"no redirect URI":              {form(func(f url.Values) { f.Del("redirect_uri") }), 400, "invalid_request", reasonRequest, false},
		"wrong redirect URI":           {form(func(f url.Values) { f.Set("redirect_uri", "https://evil.example/") }), 400, "invalid_grant", reasonRedirectURI, false},
		"redirect URI with a slash":    {form(func(f url.Values) { f.Set("redirect_uri", testConfig.RedirectURI+"/") }), 400, "invalid_grant", reasonRedirectURI, false},
		"redirect URI in other case":   {form(func(f url.Values) { f.Set("redirect_uri", strings.ToUpper(testConfig.RedirectURI)) }), 400, "invalid_grant", reasonRedirectURI, false},
		"no code":                      {form(func(f url.Values) { f.Del("code") }), 400, "invalid_request", "", true},
		"empty code":                   {form(func(f url.Values) { f.Set("code", "") }), 400, "invalid_request", "", true},
		"unknown code":                 {form(func(f url.Values) { f.Set("code", "x") }), 400, "invalid_grant", "", true},
		"code too long":                {form(func(f url.Values) { f.Set("code", strings.Repeat("A", codeSize+1)) }), 400, "invalid_grant", "", true},
		"code with another last digit": {form(func(f url.Values) { f.Set("code", otherLast(f.Get("code"))) }), 400, "invalid_grant", "", true},
		"code cut short":               {form(func(f url.Values) { f.Set("code", f.Get("code")[:40]) }), 400, "invalid_grant", "", true},
		"padded code":                  {form(func(f url.Values) { f.Set("code", f.Get("code")+"=") }), 400, "invalid_grant", "", true},
		"code twice":                   {form(func(f url.Values) { f.Add("code", f.Get("code")) }), 400, "invalid_request", "", true},
		"redirect URI twice":           {form(func(f url.Values) { f.Add("redirect_uri", "https://evil.example/") }), 400, "invalid_request", "", true},
		"grant type twice":             {form(func(f url.Values) { f.Add("grant_type", "authorization_code") }), 400, "invalid_request", "", true},
		"unknown parameter twice":      {form(func(f url.Values) { f["x"] = []string{"1", "1"} }), 400, "invalid_request", "", true},
		"no content type":              {func(r *http.Request, _ url.Values) { r.Header.Del("Content-Type") }, 400, "invalid_request", "", true},
		"content type JSON":            {header("Content-Type", "application/json"), 400, "invalid_request", "", true},
		"content type multipart":       {header("Content-Type", "multipart/form-data; boundary=x"), 400, "invalid_request", "", true},
		"body too large":               {form(func(f url.Values) { f.Set("x", strings.Repeat("x", bodyLimit)) }), 413, "invalid_request", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			heard := &events{}
			config := testConfig
			config.Report = heard.report
			provider, _ := loaded(t, config)
			sealed := code(t, provider, testClaims)
			values := tokenForm(sealed)
			request := tokenRequest(nil)
			row.change(request, values)
			request.Body = io.NopCloser(strings.NewReader(values.Encode()))
			recorder := post(provider, request)
			wantAnswer(t, recorder, row.status, row.error)
			if got := recorder.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q, want no-store", got)
			}
			challenge := ""
			if row.status == http.StatusUnauthorized {
				challenge = `Basic realm="romm_oidc"`
			}
			if got := recorder.Header().Get("WWW-Authenticate"); got != challenge {
				t.Errorf("WWW-Authenticate %q, want %q", got, challenge)
			}
			want, reason := outcome{requested: true, refusal: row.reason}, row.reason
			if row.noCode {
				want, reason = outcome{}, reasonRequest
				if row.error == "invalid_grant" {
					reason = reasonCode
				}
			}
			wantOutcome(t, provider, sealed, want)
			wantEvents(t, heard, eventRefused+": "+reason)
			redeem(t, provider, sealed) // a refused request does not use up the code
			wantOutcome(t, provider, sealed, outcome{requested: true, redeemed: true})
		})
	}
}

// otherLast returns code with another last digit, of those without padding bits.
func otherLast(code string) string {
	last := len(code) - 2
	if code[last] == 'A' {
		return code[:last] + "B" + code[last+1:]
	}
	return code[:last] + "A" + code[last+1:]
}

// A redeemed code that comes again with a wrong secret is refused for the
// secret. The gate must still remember that the code was redeemed.
func TestRefusalDoesNotReviveACode(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	sealed := code(t, provider, testClaims)
	redeem(t, provider, sealed)
	request := tokenRequest(tokenForm(sealed))
	request.Header.Set("Authorization", basic("romm", "wrong"))
	wantAnswer(t, post(provider, request), http.StatusUnauthorized, "invalid_client")
	wantOutcome(t, provider, sealed, outcome{requested: true, redeemed: true, refusal: reasonSecret})
	wantAnswer(t, post(provider, tokenRequest(tokenForm(sealed))), http.StatusBadRequest, "invalid_grant")
}

// Any client can send any number of token requests. They are distinguished from
// those of a misconfigured RomM, which the operator must learn of.
func TestTokenRequestsOfUnknownClients(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*http.Request, url.Values)
		known  bool
	}{
		"empty request":                   {func(r *http.Request, f url.Values) { clear(f); r.Header.Del("Authorization") }, false},
		"client ID and a guessed secret":  {func(r *http.Request, f url.Values) { f.Set("code", "x"); r.SetBasicAuth(testConfig.ClientID, "guess") }, false},
		"no content type, no credentials": {func(r *http.Request, _ url.Values) { r.Header = http.Header{} }, false},
		"genuine code, wrong secret":      {func(r *http.Request, _ url.Values) { r.SetBasicAuth(testConfig.ClientID, "old") }, true},
		"genuine code, wrong client ID":   {func(r *http.Request, _ url.Values) { r.SetBasicAuth("old", testConfig.ClientSecret) }, true},
		"unknown code, right secret":      {func(_ *http.Request, f url.Values) { f.Set("code", "x") }, true},
		"no content type, right secret":   {func(r *http.Request, _ url.Values) { r.Header.Del("Content-Type") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			heard := &events{}
			config := testConfig
			config.Report = heard.report
			provider, _ := loaded(t, config)
			form := tokenForm(code(t, provider, testClaims))
			request := tokenRequest(nil)
			row.change(request, form)
			request.Body = io.NopCloser(strings.NewReader(form.Encode()))
			provider.ServeToken(httptest.NewRecorder(), request)
			want := eventUnknown
			if row.known {
				want = eventRefused
			}
			if got := heard.all(); len(got) != 1 || !strings.HasPrefix(got[0], want+": ") {
				t.Errorf("reported events %q, want one %s", got, want)
			}
		})
	}
}
