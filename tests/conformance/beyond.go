// Modules beyond the plans for a certification: the comprehensive plan as far as it is about the code flow, and what
// FAPI 2 checks of responses.

package conformance

import (
	"net/url"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func codeFlow() Plan {
	const last = authelia.EndpointToken
	return Plan{
		ID: "oidcc-client-test-plan", Title: "Comprehensive, code flow", Modules: []Module{
			{Name: "oidcc-client-test-missing-aud", Provider: "leaves `aud` out of the ID token", Code: idTokenInvalid, Cause: "expected audience", Last: last, Behave: idToken(authelia.Without("aud"))},
			{Name: "oidcc-client-test-invalid-sig-hs256", Provider: "signs the ID token with HS256 under the client's secret", Code: idTokenInvalid, Cause: "malformed", Last: last, Behave: signed(authelia.SignedWithClientSecret)},
			{Name: "oidcc-client-test-invalid-sig-es256", Provider: "breaks the ES256 signature of the ID token", Code: idTokenInvalid, Cause: "signature", Last: last, Client: alg("ES256"), Behave: signed(authelia.SignedThenBroken)},
			{Name: "oidcc-client-test-userinfo-bearer-header", Provider: "takes the access token in the header field Authorization", Gate: "It sends it there, and nowhere else"},
			{Name: "oidcc-client-test-nonce-unless-code-flow", Provider: "expects a `nonce`", Gate: "It sends one, in the code flow too"},
			{Name: "oidcc-client-test-invalid-athash", Provider: "puts the `at_hash` of another access token into the ID token", Code: idTokenInvalid, Cause: "at_hash", Last: last, Behave: idToken(authelia.Set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"))},
			{Name: "oidcc-client-test-missing-athash", Provider: "leaves `at_hash` out of the ID token", Gate: "It is optional in the code flow", Behave: idToken(authelia.Without("at_hash"))},
			{Name: "oidcc-client-test-ignores-unparseable-key-in-jwks", Provider: "has keys of unknown types beside its own", Behave: func(m *authelia.Misbehaviour) { m.JWKS = foreignKeys }},
			{Name: "oidcc-client-test-aggregated-claims", Provider: "refers to claims in another JWT", Gate: "It does not read them", Behave: claimsElsewhere(map[string]any{"JWT": "a.b.c"})},
			{Name: "oidcc-client-test-distributed-claims", Provider: "refers to claims at another endpoint", Gate: "It does not go there", Behave: claimsElsewhere(map[string]any{"endpoint": evil, "access_token": "x"})},
			{Name: "oidcc-client-test-userinfo-signed", Provider: "signs userinfo with RS256", Client: func(c *authelia.Client) { c.UserinfoAlg = "RS256" }},
			{Name: "oidcc-client-test-mtls-endpoint-aliases", Provider: "names other endpoints for clients with certificates", Gate: "It has no certificate, and does not go there", Behave: metadata(authelia.Set("mtls_endpoint_aliases", map[string]any{"token_endpoint": evil + "/token", "userinfo_endpoint": evil + "/userinfo"}))},
		},
	}
}

func fapi2() Plan {
	const name, last = "fapi2-security-profile-final-client-test-", authelia.EndpointToken
	return Plan{
		ID: "fapi2-security-profile-final-client-test-plan", Title: "FAPI 2, as far as it is about responses",
		Strict: true, Client: func(c *authelia.Client) { c.Alg, c.RequirePAR = "PS256", true },
		Modules: []Module{
			{Name: name + "happy-path", Provider: "requires pushed authorization requests and private_key_jwt, and signs with PS256", Gate: "The browser carries a reference only"},
			{Name: name + "discovery-issuer-mismatch", Provider: "names another issuer in its metadata", Code: providerUnavailable, Cause: "another issuer", Last: authelia.EndpointDiscovery, Behave: metadata(authelia.Set("issuer", evil))},
			{Name: name + "invalid-iss", Provider: "names another issuer in the ID token", Code: idTokenInvalid, Cause: "different provider", Last: last, Behave: idToken(authelia.Set("iss", evil))},
			{Name: name + "invalid-aud", Provider: "issues the ID token to another client", Code: idTokenInvalid, Cause: "expected audience", Last: last, Behave: idToken(authelia.Set("aud", "another"))},
			{Name: name + "invalid-secondary-aud", Provider: "issues the ID token to another client too", Code: idTokenInvalid, Cause: "names other clients", Last: last, Behave: idToken(authelia.Set("aud", []string{"romm", "another"}))},
			{Name: name + "invalid-null-alg", Provider: "does not sign the ID token", Code: idTokenInvalid, Cause: "malformed", Last: last, Behave: signed(authelia.SignedNone)},
			{Name: name + "invalid-alternate-alg", Provider: "signs the ID token with another algorithm, by a key of its own", Code: idTokenInvalid, Cause: `write "id_token_alg RS256"`, Last: last, Behave: signed(authelia.SignedWithAnotherAlg)},
			{Name: name + "invalid-expired-exp", Provider: "issues an ID token that has expired", Code: idTokenInvalid, Cause: "expired", Last: last, Behave: idToken(authelia.Set("exp", 1))},
			{Name: name + "invalid-missing-exp", Provider: "leaves `exp` out of the ID token", Code: idTokenInvalid, Cause: "exp is missing", Last: last, Behave: idToken(authelia.Without("exp"))},
			{Name: name + "invalid-missing-aud", Provider: "leaves `aud` out of the ID token", Code: idTokenInvalid, Cause: "expected audience", Last: last, Behave: idToken(authelia.Without("aud"))},
			{Name: name + "invalid-missing-iss", Provider: "leaves `iss` out of the ID token", Code: idTokenInvalid, Cause: "different provider", Last: last, Behave: idToken(authelia.Without("iss"))},
			{Name: name + "valid-aud-as-array", Provider: "writes `aud` as a list of one", Behave: idToken(authelia.Set("aud", []string{"romm"}))},
			{Name: name + "invalid-nonce", Provider: "puts another `nonce` into the ID token", Code: idTokenInvalid, Cause: "nonce does not match", Last: last, Behave: idToken(authelia.Set("nonce", "another"))},
			{Name: name + "invalid-missing-nonce", Provider: "leaves `nonce` out of the ID token", Code: idTokenInvalid, Cause: "nonce is missing", Last: last, Behave: idToken(authelia.Without("nonce"))},
			{Name: name + "invalid-authorization-response-iss", Provider: "names another `iss` in the authorization response (RFC 9207, a mix-up)", Code: responseInvalid, Cause: "iss is another issuer", Last: authelia.EndpointAuthorization, Behave: response(func(query url.Values) { query.Set("iss", evil) })},
			{Name: name + "remove-authorization-response-iss", Provider: "leaves `iss` out of the authorization response, though its metadata promise it", Code: responseInvalid, Cause: "iss is missing", Last: authelia.EndpointAuthorization, Behave: response(func(query url.Values) { query.Del("iss") })},
			{Name: name + "ensure-authorization-response-with-invalid-state-fails", Provider: "answers with another `state`", Code: "state_lost", Cause: "state", Last: authelia.EndpointAuthorization, Gate: "It tries twice before", Behave: response(func(query url.Values) { query.Set("state", "another") })},
			{Name: name + "ensure-authorization-response-with-invalid-missing-state-fails", Provider: "answers without `state`", Code: "state_lost", Cause: "it has no state", Last: authelia.EndpointAuthorization, Gate: "It tries twice before", Behave: response(func(query url.Values) { query.Del("state") })},
			{Name: name + "token-endpoint-response-without-expires_in", Provider: "does not say how long the access token lives", Behave: tokens(authelia.Without("expires_in"))},
			{Name: name + "token-type-case-insensitivity", Provider: "writes `token_type` as bEaReR", Behave: tokens(authelia.Set("token_type", "bEaReR"))},
		},
	}
}

// alg registers the client with an algorithm for ID tokens.
func alg(name string) func(*authelia.Client) { return func(c *authelia.Client) { c.Alg = name } }

// claimsElsewhere has the ID token and userinfo refer to a source of claims (OIDC Core 5.6.2).
func claimsElsewhere(source map[string]any) func(*authelia.Misbehaviour) {
	edit := authelia.Edits(
		authelia.Set("_claim_names", map[string]any{"phone_number": "s"}), authelia.Set("_claim_sources", map[string]any{"s": source}),
	)
	return func(m *authelia.Misbehaviour) {
		idToken(edit)(m)
		userinfo(edit)(m)
	}
}
