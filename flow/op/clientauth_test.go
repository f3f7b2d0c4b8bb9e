// Tests of client authentication.

package op

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestClientAuthentication(t *testing.T) {
	for name, row := range map[string]struct {
		secret string
		change func(*http.Request, url.Values)
	}{
		"basic": {"abc", func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", basic("romm", "abc")) }},
		"basic, not form-urlencoded": {"a+b%20c&=", func(r *http.Request, _ url.Values) {
			r.Header.Set("Authorization", basic("romm", "a+b%20c&="))
		}},
		"basic, colon": {"a:b", func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", basic("romm", "a:b")) }},
		"basic, Latin-1": {"grün", func(r *http.Request, _ url.Values) {
			r.Header.Set("Authorization", basic("romm", "gr\xfcn"))
		}},
		"basic, UTF-8": {"grün", func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", basic("romm", "grün")) }},
		"basic and client_id": {"abc", func(r *http.Request, f url.Values) {
			r.Header.Set("Authorization", basic("romm", "abc"))
			f.Set("client_id", "romm")
		}},
		"body": {"grün +", func(r *http.Request, f url.Values) {
			r.Header.Del("Authorization")
			f.Set("client_id", "romm")
			f.Set("client_secret", "grün +")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig
			config.ClientSecret = row.secret
			provider, _ := loaded(t, config)
			form, request := tokenForm(code(t, provider, testClaims)), tokenRequest(nil)
			row.change(request, form)
			request.Body = io.NopCloser(strings.NewReader(form.Encode()))
			if recorder := post(provider, request); recorder.Code != http.StatusOK {
				t.Errorf("answer %d %s, want 200", recorder.Code, recorder.Body)
			}
		})
	}
}

// A configuration without a secret must not become one with the empty secret.
func TestEmptyConfigAuthenticatesNoClient(t *testing.T) {
	for name, config := range map[string]Config{
		"no secret":        {Algorithm: ES256, ClientID: "romm", RedirectURI: testConfig.RedirectURI},
		"no client ID":     {Algorithm: ES256, ClientSecret: "x", RedirectURI: testConfig.RedirectURI},
		"no client at all": {Algorithm: ES256},
	} {
		t.Run(name, func(t *testing.T) {
			provider, _ := loaded(t, config)
			form := tokenForm(code(t, provider, testClaims))
			form.Set("redirect_uri", config.RedirectURI)
			for _, header := range []string{basic(config.ClientID, config.ClientSecret), ""} {
				request := tokenRequest(form)
				request.Header.Set("Authorization", header)
				wantAnswer(t, post(provider, request), http.StatusUnauthorized, "")
			}
		})
	}
}

// Credentials in a URL end up in logs (RFC 6749 section 2.3.1). A client that
// sends its request there gets nothing, and nothing there changes a request.
func TestQueryOfATokenRequestIsIgnored(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	sealed := code(t, provider, testClaims)
	query := tokenForm(sealed)
	query.Set("client_id", "romm")
	query.Set("client_secret", testConfig.ClientSecret)
	request := tokenRequest(url.Values{})
	request.Header.Del("Authorization")
	request.URL.RawQuery = query.Encode()
	wantAnswer(t, post(provider, request), http.StatusUnauthorized, "")
	request = tokenRequest(tokenForm(sealed))
	request.URL.RawQuery = "code=x&client_id=y&grant_type=z"
	wantAnswer(t, post(provider, request), http.StatusOK, "")
}
