// Tests of the authorization response.

package flow

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// The order of checks is duplicates, state, iss, error, code. Nothing in a
// response with a foreign state counts.
func TestCheckResponse(t *testing.T) {
	t.Parallel()
	const state, iss = "state=of-the-art", "iss=https%3A%2F%2Fauth.example.test"
	for name, row := range map[string]struct {
		query string
		code  string
		fail  string // text of an ErrResponseInvalid
		err   string // code of an AuthorizationError
	}{
		"valid":                        {query: state + "&" + iss + "&code=c&scope=openid", code: "c"},
		"valid, unknown parameters":    {query: state + "&" + iss + "&code=c&x=1&x=2&session_state=s", code: "c"},
		"the longest code":             {query: state + "&" + iss + "&code=" + strings.Repeat("c", 2048), code: strings.Repeat("c", 2048)},
		"no parameters":                {query: "", fail: "state does not match"},
		"state missing":                {query: iss + "&code=c", fail: "state does not match"},
		"state empty":                  {query: "state=&" + iss + "&code=c", fail: "state does not match"},
		"state another":                {query: "state=other&" + iss + "&code=c", fail: "state does not match"},
		"state in another case":        {query: "state=OF-THE-ART&" + iss + "&code=c", fail: "state does not match"},
		"state cut short":              {query: "state=of-the&" + iss + "&code=c", fail: "state does not match"},
		"state with more behind":       {query: state + "x&" + iss + "&code=c", fail: "state does not match"},
		"state before iss":             {query: "state=other&iss=evil&code=c", fail: "state does not match"},
		"state before error":           {query: "state=other&" + iss + "&error=access_denied", fail: "state does not match"},
		"iss missing (RFC 9207)":       {query: state + "&code=c", fail: "iss is missing"},
		"iss empty":                    {query: state + "&iss=&code=c", fail: "iss is another issuer"},
		"iss another (mix-up)":         {query: state + "&iss=https%3A%2F%2Fevil.example&code=c", fail: "iss is another issuer"},
		"iss with a slash":             {query: state + "&" + iss + "%2F&code=c", fail: "iss is another issuer"},
		"iss before error":             {query: state + "&iss=https%3A%2F%2Fevil.example&error=access_denied", fail: "iss is another issuer"},
		"iss missing before error":     {query: state + "&error=access_denied", fail: "iss is missing"},
		"error":                        {query: state + "&" + iss + "&error=access_denied&error_description=no", err: "access_denied"},
		"error before code":            {query: state + "&" + iss + "&error=access_denied&code=c", err: "access_denied"},
		"code missing":                 {query: state + "&" + iss, fail: "code is missing"},
		"code empty":                   {query: state + "&" + iss + "&code=", fail: "code is missing"},
		"code too long":                {query: state + "&" + iss + "&code=" + strings.Repeat("c", 2049), fail: "too long"},
		"code in another case":         {query: state + "&" + iss + "&Code=c", fail: "code is missing"},
		"two states":                   {query: state + "&" + state + "&" + iss + "&code=c", fail: "state occurs twice"},
		"two codes":                    {query: state + "&" + iss + "&code=c&code=c", fail: "code occurs twice"},
		"two iss":                      {query: state + "&" + iss + "&" + iss + "&code=c", fail: "iss occurs twice"},
		"two errors":                   {query: state + "&" + iss + "&error=a&error=b", fail: "error occurs twice"},
		"two descriptions":             {query: state + "&" + iss + "&error=a&error_description=a&error_description=b", fail: "error_description occurs twice"},
		"two codes, state another":     {query: "state=other&" + iss + "&code=c&code=d", fail: "code occurs twice"},
		"two states, the second right": {query: "state=other&" + state + "&" + iss + "&code=c", fail: "state occurs twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			query, err := url.ParseQuery(row.query)
			if err != nil {
				t.Fatal(err)
			}
			code, err := h.rp.CheckResponse(t.Context(), &Login{State: "of-the-art"}, query)
			refused, isError := errors.AsType[*AuthorizationError](err)
			switch {
			case code != row.code:
				t.Errorf("CheckResponse = %q, %v, want the code %q", code, err, row.code)
			case row.fail != "":
				failsAs(t, err, ErrResponseInvalid, row.fail)
			case row.err != "":
				if !isError || refused.Code != row.err {
					t.Errorf("got %v, want an AuthorizationError %s", err, row.err)
				}
			default:
				failsAs(t, err, nil, "")
			}
			h.calls(authelia.EndpointToken, 0)
		})
	}
}

// A login without a state matches no response, not even one without a state.
func TestNoStateIsNotAState(t *testing.T) {
	t.Parallel()
	for _, query := range []url.Values{{"code": {"c"}}, {"state": {""}, "code": {"c"}, "iss": {testIssuer}}} {
		_, err := newHarness(t).rp.CheckResponse(t.Context(), &Login{}, query)
		failsAs(t, err, ErrResponseInvalid, "state does not match")
	}
}

