// Tests of the provider's metadata.

package flow

import (
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Metadata of another issuer, and metadata that would make the gate send a secret
// or read a key in the clear.
func TestMetadata(t *testing.T) {
	t.Parallel()
	set, without := authelia.Set, authelia.Without
	for name, row := range map[string]struct {
		edit authelia.Edit
		fail string // empty if the metadata are accepted
	}{
		"issuer with a slash":               {set("issuer", testIssuer+"/"), `its metadata name another issuer: write "issuer ` + testIssuer + `/"`},
		"issuer in another case":            {set("issuer", "https://AUTH.example.test"), "AUTH"},
		"issuer missing":                    {without("issuer"), "issuer: it is missing"},
		"authorization_endpoint missing":    {without("authorization_endpoint"), "authorization_endpoint: it is missing"},
		"token_endpoint missing":            {without("token_endpoint"), "token_endpoint: it is missing"},
		"userinfo_endpoint missing":         {without("userinfo_endpoint"), "userinfo_endpoint: it is missing"},
		"jwks_uri missing":                  {without("jwks_uri"), "jwks_uri: it is missing"},
		"authorization_endpoint http":       {set("authorization_endpoint", "http://auth.example.test/a"), "authorization_endpoint: it must be https"},
		"token_endpoint http":               {set("token_endpoint", "http://auth.example.test/t"), "token_endpoint: it must be https"},
		"userinfo_endpoint http":            {set("userinfo_endpoint", "http://auth.example.test/u"), "userinfo_endpoint: it must be https"},
		"jwks_uri http":                     {set("jwks_uri", "http://auth.example.test/k"), "jwks_uri: it must be https"},
		"token_endpoint relative":           {set("token_endpoint", "/t"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint without a scheme":   {set("token_endpoint", "//evil.example/t"), "token_endpoint: it must be https"},
		"token_endpoint a file":             {set("token_endpoint", "file:///etc/passwd"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint ftp":                {set("token_endpoint", "ftp://auth.example.test/"), "token_endpoint: it must be https"},
		"token_endpoint with a password":    {set("token_endpoint", "https://a:b@auth.example.test/t"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint with a fragment":    {set("token_endpoint", "https://auth.example.test/t#f"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint not a URL":          {set("token_endpoint", "https://auth.example.test/%zz"), "token_endpoint: it must be an absolute URL"},
		"token_endpoint a number":           {set("token_endpoint", 1), "token_endpoint: it is a number, not a string"},
		"authorization_endpoint javascript": {set("authorization_endpoint", "javascript:alert(1)"), "authorization_endpoint"},
		"http on this machine":              {set("jwks_uri", "http://127.0.0.1:9091/k"), ""},
		"larger than 1 MiB":                 {set("more", strings.Repeat("x", 1<<20)), "larger than 1 MiB"},
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

// A provider, or a proxy that rewrites its metadata, writes members in the wrong
// type. Those that the gate can do without stop no sign-in, and an error names the
// one that it needs.
func TestMetadataOfOtherTypes(t *testing.T) {
	t.Parallel()
	values := map[string]any{"a string": "x", "a number": 7, "null": nil, "a boolean": true, "a list": []any{1, nil}, "an object": map[string]any{"a": 1}, "an empty string": ""}
	for _, name := range []string{"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} {
		for kind, value := range values {
			if kind == "a string" {
				continue
			}
			_, err := metadataWith(t, name, value)
			failsAs(t, err, ErrProviderUnavailable, "its metadata: "+name+": it is "+kind+", not a string")
		}
	}
	for _, name := range []string{
		"end_session_endpoint", "revocation_endpoint", "introspection_endpoint", "revocation_endpoint_auth_methods_supported",
		"authorization_response_iss_parameter_supported", "id_token_signing_alg_values_supported", "device_authorization_endpoint", "scopes_supported",
	} {
		for kind, value := range values {
			if _, err := metadataWith(t, name, value); err != nil {
				t.Errorf("%s is %s: %v, want it ignored", name, kind, err)
			}
		}
	}
	for kind, want := range map[any]bool{true: true, "true": true, false: false, "false": false, 1: false, "yes": false} {
		if md, err := metadataWith(t, "authorization_response_iss_parameter_supported", kind); err != nil || md.issParameterSupported != want {
			t.Errorf("authorization_response_iss_parameter_supported is %v: read as %+v, %v, want %t", kind, md, err, want)
		}
	}
	post := ClientAuthPost
	for _, row := range []struct {
		methods any
		want    ClientAuth
	}{{"client_secret_post", post}, {[]any{7, "client_secret_post"}, post}, {[]any{nil}, ClientAuthBasic}, {7, ClientAuthBasic}} {
		if md, err := metadataWith(t, "revocation_endpoint_auth_methods_supported", row.methods); err != nil || md.revocationMethod() != row.want {
			t.Errorf("revocation_endpoint_auth_methods_supported is %v: method %v, %v, want %v", row.methods, md.revocationMethod(), err, row.want)
		}
	}
}

// metadataWith reads metadata in which a member has this value.
func metadataWith(t *testing.T, name string, value any) (*metadata, error) {
	t.Helper()
	h := newHarness(t)
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Set(name, value) })
	return h.rp.metadata(t.Context())
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
		"HTML":                        {authelia.Fault{Body: "<html>"}, "not a JSON object"},
		"JSON list":                   {authelia.Fault{Body: "[]"}, "not a JSON object"},
		"null":                        {authelia.Fault{Body: "null"}, "not a JSON object"},
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
