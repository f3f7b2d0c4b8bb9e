// Tests of access tokens that clients bring.

package flow

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuing is a provider that issues access tokens as the test needs them.
type issuing struct {
	*testing.T
	key           *ecdsa.PrivateKey
	introspection string // introspection response; empty means no such endpoint
	status        int    // of the introspection response; 0 means 200
	userinfo      string
	asked         *http.Request // the introspection request
	form          string
}

func newIssuing(t *testing.T) *issuing {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuing{T: t, key: key, userinfo: `{"sub":"1","preferred_username":"alice","email":"alice@example.test","email_verified":true,"groups":["a"]}`}
}

func (p *issuing) relyingParty(now time.Time) *RelyingParty {
	return New(Config{
		Issuer: testIssuer, ClientID: "romm", ClientSecret: testSecret, Now: func() time.Time { return now },
		IDTokenAlg: "ES256", UsernameClaim: "preferred_username", GroupsClaim: "groups",
		Client: newClient(p.T, ClientConfig{Issuer: testIssuer}, network(p.answer)),
	})
}

func (p *issuing) answer(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, ""
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		body = `{"issuer":"` + testIssuer + `","authorization_endpoint":"` + testIssuer + `/a","token_endpoint":"` + testIssuer + `/t",` +
			`"userinfo_endpoint":"` + testIssuer + `/u","jwks_uri":"` + testIssuer + `/k","introspection_endpoint":"` + testIssuer + `/i"}`
		if p.introspection == "" {
			body = strings.Replace(body, "introspection_endpoint", "none", 1)
		}
	case "/k":
		keys, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
		body = string(keys)
	case "/i":
		form, _ := io.ReadAll(r.Body)
		p.asked, p.form, body = r, string(form), p.introspection
		status = max(p.status, http.StatusOK)
	case "/u":
		if body = p.userinfo; body == "" {
			status = http.StatusUnauthorized
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// token returns a JWT with this header and these claims.
func (p *issuing) token(typ string, key any, alg jose.SignatureAlgorithm, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", "1"))
	if err != nil {
		p.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	signed, err := signer.Sign(payload)
	if err != nil {
		p.Fatal(err)
	}
	raw, _ := signed.CompactSerialize()
	return raw
}

// An access token that is a JWT must be valid, from this issuer and for this
// client (RFC 9068 section 4).
func TestBearerJWT(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		typ  string // default at+jwt
		set  string // claims that are added or replaced, in JSON; null removes one
		key  any
		alg  jose.SignatureAlgorithm
		want error
		text string
	}{
		"valid":                               {},
		"long type":                           {typ: "application/at+jwt"},
		"several audiences":                   {set: `{"aud":["x","romm"]}`},
		"ID token":                            {typ: "JWT", want: ErrBearerInvalid, text: "typ"},
		"no type":                             {typ: "x", want: ErrBearerInvalid, text: "typ"},
		"no audience, as by Authelia":         {set: `{"aud":[]}`, want: ErrBearerInvalid, text: "audience"},
		"no aud":                              {set: `{"aud":null}`, want: ErrBearerInvalid, text: "audience"},
		"for another client (GHSA-wcvh-g65p)": {set: `{"aud":["grafana"]}`, want: ErrBearerInvalid, text: "audience"},
		"from another issuer":                 {set: `{"iss":"https://evil.example"}`, want: ErrBearerInvalid, text: "issued by"},
		"expired":                             {set: `{"exp":1799999999}`, want: ErrBearerInvalid, text: "expired"},
		"without exp":                         {set: `{"exp":null}`, want: ErrBearerInvalid, text: "exp is missing"},
		"not valid yet":                       {set: `{"nbf":1800000400}`, want: ErrBearerInvalid, text: "nbf"},
		"issued in the future":                {set: `{"iat":1800000400}`, want: ErrBearerInvalid, text: "iat"},
		"without iat":                         {set: `{"iat":null}`, want: ErrBearerInvalid, text: "iat"},
		"without client_id":                   {set: `{"client_id":null}`, want: ErrBearerInvalid, text: "client_id"},
		"without sub":                         {set: `{"sub":null}`, want: ErrBearerInvalid, text: "sub"},
		"sub with a control character":        {set: `{"sub":"a\u0000"}`, want: ErrBearerInvalid, text: "sub"},
		"userinfo of another user":            {set: `{"sub":"2"}`, want: ErrUserinfoInvalid, text: "sub"},
		"signed by another key":               {key: other, want: ErrBearerInvalid, text: "signature"},
		"HS256 with the client's secret":      {key: []byte(strings.Repeat("s", 32)), alg: jose.HS256, want: ErrBearerInvalid, text: "algorithm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIssuing(t)
			claims := map[string]any{
				"iss": testIssuer, "aud": []string{"romm"}, "sub": "1", "client_id": "script", "exp": now.Unix() + 600, "iat": now.Unix(), "jti": "x",
			}
			var set map[string]any
			if c.set != "" && json.Unmarshal([]byte(c.set), &set) != nil {
				t.Fatalf("row %q is not JSON", c.set)
			}
			maps.Copy(claims, set)
			maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
			if c.typ == "" {
				c.typ = "at+jwt"
			}
			if c.key == nil {
				c.key = p.key
			}
			if c.alg == "" {
				c.alg = jose.ES256
			}
			token, err := p.relyingParty(now).Bearer(t.Context(), p.token(c.typ, c.key, c.alg, claims))
			failsAs(t, err, c.want, c.text)
			if c.want == nil && (token.Identity.Subject != "1" || token.Identity.Username != "alice" || token.Expires.Unix() != now.Unix()+600 || token.Issued.IsZero()) {
				t.Errorf("Bearer = %+v until %v, want alice until %v", token.Identity, token.Expires, now.Add(600*time.Second))
			}
		})
	}
}

// The provider is asked about any other token, which must be issued to or for
// this client: Authelia answers any client about any token.
func TestBearerIntrospection(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		says, userinfo string
		status         int
		want           error
		text           string
	}{
		"issued to this client":     {says: `{"active":true,"client_id":"romm","sub":"1","exp":1800000600}`},
		"this client in aud":        {says: `{"active":true,"client_id":"script","aud":["romm"],"sub":"1"}`},
		"this client is aud":        {says: `{"active":true,"client_id":"script","aud":"romm","sub":"1","iss":"` + testIssuer + `"}`},
		"issued to another client":  {says: `{"active":true,"client_id":"grafana","sub":"1"}`, want: ErrBearerInvalid, text: "neither to this client"},
		"for another client":        {says: `{"active":true,"client_id":"script","aud":["grafana"],"sub":"1"}`, want: ErrBearerInvalid, text: "neither to this client"},
		"without sub":               {says: `{"active":true,"client_id":"romm"}`, want: ErrBearerInvalid, text: "sub"},
		"not active":                {says: `{"active":false}`, want: ErrBearerInvalid, text: "not active"},
		"active is a string":        {says: `{"active":"true","client_id":"romm","sub":"1"}`, want: ErrProviderUnavailable, text: "active is not a boolean"},
		"active is missing":         {says: `{"client_id":"romm","sub":"1"}`, want: ErrProviderUnavailable, text: "active is not a boolean"},
		"optional members unusable": {says: `{"active":true,"client_id":"romm","sub":"1","iat":"soon","exp":[],"scope":["a"],"username":7,"token_type":null}`},
		"client_id is a number":     {says: `{"active":true,"client_id":7,"aud":[7,"romm"],"sub":"1"}`},
		"iss is a number":           {says: `{"active":true,"client_id":"romm","sub":"1","iss":7}`, want: ErrBearerInvalid, text: "iss"},
		"expired, in a string":      {says: `{"active":true,"client_id":"romm","sub":"1","exp":"1800000000"}`, want: ErrBearerInvalid, text: "expired"},
		"expired, in an exponent":   {says: `{"active":true,"client_id":"romm","sub":"1","exp":1.8e9}`, want: ErrBearerInvalid, text: "expired"},
		"from another issuer":       {says: `{"active":true,"client_id":"romm","sub":"1","iss":"https://evil.example"}`, want: ErrBearerInvalid, text: "iss"},
		"expired":                   {says: `{"active":true,"client_id":"romm","sub":"1","exp":1800000000}`, want: ErrBearerInvalid, text: "expired"},
		"not JSON":                  {says: `<html>`, want: ErrProviderUnavailable},
		"client refused":            {says: `{}`, status: 401, want: ErrProviderUnavailable},
		"no endpoint":               {want: ErrBearerInvalid, text: "no introspection endpoint"},
		"a refresh token":           {says: `{"active":true,"client_id":"romm","sub":"1"}`, userinfo: "-", want: ErrUserinfoInvalid},
		"account disabled":          {says: `{"active":true,"client_id":"romm","sub":"1"}`, userinfo: `{"sub":"1"}`, want: ErrAccountGone},
		"sub of another user":       {says: `{"active":true,"client_id":"romm","sub":"2"}`, want: ErrUserinfoInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIssuing(t)
			p.introspection, p.status = c.says, c.status
			if c.userinfo != "" {
				p.userinfo = strings.TrimPrefix(c.userinfo, "-")
			}
			token, err := p.relyingParty(now).Bearer(t.Context(), "authelia_at_x&y.z")
			failsAs(t, err, c.want, c.text)
			if c.want == nil && (token.Identity.Username != "alice" || token.Identity.Issuer != testIssuer) {
				t.Errorf("Bearer = %+v, want alice", token)
			}
			if c.says == "" {
				return
			}
			id, secret, _ := p.asked.BasicAuth()
			if p.asked.Method != http.MethodPost || id != "romm" || secret != "a%25b%2Bc+d%C3%A9%3Ae%26f%3Dg" ||
				p.form != "token=authelia_at_x%26y.z&token_type_hint=access_token" {
				t.Errorf("introspection request %s as %q with %q and %s, want POST with Basic and the token", p.asked.Method, id, secret, p.form)
			}
		})
	}
}

