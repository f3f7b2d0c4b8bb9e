// The plans of a sign-in: basic and config.

package conformance

import (
	"fmt"
	"maps"
	"net/url"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const (
	idTokenInvalid      = "id_token_invalid"
	userinfoInvalid     = "userinfo_invalid"
	responseInvalid     = "response_invalid"
	providerUnavailable = "provider_unavailable"
)

// evil is an issuer that the gate does not know.
const evil = "https://evil.example"

func basic() Plan {
	const last = authelia.EndpointToken
	return Plan{
		ID: "oidcc-client-basic-certification-test-plan", Title: "Basic RP", Modules: []Module{
			{Name: "oidcc-client-test", Provider: "behaves", Gate: "One token request, one for userinfo"},
			{Name: "oidcc-client-test-invalid-iss", Provider: "names another issuer in the ID token", Code: idTokenInvalid, Cause: "different provider", Last: last, Behave: idToken(authelia.Set("iss", evil))},
			{Name: "oidcc-client-test-missing-sub", Provider: "leaves `sub` out of the ID token", Code: idTokenInvalid, Cause: "sub is missing", Last: last, Behave: idToken(authelia.Without("sub"))},
			{Name: "oidcc-client-test-invalid-aud", Provider: "issues the ID token to another client", Code: idTokenInvalid, Cause: "expected audience", Last: last, Behave: idToken(authelia.Set("aud", "another"))},
			{Name: "oidcc-client-test-missing-iat", Provider: "leaves `iat` out of the ID token", Code: idTokenInvalid, Cause: "iat is missing", Last: last, Behave: idToken(authelia.Without("iat"))},
			{Name: "oidcc-client-test-kid-absent-single-jwks", Provider: "has one key without a `kid`, and names none in the ID token", Behave: func(m *authelia.Misbehaviour) { m.JWKS, m.Signature = withoutKeyIDs, authelia.SignedWithoutKeyID }},
			{Name: "oidcc-client-test-kid-absent-multiple-jwks", Provider: "has several keys without a `kid`, and names none in the ID token", Gate: "It tries all keys, which the suite accepts as it does a refusal", Behave: func(m *authelia.Misbehaviour) {
				m.JWKS, m.Signature = authelia.Edits(anotherKey, withoutKeyIDs), authelia.SignedWithoutKeyID
			}},
			{Name: "oidcc-client-test-idtoken-sig-rs256", Provider: "signs the ID token with RS256"},
			unsigned(),
			{Name: "oidcc-client-test-invalid-sig-rs256", Provider: "breaks the RS256 signature of the ID token", Code: idTokenInvalid, Cause: "signature", Last: last, Behave: signed(authelia.SignedThenBroken)},
			{Name: "oidcc-client-test-userinfo-invalid-sub", Provider: "answers userinfo about another `sub`", Code: userinfoInvalid, Cause: "sub does not match the ID token", Last: authelia.EndpointUserinfo, Behave: userinfo(authelia.Set("sub", "another"))},
			{Name: "oidcc-client-test-nonce-invalid", Provider: "puts another `nonce` into the ID token", Code: idTokenInvalid, Cause: "nonce does not match", Last: last, Behave: idToken(authelia.Set("nonce", "another"))},
			{Name: "oidcc-client-test-scope-userinfo-claims", Provider: "sends the claims of the scopes at userinfo", Gate: "It asks for profile and email, and uses both"},
			{Name: "oidcc-client-test-client-secret-basic", Provider: "requires client_secret_basic", Client: func(c *authelia.Client) { c.AuthMethod = "client_secret_basic" }},
		},
	}
}

// formPost is the basic plan with responses in a form, and the module of the
// comprehensive plan for errors in one.
func formPost() Plan {
	p := basic()
	p.ID, p.Title, p.FormPost = "oidcc-client-formpost-basic-certification-test-plan", "Form Post RP", true
	p.Modules = append(p.Modules, Module{
		Name: "oidcc-client-test-form-post-error", Provider: "refuses the sign-in with `login_required`, in a form", Code: "login_required", Cause: "login_required",
		Last: authelia.EndpointAuthorization, Behave: response(func(params url.Values) {
			params.Del("code")
			params.Set("error", "login_required")
		}),
	})
	return p
}

func config() Plan {
	return Plan{
		ID: "oidcc-client-config-certification-test-plan", Title: "Config RP", Modules: []Module{
			{Name: "oidcc-client-test-discovery-openid-config", Provider: "describes itself in its metadata", Gate: "It reads them before the sign-in"},
			{Name: "oidcc-client-test-discovery-jwks-uri-keys", Provider: "names the address of its keys in its metadata", Gate: "It reads the keys there"},
			{Name: "oidcc-client-test-discovery-issuer-mismatch", Provider: "names another issuer in its metadata", Code: providerUnavailable, Cause: "another issuer", Last: authelia.EndpointDiscovery, Behave: metadata(authelia.Set("issuer", evil))},
			unsigned(),
			{Name: "oidcc-client-test-signing-key-rotation-just-before-signing", Provider: "replaces its keys just before it signs the ID token", Gate: "It reads the keys again"},
			{Name: "oidcc-client-test-signing-key-rotation", Provider: "replaces its keys between two sign-ins", Gate: "It reads the keys again"},
		},
	}
}

// unsigned is a module of two plans.
func unsigned() Module {
	return Module{
		Name: "oidcc-client-test-idtoken-sig-none", Provider: "does not sign the ID token", Gate: "The suite counts that as skipped",
		Code: idTokenInvalid, Cause: "malformed", Last: authelia.EndpointToken, Behave: signed(authelia.SignedNone),
	}
}

// userinfo makes a module's behaviour of an edit of userinfo.
func userinfo(edit authelia.Edit) func(*authelia.Misbehaviour) {
	return func(m *authelia.Misbehaviour) {
		m.Userinfo = func(claims map[string]any) any { edit(claims); return claims }
	}
}

// keysOf returns the keys of a JWKS document.
func keysOf(jwks map[string]any) []map[string]any {
	list, _ := jwks["keys"].([]any)
	keys := make([]map[string]any, len(list))
	for i := range list {
		keys[i], _ = list[i].(map[string]any)
	}
	return keys
}

// withoutKeyIDs removes the kid of every key.
func withoutKeyIDs(jwks map[string]any) {
	for _, key := range keysOf(jwks) {
		delete(key, "kid")
	}
}

// anotherKey puts a key of the same kind before the others. It verifies nothing.
func anotherKey(jwks map[string]any) {
	keys := keysOf(jwks)
	other := maps.Clone(keys[0])
	modulus := fmt.Sprint(other["n"])
	other["n"] = modulus[:100] + "AAAA" + modulus[104:]
	setKeys(jwks, append([]map[string]any{other}, keys...))
}

// foreignKeys adds keys that no library can read.
func foreignKeys(jwks map[string]any) {
	setKeys(jwks, append([]map[string]any{
		{"kty": "AKP", "alg": "ML-DSA-99", "kid": "pq", "use": "sig", "pub": "AAAA"},
		{"kty": "made-up", "kid": "made-up", "use": "sig"},
	}, keysOf(jwks)...))
}

func setKeys(jwks map[string]any, keys []map[string]any) {
	list := make([]any, len(keys))
	for i := range keys {
		list[i] = keys[i]
	}
	jwks["keys"] = list
}
