// Documents with a flaw that does not matter, and errors that quote too much.

package flow

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// edited returns a harness whose provider's responses at an endpoint are edited.
func edited(t *testing.T, path string, edit func(body []byte, header http.Header) []byte) *harness {
	t.Helper()
	h := newHarness(t)
	provider := h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport)
	base := provider.base
	provider.base = network(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, path) {
			return rewritingTransport{base, edit}.RoundTrip(r)
		}
		return base.RoundTrip(r)
	})
	return h
}

// One key that cannot be read does not spoil the others.
func TestUnreadableKeyIsSkipped(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"nonsense":          `{"kty":"EC","crv":"P-256","x":"!","y":"?"}`,
		"a point off curve": `{"kty":"EC","crv":"P-256","kid":"x","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`,
		"unknown type":      `{"kty":"PQ","kid":"x"}`,
		"no object":         `7`,
		"null":              `null`,
		"bad certificate":   `{"kty":"RSA","n":"AQAB","e":"AQAB","x5c":["x"]}`,
		"private parts":     `{"kty":"RSA","n":"AQAB","e":"AQAB","d":"!"}`,
		"a byte order mark": ``,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := edited(t, "/jwks.json", func(body []byte, _ http.Header) []byte {
				if key == "" {
					return append([]byte("\ufeff"), body...)
				}
				return []byte(strings.Replace(string(body), `"keys":[`, `"keys":[`+key+`,`, 1))
			})
			if _, err := h.signIn(); err != nil {
				t.Errorf("sign-in: %v, want the other keys used", err)
			}
		})
	}
}

// The mark is in every document of a provider that has it in one.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"/openid-configuration", "/jwks.json", "/token", "/userinfo"} {
		h := edited(t, endpoint, func(body []byte, _ http.Header) []byte { return append([]byte("\ufeff"), body...) })
		if _, err := h.signIn(); err != nil {
			t.Errorf("sign-in with a byte order mark at %s: %v, want it to succeed", endpoint, err)
		}
	}
}

// A member that the gate does not need is of the wrong type. The key is good.
func TestKeyWithUnusableMembers(t *testing.T) {
	t.Parallel()
	for name, members := range map[string]string{
		"use a number": `"use":7`, "alg null": `"alg":null`, "key_ops a string": `"key_ops":"verify"`, "x5c a string": `"x5c":"x"`,
		"x5t a number": `"x5t":7`, "x5u not a URL": `"x5u":":"`, "iat a string": `"iat":"x"`, "unknown": `"more":[{}]`,
	} {
		h := edited(t, "/jwks.json", func(body []byte, _ http.Header) []byte {
			text := string(body)
			for _, old := range []string{`"use":"sig"`, `"alg":"RS256"`} {
				if strings.HasPrefix(members, old[:5]) {
					text = strings.ReplaceAll(text, old, `"old":""`)
				}
			}
			return []byte(strings.ReplaceAll(text, `"kty":`, members+`,"kty":`))
		})
		if _, err := h.signIn(); err != nil {
			t.Errorf("sign-in with a key with %s: %v, want it used", name, err)
		}
	}
}

// The members of a token response that the gate can do without are of the wrong type.
func TestTokenResponseOfOtherTypes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"scope", "refresh_token", "error", "error_description", "error_uri", "expires_in", "more"} {
		for kind, value := range map[string]any{"a number": 7, "null": nil, "a list": []string{"a"}, "an object": map[string]any{}, "a boolean": false} {
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = authelia.Set(name, value) })
			if result, err := h.signIn(); err != nil || result.Tokens.Refresh != "" {
				t.Errorf("sign-in with %s that is %s: %v, want it ignored", name, kind, err)
			}
		}
	}
	for name, want := range map[string]string{"access_token": "access_token", "token_type": "token_type", "id_token": "no ID token"} {
		h := newHarness(t)
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = authelia.Set(name, 7) })
		_, err := h.signIn()
		failsAs(t, err, ErrIDTokenInvalid, want)
	}
}

