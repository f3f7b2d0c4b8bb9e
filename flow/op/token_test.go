package op

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

func TestTokenWire(t *testing.T) {
	for _, algorithm := range []string{"", ES256, RS256} {
		t.Run("algorithm "+algorithm, func(t *testing.T) {
			heard := &events{}
			config := testConfig
			config.Algorithm, config.Report = algorithm, heard.report
			provider, clock := prepared(t, config)
			sealed := code(t, provider, testClaims)
			recorder := post(provider, tokenRequest(tokenForm(sealed)))
			if recorder.Code != http.StatusOK {
				t.Fatalf("%d %s", recorder.Code, recorder.Body)
			}
			for name, want := range map[string]string{
				"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache",
			} {
				if got := recorder.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			response := object(t, recorder.Body.Bytes())
			if got := slices.Sorted(maps.Keys(response)); !slices.Equal(got,
				[]string{"access_token", "expires_in", "id_token", "token_type"}) {
				t.Errorf("members %v", got)
			}
			if response["token_type"] != "Bearer" || response["expires_in"] != 300.0 {
				t.Errorf("%v", response)
			}
			access, _ := response["access_token"].(string)
			if len(access) < 26 {
				t.Errorf("access token %q", access)
			}
			want := algorithm
			if want == "" {
				want = ES256
			}
			keys, _ := provider.state.keys(t.Context(), nil)
			key, _ := keys.current(want, clock.Now())
			if got := part(t, response["id_token"], 0); !reflect.DeepEqual(got,
				map[string]any{"alg": want, "kid": key.KeyID, "typ": "JWT"}) {
				t.Errorf("header %v", got)
			}
			now := float64(clock.Now().Unix())
			if got, want := part(t, response["id_token"], 1), (map[string]any{
				"iss": "http://caddy:9080/api/oauth/openid", "sub": testClaims.Subject, "aud": "romm", "azp": "romm",
				"iat": now, "exp": now + 300, "auth_time": 1_700_000_000.0, "nonce": "the-nonce",
				"at_hash": halfHash(access), "email": "Ada@example.com", "email_verified": true,
				"preferred_username": "ada", "name": "Ada Lovelace", "romm_roles": []any{"admin"},
			}); !reflect.DeepEqual(got, want) {
				t.Errorf("claims\n%v\nwant\n%v", got, want)
			}
			if got := provider.state.Outcome(sealed); got != (Outcome{Requested: true, Redeemed: true}) {
				t.Errorf("%+v", got)
			}
			if got := heard.all(); !slices.Equal(got, []string{EventRedeemed}) {
				t.Errorf("heard %v", got)
			}
		})
	}
}

func TestOptionalClaims(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*Claims)
		claim  string
		want   any // nil: the claim is left out
	}{
		"no roles":        {func(c *Claims) { c.Roles = nil }, "romm_roles", nil},
		"empty roles":     {func(c *Claims) { c.Roles = []string{} }, "romm_roles", []any{}},
		"one role":        {func(c *Claims) { c.Roles = []string{"user"} }, "romm_roles", []any{"user"}},
		"two roles":       {func(c *Claims) { c.Roles = []string{"a,b", "c"} }, "romm_roles", []any{"a,b", "c"}},
		"no name":         {func(c *Claims) { c.Name = "" }, "name", nil},
		"no auth_time":    {func(c *Claims) { c.AuthTime = 0 }, "auth_time", nil},
		"markup":          {func(c *Claims) { c.Name = `<b>&"\` }, "name", `<b>&"\`},
		"other alphabets": {func(c *Claims) { c.Username = "Ωμέγα 🕹" }, "preferred_username", "Ωμέγα 🕹"},
	} {
		t.Run(name, func(t *testing.T) {
			provider, _ := prepared(t, testConfig)
			claims := testClaims
			row.change(&claims)
			payload := part(t, redeem(t, provider, code(t, provider, claims))["id_token"], 1)
			got, present := payload[row.claim]
			if present != (row.want != nil) || !reflect.DeepEqual(got, row.want) {
				t.Errorf("%#v (present: %v), want %#v", got, present, row.want)
			}
		})
	}
}

// An independent relying party: discovery, keys, signature, issuer, audience,
// expiry and at_hash as go-oidc reads the specification.
func TestIDTokenUnderGoOIDC(t *testing.T) {
	for _, algorithm := range []string{ES256, RS256} {
		t.Run(algorithm, func(t *testing.T) {
			config := testConfig
			config.Algorithm = algorithm
			storage := newMemory()
			provider := New(node(testGate, storage, time.Now), config)
			server := serve(t, provider)
			relyingParty, err := oidc.NewProvider(t.Context(), server.URL+IssuerPath)
			if err != nil {
				t.Fatal(err)
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, relyingParty.Endpoint().TokenURL,
				strings.NewReader(tokenForm(code(t, provider, testClaims)).Encode()))
			if err != nil {
				t.Fatal(err)
			}
			request.Header = tokenRequest(nil).Header
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			response := object(t, body)
			token, err := relyingParty.Verifier(&oidc.Config{ClientID: "romm", SupportedSigningAlgs: []string{algorithm}}).
				Verify(t.Context(), response["id_token"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if err := token.VerifyAccessToken(response["access_token"].(string)); err != nil {
				t.Error(err)
			}
			if token.Nonce != "the-nonce" || token.Subject != testClaims.Subject {
				t.Errorf("%+v", token)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	post := func(change func(url.Values)) func(*http.Request, url.Values) {
		return func(_ *http.Request, form url.Values) { change(form) }
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
		reason string // RefusalRequest and RefusalCode may leave no outcome
		spent  bool   // the code is not presented
	}{
		"secret":                       {header("Authorization", basic("romm", "wrong")), 401, "invalid_client", RefusalSecret, false},
		"empty secret":                 {header("Authorization", basic("romm", "")), 401, "invalid_client", RefusalSecret, false},
		"prefix of the secret":         {header("Authorization", basic("romm", "s3cret")), 401, "invalid_client", RefusalSecret, false},
		"form-urlencoded secret":       {header("Authorization", basic("romm", url.QueryEscape(testConfig.ClientSecret))), 401, "invalid_client", RefusalSecret, false},
		"form-decoded secret":          {header("Authorization", basic("romm", "s3cret with signs")), 401, "invalid_client", RefusalSecret, false},
		"client ID":                    {header("Authorization", basic("other", testConfig.ClientSecret)), 401, "invalid_client", RefusalClient, false},
		"client ID in other case":      {header("Authorization", basic("ROMM", testConfig.ClientSecret)), 401, "invalid_client", RefusalClient, false},
		"no credentials":               {func(r *http.Request, _ url.Values) { r.Header.Del("Authorization") }, 401, "invalid_client", RefusalClient, false},
		"bearer":                       {header("Authorization", "Bearer x"), 401, "invalid_client", RefusalClient, false},
		"broken basic":                 {header("Authorization", "Basic !"), 401, "invalid_client", RefusalClient, false},
		"basic without colon":          {header("Authorization", "Basic cm9tbQ=="), 401, "invalid_client", RefusalClient, false},
		"method none":                  {inBody("romm", ""), 401, "invalid_client", RefusalSecret, false},
		"secret in the body":           {inBody("romm", "wrong"), 401, "invalid_client", RefusalSecret, false},
		"client ID in the body":        {inBody("other", testConfig.ClientSecret), 401, "invalid_client", RefusalClient, false},
		"two methods":                  {post(func(f url.Values) { f.Set("client_secret", testConfig.ClientSecret) }), 400, "invalid_request", RefusalRequest, false},
		"two client IDs":               {post(func(f url.Values) { f.Set("client_id", "other") }), 400, "invalid_request", RefusalRequest, false},
		"two Authorization fields":     {func(r *http.Request, _ url.Values) { r.Header.Add("Authorization", basic("romm", "x")) }, 400, "invalid_request", RefusalRequest, false},
		"no grant type":                {post(func(f url.Values) { f.Del("grant_type") }), 400, "invalid_request", RefusalRequest, false},
		"refresh token":                {post(func(f url.Values) { f.Set("grant_type", "refresh_token") }), 400, "unsupported_grant_type", RefusalGrantType, false},
		"client credentials":           {post(func(f url.Values) { f.Set("grant_type", "client_credentials") }), 400, "unsupported_grant_type", RefusalGrantType, false},
		"grant type in other case":     {post(func(f url.Values) { f.Set("grant_type", "Authorization_Code") }), 400, "unsupported_grant_type", RefusalGrantType, false},
		"no redirect URI":              {post(func(f url.Values) { f.Del("redirect_uri") }), 400, "invalid_request", RefusalRequest, false},
		"redirect URI":                 {post(func(f url.Values) { f.Set("redirect_uri", "https://evil.example/") }), 400, "invalid_grant", RefusalRedirectURI, false},
		"redirect URI with a slash":    {post(func(f url.Values) { f.Set("redirect_uri", testConfig.RedirectURI+"/") }), 400, "invalid_grant", RefusalRedirectURI, false},
		"redirect URI in other case":   {post(func(f url.Values) { f.Set("redirect_uri", strings.ToUpper(testConfig.RedirectURI)) }), 400, "invalid_grant", RefusalRedirectURI, false},
		"no code":                      {post(func(f url.Values) { f.Del("code") }), 400, "invalid_request", "", true},
		"empty code":                   {post(func(f url.Values) { f.Set("code", "") }), 400, "invalid_request", "", true},
		"no code of ours":              {post(func(f url.Values) { f.Set("code", "x") }), 400, "invalid_grant", "", true},
		"code that is too long":        {post(func(f url.Values) { f.Set("code", strings.Repeat("A", codeSize+1)) }), 400, "invalid_grant", "", true},
		"code with another last digit": {post(func(f url.Values) { f.Set("code", otherLast(f.Get("code"))) }), 400, "invalid_grant", "", true},
		"code cut short":               {post(func(f url.Values) { f.Set("code", f.Get("code")[:40]) }), 400, "invalid_grant", "", true},
		"padded code":                  {post(func(f url.Values) { f.Set("code", f.Get("code")+"=") }), 400, "invalid_grant", "", true},
		"code twice":                   {post(func(f url.Values) { f.Add("code", f.Get("code")) }), 400, "invalid_request", "", true},
		"redirect URI twice":           {post(func(f url.Values) { f.Add("redirect_uri", "https://evil.example/") }), 400, "invalid_request", "", true},
		"grant type twice":             {post(func(f url.Values) { f.Add("grant_type", "authorization_code") }), 400, "invalid_request", "", true},
		"unknown parameter twice":      {post(func(f url.Values) { f["x"] = []string{"1", "1"} }), 400, "invalid_request", "", true},
		"no content type":              {func(r *http.Request, _ url.Values) { r.Header.Del("Content-Type") }, 400, "invalid_request", "", true},
		"JSON":                         {header("Content-Type", "application/json"), 400, "invalid_request", "", true},
		"multipart":                    {header("Content-Type", "multipart/form-data; boundary=x"), 400, "invalid_request", "", true},
		"large body":                   {post(func(f url.Values) { f.Set("x", strings.Repeat("x", bodyLimit)) }), 413, "invalid_request", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			heard := &events{}
			config := testConfig
			config.Report = heard.report
			provider, _ := prepared(t, config)
			sealed := code(t, provider, testClaims)
			form := tokenForm(sealed)
			request := tokenRequest(nil)
			row.change(request, form)
			request.Body = io.NopCloser(strings.NewReader(form.Encode()))
			recorder := httptest.NewRecorder()
			provider.ServeToken(recorder, request)
			if recorder.Code != row.status || recorder.Body.String() != `{"error":"`+row.error+`"}` {
				t.Errorf("%d %s, want %d %s", recorder.Code, recorder.Body, row.status, row.error)
			}
			if got := recorder.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %q", got)
			}
			challenge := ""
			if row.status == http.StatusUnauthorized {
				challenge = `Basic realm="romm_oidc"`
			}
			if got := recorder.Header().Get("WWW-Authenticate"); got != challenge {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			outcome := Outcome{Requested: true, Refusal: row.reason}
			if row.spent {
				outcome = Outcome{}
			}
			if got := provider.state.Outcome(sealed); got != outcome {
				t.Errorf("outcome %+v, want %+v", got, outcome)
			}
			reason := row.reason
			switch {
			case row.spent && row.error == "invalid_grant":
				reason = RefusalCode
			case row.spent:
				reason = RefusalRequest
			}
			if got := heard.all(); !slices.Equal(got, []string{EventRefused + ": " + reason}) {
				t.Errorf("heard %v", got)
			}
			// A refused request spends nothing.
			redeem(t, provider, sealed)
			if got := provider.state.Outcome(sealed); got != (Outcome{Requested: true, Redeemed: true}) {
				t.Errorf("outcome after all: %+v", got)
			}
		})
	}
}

// otherLast changes the last digit that carries no padding bits.
func otherLast(code string) string {
	last := len(code) - 2
	if code[last] == 'A' {
		return code[:last] + "B" + code[last+1:]
	}
	return code[:last] + "A" + code[last+1:]
}

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
			provider, _ := prepared(t, config)
			form, request := tokenForm(code(t, provider, testClaims)), tokenRequest(nil)
			row.change(request, form)
			request.Body = io.NopCloser(strings.NewReader(form.Encode()))
			if recorder := post(provider, request); recorder.Code != http.StatusOK {
				t.Errorf("%d %s", recorder.Code, recorder.Body)
			}
		})
	}
}

// A configuration without a secret must not become one with the empty secret.
func TestEmptyConfigAuthenticatesNobody(t *testing.T) {
	for name, config := range map[string]Config{
		"no secret":    {ClientID: "romm", RedirectURI: testConfig.RedirectURI},
		"no client ID": {ClientSecret: "x", RedirectURI: testConfig.RedirectURI},
		"nothing":      {},
	} {
		t.Run(name, func(t *testing.T) {
			provider, _ := prepared(t, config)
			form := tokenForm(code(t, provider, testClaims))
			form.Set("redirect_uri", config.RedirectURI)
			for _, header := range []string{basic(config.ClientID, config.ClientSecret), ""} {
				request := tokenRequest(form)
				request.Header.Set("Authorization", header)
				if recorder := post(provider, request); recorder.Code != http.StatusUnauthorized {
					t.Errorf("%d %s", recorder.Code, recorder.Body)
				}
			}
		})
	}
}

// RFC 6749 section 2.3.1: credentials in a URL end up in logs. A client that
// puts its request there gets nothing, and nothing there changes a request.
func TestQueryOfATokenRequestIsNotLookedAt(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	sealed := code(t, provider, testClaims)
	query := tokenForm(sealed)
	query.Set("client_id", "romm")
	query.Set("client_secret", testConfig.ClientSecret)
	request := tokenRequest(url.Values{})
	request.Header.Del("Authorization")
	request.URL.RawQuery = query.Encode()
	if recorder := post(provider, request); recorder.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
	request = tokenRequest(tokenForm(sealed))
	request.URL.RawQuery = "code=x&client_id=y&grant_type=z"
	if recorder := post(provider, request); recorder.Code != http.StatusOK {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
}

// A stranger who can add parameters to a token request, or header fields,
// tries to become somebody else.
// Whatever he sends, the ID token says what was sealed into the code.
func TestNoParameterReachesTheIDToken(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	reference := part(t, redeem(t, provider, code(t, provider, testClaims))["id_token"], 1)
	form := tokenForm(code(t, provider, testClaims))
	for name := range reference {
		if !form.Has(name) {
			form.Set(name, "evil")
		}
	}
	for _, name := range []string{"scope", "claims", "id_token", "resource", "audience", "state", "max_age", "code_verifier"} {
		form.Set(name, "evil")
	}
	request := tokenRequest(form)
	request.URL.RawQuery = form.Encode()
	for _, name := range []string{"Remote-User", "Remote-Email", "Remote-Groups", "X-Forwarded-User", "X-Forwarded-Host", "Origin"} {
		request.Header.Set(name, "evil")
	}
	recorder := post(provider, request)
	if recorder.Code != http.StatusOK {
		t.Fatalf("%d %s", recorder.Code, recorder.Body)
	}
	got := part(t, object(t, recorder.Body.Bytes())["id_token"], 1)
	delete(got, "at_hash")
	delete(reference, "at_hash")
	if !reflect.DeepEqual(got, reference) {
		t.Errorf("%v, want %v", got, reference)
	}
}

// Somebody who saw a code sends it in the same instant as RomM.
// One of the two gets an ID token, never both.
func TestCodeIsRedeemedOnceUnderARace(t *testing.T) {
	state := node(testGate, newMemory(), newClock().Now)
	// Two instances of one gate, as a site block with two addresses has them.
	providers := []*Provider{New(state, testConfig), New(state, testConfig)}
	for range 20 {
		sealed := code(t, providers[0], testClaims)
		var redeemed, refused atomic.Int32
		var ready, done sync.WaitGroup
		start := make(chan struct{})
		for i := range 16 {
			ready.Add(1)
			done.Go(func() {
				request := tokenRequest(tokenForm(sealed))
				ready.Done()
				<-start
				recorder := post(providers[i%2], request)
				switch {
				case recorder.Code == http.StatusOK:
					redeemed.Add(1)
				case recorder.Code == http.StatusBadRequest && recorder.Body.String() == `{"error":"invalid_grant"}`:
					refused.Add(1)
				}
			})
		}
		ready.Wait()
		close(start)
		done.Wait()
		if redeemed.Load() != 1 || refused.Load() != 15 {
			t.Fatalf("%d redeemed, %d refused", redeemed.Load(), refused.Load())
		}
		if got := state.Outcome(sealed); got != (Outcome{Requested: true, Redeemed: true, Refusal: RefusalUsed}) {
			t.Errorf("%+v", got)
		}
	}
}

// A redeemed code that is presented once more with a wrong secret is refused
// for the secret. That must not make the gate forget that it was redeemed.
func TestRefusalDoesNotReviveACode(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	sealed := code(t, provider, testClaims)
	redeem(t, provider, sealed)
	request := tokenRequest(tokenForm(sealed))
	request.Header.Set("Authorization", basic("romm", "wrong"))
	if recorder := post(provider, request); recorder.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
	if got := provider.state.Outcome(sealed); got != (Outcome{Requested: true, Redeemed: true, Refusal: RefusalSecret}) {
		t.Errorf("%+v", got)
	}
	if recorder := post(provider, tokenRequest(tokenForm(sealed))); recorder.Code != http.StatusBadRequest {
		t.Errorf("redeemed twice: %d %s", recorder.Code, recorder.Body)
	}
}

func TestEndpointsWorkWhileStorageIsAway(t *testing.T) {
	storage, clock, heard := newMemory(), newClock(), &events{}
	config := testConfig
	config.Report = heard.report
	provider := New(node(testGate, storage, clock.Now), config)
	if err := provider.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	storage.hook(func() error { return errStorage })
	clock.add(24 * time.Hour)
	if err := provider.Prepare(t.Context()); err != nil {
		t.Errorf("keys in memory are trusted: %v", err)
	}
	redeem(t, provider, code(t, provider, testClaims))
	until(t, "a report", func() bool {
		return slices.Contains(heard.all(), EventKeys+": reading the keyring: loading the keyring: storage is away")
	})
}

func FuzzServeToken(f *testing.F) {
	clock := newClock()
	provider := New(node(testGate, newMemory(), clock.Now), testConfig)
	if err := provider.Prepare(f.Context()); err != nil {
		f.Fatal(err)
	}
	sealed, err := provider.Code(f.Context(), testClaims, "the-nonce")
	if err != nil {
		f.Fatal(err)
	}
	right := basic(testConfig.ClientID, testConfig.ClientSecret)
	f.Add(tokenForm(sealed).Encode(), right)
	f.Add(tokenForm(sealed).Encode(), basic("romm", ""))
	f.Add(tokenForm("").Encode(), "")
	f.Add(tokenForm(sealed+"\n").Encode(), right)
	f.Add("code=%zz;a=b&&=&"+strings.Repeat("a=b&", 2000), "Basic =")
	f.Add("client_id=romm&client_secret="+url.QueryEscape(testConfig.ClientSecret), "")
	f.Add("grant_type=authorization_code&grant_type=authorization_code", right)
	f.Fuzz(func(t *testing.T, body, authorization string) {
		request := tokenRequest(nil)
		request.Body = io.NopCloser(strings.NewReader(body))
		request.Header.Set("Authorization", authorization)
		recorder := post(provider, request)
		if !json.Valid(recorder.Body.Bytes()) {
			t.Errorf("not JSON: %q", recorder.Body)
		}
		if recorder.Code/100 == 3 || recorder.Code >= 500 {
			t.Errorf("status %d", recorder.Code)
		}
		if recorder.Code == http.StatusOK && !strings.Contains(body, sealed) {
			form, _ := url.ParseQuery(body)
			if form.Get("code") != sealed {
				t.Errorf("a token for %q", body)
			}
		}
	})
}

// Anybody can send token requests, as many as they like. They are told from
// those of a RomM that is set up wrongly, which the operator has to hear of.
func TestStrangersTokenRequests(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*http.Request, url.Values)
		known  bool
	}{
		"nothing":                      {func(r *http.Request, f url.Values) { clear(f); r.Header.Del("Authorization") }, false},
		"the public client id":         {func(r *http.Request, f url.Values) { f.Set("code", "x"); r.SetBasicAuth(testConfig.ClientID, "guess") }, false},
		"no form":                      {func(r *http.Request, _ url.Values) { r.Header = http.Header{} }, false},
		"another secret, a code of us": {func(r *http.Request, _ url.Values) { r.SetBasicAuth(testConfig.ClientID, "old") }, true},
		"another client, a code of us": {func(r *http.Request, _ url.Values) { r.SetBasicAuth("old", testConfig.ClientSecret) }, true},
		"RomM's secret, another code":  {func(_ *http.Request, f url.Values) { f.Set("code", "x") }, true},
		"RomM's secret, no form":       {func(r *http.Request, _ url.Values) { r.Header.Del("Content-Type") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			heard := &events{}
			config := testConfig
			config.Report = heard.report
			provider, _ := prepared(t, config)
			form := tokenForm(code(t, provider, testClaims))
			request := tokenRequest(nil)
			row.change(request, form)
			request.Body = io.NopCloser(strings.NewReader(form.Encode()))
			provider.ServeToken(httptest.NewRecorder(), request)
			want := EventStranger
			if row.known {
				want = EventRefused
			}
			if got := heard.all(); len(got) != 1 || !strings.HasPrefix(got[0], want+": ") {
				t.Errorf("heard %v, want %s", got, want)
			}
		})
	}
}
