// Tests of client authentication.

package op

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
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
	wantAnswer(t, post(provider, request), http.StatusBadRequest, "invalid_request")
	request = tokenRequest(tokenForm(sealed))
	request.URL.RawQuery = "code=x&client_id=y&grant_type=z"
	wantAnswer(t, post(provider, request), http.StatusOK, "")
}

// An attacker without a code cannot tell a right secret from a wrong one, by status,
// body or header, nor by what happens after too many requests. RomM has codes, so it
// is not limited, even at the attacker's address.
func TestGuessingTheClientSecret(t *testing.T) {
	config := testConfig
	requests := 0
	config.Limit = func(*http.Request) time.Duration {
		if requests++; requests > 20 {
			return 30 * time.Second
		}
		return 0
	}
	provider, _ := loaded(t, config)
	for name, change := range map[string]func(url.Values){
		"unknown code": func(f url.Values) { f.Set("code", "x") }, "no code": func(f url.Values) { f.Del("code") },
		"no grant type": func(f url.Values) { f.Del("grant_type"); f.Set("code", "x") }, "wrong redirect URI": func(f url.Values) { f.Set("redirect_uri", "x"); f.Set("code", "x") },
	} {
		for _, limited := range []bool{false, true} {
			answers := make([]string, 0, 5)
			for _, authorization := range []string{basic("romm", testConfig.ClientSecret), basic("romm", "guess"), basic("other", "guess"), "Bearer x", ""} {
				requests = 0
				if limited {
					requests = 20
				}
				form := tokenForm("")
				change(form)
				request := tokenRequest(form)
				request.Header.Set("Authorization", authorization)
				recorder := post(provider, request)
				answers = append(answers, fmt.Sprint(recorder.Code, recorder.Header(), recorder.Body))
				if limited != (recorder.Code == http.StatusTooManyRequests) || limited != (recorder.Header().Get("Retry-After") == "31") {
					t.Errorf("%s, limited %v: answer %s", name, limited, answers[len(answers)-1])
				}
			}
			for _, answer := range answers[1:] {
				if answer != answers[0] {
					t.Errorf("%s, limited %v: a wrong secret is answered\n%s\nand the right one\n%s", name, limited, answer, answers[0])
				}
			}
			if strings.Contains(answers[0], "Basic") {
				t.Errorf("%s: answer %s, want no challenge", name, answers[0])
			}
		}
	}
	requests = 1000
	redeem(t, provider, code(t, provider, testClaims))
	request := tokenRequest(tokenForm(code(t, provider, testClaims)))
	request.Header.Set("Authorization", basic("romm", "old"))
	wantAnswer(t, post(provider, request), http.StatusUnauthorized, "invalid_client")
}