// An attacker sends access tokens signed by an unknown key, which use up the key
// reads. Sign-ins must still succeed after the provider replaced its keys.
func TestForgedBearersDoNotSpendTheKeyReads(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	p := newIssuing(t)
	rp := p.relyingParty(now)
	claims := map[string]any{
		"iss": testIssuer, "aud": []string{"romm"}, "sub": "1", "client_id": "romm", "exp": now.Unix() + 600, "iat": now.Unix(), "nonce": "n",
	}
	forged := p.token("at+jwt", newIssuing(t).key, jose.ES256, claims)
	var err error
	for i := 0; i < 100*keyReads && !errors.Is(err, ErrProviderUnavailable); i++ { // a token may join the read for the one before it
		_, err = rp.Bearer(t.Context(), forged)
		if i < keyReads {
			failsAs(t, err, ErrBearerInvalid, "")
		}
	}
	failsAs(t, err, ErrProviderUnavailable, "")
	failsAs(t, err, ErrKeyReads, "") // so that the gate counts it as a guess
	p.key = newIssuing(t).key
	provider, err := rp.metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rp.verifyIDToken(t.Context(), provider, receivedIDToken{raw: p.token("JWT", p.key, jose.ES256, claims), nonceValid: func(string) bool { return true }}); err != nil {
		t.Errorf("verifying an ID token after forged access tokens: %v, want no error", err)
	}
}

// FuzzJWTHeader reads the header of anything that a client sends as a token.
func FuzzJWTHeader(f *testing.F) {
	for _, s := range []string{"", "a.b.c", "e30.e30.e30", "e30.e30.", "authelia_at_x.y", "eyJ0eXAiOiJhdCtqd3QifQ.e30.AA", fmt.Sprintf("%s.%s.%s", "e30", strings.Repeat("a", 100), "")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if header := jwtHeader(raw); header != nil && (!json.Valid(header) || strings.Count(raw, ".") != 2) {
			t.Errorf("header of %q = %q, want JSON from a token of three parts", raw, header)
		}
	})
}