// RFC 9207 section 2.4: iss is required if the provider announces it. If the
// provider does not, a response may still carry it, and then it must match.
func TestIssWhereItIsNotAnnounced(t *testing.T) {
	t.Parallel()
	for name, announced := range map[string]authelia.Edit{
		"missing": authelia.Without("authorization_response_iss_parameter_supported"),
		"false":   authelia.Set("authorization_response_iss_parameter_supported", false),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = announced })
			login := &Login{State: "s"}
			if code, err := h.rp.CheckResponse(t.Context(), login, url.Values{"state": {"s"}, "code": {"c"}}); err != nil || code != "c" {
				t.Errorf("CheckResponse = %q, %v, want the code c", code, err)
			}
			_, err := h.rp.CheckResponse(t.Context(), login, url.Values{"state": {"s"}, "code": {"c"}, "iss": {"https://evil.example"}})
			failsAs(t, err, ErrResponseInvalid, "iss is another issuer")
		})
	}
}

// Without metadata it is unknown whether iss is required.
func TestIssWithoutProvider(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.op.Down()
	login := &Login{State: "s"}
	_, err := h.rp.CheckResponse(t.Context(), login, url.Values{"state": {"s"}, "code": {"c"}})
	failsAs(t, err, ErrProviderUnavailable, "")
	if code, err := h.rp.CheckResponse(t.Context(), login, url.Values{"state": {"s"}, "code": {"c"}, "iss": {testIssuer}}); err != nil || code != "c" {
		t.Errorf("CheckResponse with iss = %q, %v, want the code c", code, err)
	}
}

// An attacker writes the description, which appears in a log and on a page.
func TestAuthorizationError(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ code, description, wantCode, wantDescription string }{
		"plain":                  {"access_denied", "The user was denied.", "access_denied", "The user was denied."},
		"line breaks":            {"a\r\nb", "x\r\nlevel=error", "a??b", "x??level=error"},
		"terminal escapes":       {"\x1b[2J", "\x1b]0;\x07\x9b", "?[2J", "?]0;??"},
		"beyond ASCII":           {"\u0430", "\u202egnp.exe \u2603", "?", "?gnp.exe ?"},
		"invalid UTF-8":          {"a\xff", "\xff\xfe", "a?", "??"},
		"long":                   {strings.Repeat("c", 500), strings.Repeat("d", 5000), strings.Repeat("c", 100), strings.Repeat("d", 300)},
		"cut within a character": {"c", strings.Repeat("d", 299) + "\u00e9", "c", strings.Repeat("d", 299) + "?"},
		"markup is kept":         {"c", "<script>alert(1)</script>", "c", "<script>alert(1)</script>"}, // html/template escapes it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newHarness(t).rp.CheckResponse(t.Context(), &Login{State: "s"}, url.Values{
				"state": {"s"}, "iss": {testIssuer}, "error": {row.code}, "error_description": {row.description},
			})
			refused, ok := errors.AsType[*AuthorizationError](err)
			if !ok || refused.Code != row.wantCode {
				t.Fatalf("CheckResponse = %v, want an AuthorizationError", err)
			}
			if got := refused.Description; got != row.wantDescription {
				t.Errorf("got %q, want %q", got, row.wantDescription)
			}
			if want := "the authorization endpoint answered " + refused.Code + ": " + refused.Description; err.Error() != want {
				t.Errorf("error %q, want the code and the description", err)
			}
		})
	}
}

// Authelia's own error response passes all the checks.
func TestRefusedByTheProvider(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) { s.client.AllowedGroups = []string{"other-group"} })
	login, query := h.begin()
	_, err := h.rp.CheckResponse(t.Context(), login, query)
	if refused, ok := errors.AsType[*AuthorizationError](err); !ok || refused.Code != "access_denied" ||
		!strings.Contains(refused.Description, "denied access to this client") {
		t.Errorf("CheckResponse = %v, want Authelia's error", err)
	}
}

func FuzzCheckResponse(f *testing.F) {
	for _, seed := range []string{
		"", "state=s&code=c", "state=s&iss=https://auth.example.test&code=c", "state=s&iss=https://auth.example.test&error=a&error_description=%0d%0a",
		"state=s&state=s&iss=https://auth.example.test&code=c", "state=s&iss=x&code=c", "state=&code=c", "%zz", "state=s;code=c",
		"state=s&iss=https://auth.example.test&code=%00", "error=x", "state=s&iss&code",
	} {
		f.Add(seed)
	}
	rp := New(Config{Issuer: testIssuer, Client: newBrokenClient()})
	rp.known = &metadata{issParameterSupported: true}
	rp.loaded = rp.config.Now()
	f.Fuzz(func(t *testing.T, raw string) {
		query, _ := url.ParseQuery(raw) // the readable part, like net/http
		code, err := rp.CheckResponse(context.Background(), &Login{State: "s"}, query)
		if err == nil && (code == "" || len(code) > codeLimit || query.Get("state") != "s" || query.Get("iss") != testIssuer ||
			len(query["code"]) != 1 || query.Get("error") != "") {
			t.Errorf("CheckResponse accepts %q, want it refused", raw)
		}
		if refused, ok := errors.AsType[*AuthorizationError](err); ok {
			if text := refused.Error(); printable(text, len(text)) != text || len(text) > 500 || query.Get("state") != "s" {
				t.Errorf("error %q for %q, want short printable ASCII", text, raw)
			}
		}
	})
}
