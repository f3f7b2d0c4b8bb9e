// Tests of the provider's metadata.

package flow

import (
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// oidcc-client-test-discovery-issuer-mismatch, and metadata that would make the
// gate send a secret or read a key in the clear.
func TestMetadata(t *testing.T) {
	t.Parallel()
	set, without := authelia.Set, authelia.Without
	for name, row := range map[string]struct {
		edit authelia.Edit
		fail string // empty if the metadata are accepted
	}{
		"oidcc-client-test-discovery-openid-config":   {nil, ""},
		"oidcc-client-test-discovery-issuer-mismatch": {set("issuer", "https://evil.example"), `("` + testIssuer + `") did not match the issuer URL returned by provider ("https://evil.example")`},
		"issuer with a slash":                         {set("issuer", testIssuer+"/"), `its metadata name another issuer: write "issuer ` + testIssuer + `/"`},
		"issuer in another case":                      {set("issuer", "https://AUTH.example.test"), "AUTH"},
		"issuer missing":                              {without("issuer"), "did not match"},
		"authorization_endpoint missing":              {without("authorization_endpoint"), "authorization_endpoint: it must be an absolute URL"},
		"token_endpoint missing":                      {without("token_endpoint"), "token_endpoint: it must be an absolute URL"},
		"userinfo_endpoint missing":                   {without("userinfo_endpoint"), "userinfo_endpoint: it must be an absolute URL"},
		"jwks_uri missing":                            {without("jwks_uri"), "jwks_uri: it must be an absolute URL"},
		"authorization_endpoint http":                 {set("authorization_endpoint", "http://auth.example.test/a"), "authorization_endpoint: it must be https"},
		"token_endpoint http":                         {set("token_endpoint", "http://auth.example.test/t"), "token_endpoint: it must be https"},
		"userinfo_endpoint http":                      {set("userinfo_endpoint", "http://auth.example.test/u"), "userinfo_endpoint: it must be https"},
		"jwks_uri http":                               {set("jwks_uri", "http://auth.example.test/k"), "jwks_uri: it must be https"},
		"token_endpoint relative":                     {set("token_endpoint", "/t"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint without a scheme":             {set("token_endpoint", "//evil.example/t"), "token_endpoint: it must be https"},
		"token_endpoint a file":                       {set("token_endpoint", "file:///etc/passwd"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint ftp":                          {set("token_endpoint", "ftp://auth.example.test/"), "token_endpoint: it must be https"},
		"token_endpoint with a password":              {set("token_endpoint", "https://a:b@auth.example.test/t"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint with a fragment":              {set("token_endpoint", "https://auth.example.test/t#f"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint not a URL":                    {set("token_endpoint", "https://auth.example.test/%zz"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint a number":                     {set("token_endpoint", 1), "decode"},
		"authorization_endpoint javascript":           {set("authorization_endpoint", "javascript:alert(1)"), "authorization_endpoint"},
		"http on this machine":                        {set("jwks_uri", "http://127.0.0.1:9091/k"), ""},
		"end_session_endpoint a number":               {set("end_session_endpoint", 1), "cannot unmarshal"},
		"iss parameter a string":                      {set("authorization_response_iss_parameter_supported", "true"), "cannot unmarshal"},
		"larger than 1 MiB":                           {set("more", strings.Repeat("x", 1<<20)), "larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = row.edit })
			_, err := h.rp.metadata(t.Context())
			if row.fail == "" {
				failsAs(t, err, nil, "")
			} else {
				failsAs(t, err, ErrProviderUnavailable, row.fail)
			}
		})
	}
}

func TestMetadataUnreadable(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault authelia.Fault
		text  string
	}{
		"Authelia under another name": {authelia.Fault{Status: 400, Body: "400 Bad Request"}, "answered 400"},
		"404":                         {authelia.Fault{Status: 404, Body: strings.Repeat("page", 1000)}, "answered 404"},
		"broken connection":           {authelia.Fault{Reset: true}, "unexpected EOF"},
		"HTML":                        {authelia.Fault{Body: "<html>"}, "decode"},
		"JSON list":                   {authelia.Fault{Body: "[]"}, "decode"},
		"null":                        {authelia.Fault{Body: "null"}, "did not match"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointDiscovery, row.fault) })
			_, err := h.rp.metadata(t.Context())
			failsAs(t, err, ErrProviderUnavailable, row.text)
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("the error quotes the response: %.500v, want it without", err)
			}
		})
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "auth.localhost": true, "127.0.0.1": true, "127.8.9.1": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.evil.example": false, "notlocalhost": false, "127.0.0.1.nip.io": false, "0.0.0.0": false, "10.0.0.1": false,
		"authelia": false, "romm.host.local": false, "::": false, "2130706433": false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %v, want %v", host, got, want)
		}
	}
}