// The code of an error counts, whatever stands beside it.
func TestErrorResponseOfOtherTypes(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"error":"invalid_grant","error_description":["a"]}`, `{"error":"invalid_grant","error_description":null,"error_uri":7}`,
		`{"error":"invalid_grant","access_token":null,"token_type":null,"expires_in":{}}`, `{"error":"invalid_grant","access_token":7,"token_type":[]}`,
		"\ufeff" + `{"error":"invalid_grant"}`,
	} {
		h := newHarness(t)
		h.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusBadRequest, Body: body})
		})
		_, err := h.signIn()
		if refused, ok := errors.AsType[*TokenError](err); !ok || refused.Code != "invalid_grant" {
			t.Errorf("sign-in with %s: %v, want invalid_grant", body, err)
		}
	}
}

func TestTokenResponseInOtherForms(t *testing.T) {
	t.Parallel()
	lifetime := func(value string) func([]byte, http.Header) []byte {
		return func(body []byte, _ http.Header) []byte {
			_, rest, _ := strings.Cut(string(body), `"expires_in":`)
			old := rest[:strings.IndexAny(rest, ",}")]
			return []byte(strings.Replace(string(body), `"expires_in":`+old, `"expires_in":`+value, 1))
		}
	}
	for name, row := range map[string]struct {
		edit func([]byte, http.Header) []byte
		want time.Duration
	}{
		"byte order mark": {func(body []byte, _ http.Header) []byte { return append([]byte("\ufeff"), body...) }, time.Hour},
		"text/plain": {func(body []byte, header http.Header) []byte {
			header.Set("Content-Type", "text/plain; charset=utf-8")
			return body
		}, time.Hour},
		"no content type":    {func(body []byte, header http.Header) []byte { header.Del("Content-Type"); return body }, time.Hour},
		"fraction":           {lifetime("1799.5"), 1799 * time.Second},
		"fraction, quoted":   {lifetime(`"1799.5"`), 1799 * time.Second},
		"quoted":             {lifetime(`"1800"`), 30 * time.Minute},
		"exponent":           {lifetime("1.8e3"), 30 * time.Minute},
		"empty":              {lifetime(`""`), accessDefault},
		"null":               {lifetime("null"), accessDefault},
		"a word":             {lifetime(`"soon"`), accessDefault},
		"negative":           {lifetime("-5"), accessDefault},
		"an object":          {lifetime("{}"), accessDefault},
		"enormous":           {lifetime("1e300"), AccessTokenMax},
		"more than an int64": {lifetime("99999999999999999999"), AccessTokenMax},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := edited(t, "/token", row.edit)
			result, err := h.signIn()
			if err != nil {
				t.Fatalf("sign-in: %v, want it to succeed", err)
			}
			if got := result.Tokens.Expires.Sub(h.Now()); got.Round(time.Minute) != row.want.Round(time.Minute) {
				t.Errorf("the access token lives for %s, want %s", got, row.want)
			}
		})
	}
}

// A provider, or something in front of it, answers with documents of 700 KB. No line
// of the log holds them.
func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("<html>", 120_000)
	for _, endpoint := range []string{"/openid-configuration", "/jwks.json", "/token", "/userinfo"} {
		for name, body := range map[string]string{"a page": huge, "JSON": `{"keys":"` + huge + `","error":"` + huge + `","issuer":"` + huge + `","sub":"` + huge + `"}`} {
			h := edited(t, endpoint, func([]byte, http.Header) []byte { return []byte(body) })
			if endpoint == "/openid-configuration" {
				_, err := h.rp.metadata(t.Context())
				wantBounded(t, endpoint+", "+name, err)
				continue
			}
			_, err := h.signIn()
			wantBounded(t, endpoint+", "+name, err)
		}
	}
}

func wantBounded(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil || len(err.Error()) > 2000 {
		t.Errorf("%s: error %.300v, want one of at most 2,000 bytes", name, err)
	}
}

// The clocks of the provider and of Caddy differ by more than the leeway. The error
// says which is off by how much.
func TestClocks(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		iat, date time.Duration // ahead of Caddy's clock
		want      string
		hint      string
	}{
		"the provider's is ahead":  {5 * time.Minute, 5 * time.Minute, "the provider's clock is 5m0s ahead of Caddy's clock", "5m0s ahead"},
		"the provider's is behind": {-20 * time.Minute, -20 * time.Minute, "the provider's clock is 20m0s behind Caddy's clock", "20m0s behind"},
		"hours behind":             {-3 * time.Hour, -3 * time.Hour, "the provider's clock is 3h0m0s behind Caddy's clock", "3h0m0s behind"},
		"only the token's":         {5 * time.Minute, 0, "agrees with this machine's", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := edited(t, "/token", func(body []byte, _ http.Header) []byte { return body })
			provider := h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport)
			base := provider.base
			provider.base = network(func(r *http.Request) (*http.Response, error) {
				answer, err := base.RoundTrip(r)
				if err == nil {
					answer.Header.Set("Date", h.Now().Add(row.date).UTC().Format(http.TimeFormat))
				}
				return answer, err
			})
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.IDToken = edits(authelia.Set("iat", h.Now().Add(row.iat).Unix()), authelia.Set("exp", h.Now().Add(row.iat+time.Hour).Unix()))
			})
			_, err := h.signIn()
			failsAs(t, err, ErrIDTokenInvalid, row.want)
			clock, ok := errors.AsType[*ClockError](err)
			if !ok || !strings.Contains(clock.Hint(), row.hint) || (clock.Hint() == "") != (row.hint == "") {
				t.Errorf("hint of %v: %q, want one with %q", err, clock.Hint(), row.hint)
			}
		})
	}
}
