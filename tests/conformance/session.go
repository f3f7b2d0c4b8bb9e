// The plans of what follows a sign-in: refresh, RP-initiated and back-channel logout.

package conformance

import (
	"net/url"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const (
	subjectChanged     = "subject_changed"
	logoutTokenInvalid = "logout_token_invalid" //nolint:gosec // no credential
	logoutUnknown      = "logout_unknown"
)

// logoutEvent is the member of events that makes a token a logout token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func refresh() Plan {
	const last = authelia.EndpointToken
	return Plan{
		ID: "oidcc-client-refreshtoken-test-plan", Title: "Refresh", Kind: Refresh, Modules: []Module{
			{Name: "oidcc-client-test-refresh-token", Provider: "answers the refresh with new tokens", Gate: "It asks userinfo with the new access token"},
			{Name: "oidcc-client-test-refresh-token-invalid-issuer", Provider: "names another issuer in the refreshed ID token", Code: subjectChanged, Last: last, Behave: idToken(authelia.Set("iss", evil))},
			{Name: "oidcc-client-test-refresh-token-invalid-sub", Provider: "names another `sub` in the refreshed ID token", Code: subjectChanged, Last: last, Behave: idToken(authelia.Set("sub", "another"))},
			{Name: "oidcc-client-test-refresh-token-invalid-aud", Provider: "issues the refreshed ID token to another client (outside the plan)", Code: subjectChanged, Last: last, Behave: idToken(authelia.Set("aud", "another"))},
			{Name: "oidcc-client-test-refresh-token-invalid-azp", Provider: "names another `azp` in the refreshed ID token (outside the plan)", Code: subjectChanged, Last: last, Behave: idToken(authelia.Set("azp", "another"))},
		},
	}
}

func rpInitiated() Plan {
	return Plan{
		ID: "oidcc-client-rp-initiated-logout-rp-basic", Title: "RP-initiated logout", Kind: SignOut, Modules: []Module{
			{Name: "oidcc-client-test-rp-init-logout", Provider: "sends the browser back with the `state` of the sign-out", Gate: "The request to the provider has `id_token_hint`, `client_id`, `post_logout_redirect_uri` and `state`"},
			{Name: "oidcc-client-test-rp-init-logout-other-state", Provider: "sends the browser back with another `state`", Gate: "The session has ended before", Code: logoutUnknown, PostLogout: func(query url.Values) { query.Set("state", "another") }},
			{Name: "oidcc-client-test-rp-init-logout-no-state", Provider: "sends the browser back without `state`", PostLogout: func(query url.Values) { query.Del("state") }},
		},
	}
}

func backChannel() Plan {
	const name = "oidcc-client-test-rp-backchannel-rpinitlogout"
	return Plan{
		ID: "oidcc-client-back-channel-logout-rp-basic", Title: "Back-channel logout", Kind: BackChannel, Modules: []Module{
			{Name: name, Provider: "sends a logout token", LogoutToken: authelia.Set("ignored_claim", "x")},
			{Name: name + "-alg-none", Provider: "does not sign the logout token", Code: logoutTokenInvalid, Cause: "malformed", Signature: authelia.SignedNone},
			{Name: name + "-no-event", Provider: "leaves `events` out of the logout token", Code: logoutTokenInvalid, Cause: "event", LogoutToken: authelia.Without("events")},
			{Name: name + "-with-nonce", Provider: "puts a `nonce` into the logout token", Code: logoutTokenInvalid, Cause: "nonce", LogoutToken: authelia.Set("nonce", "n")},
			{Name: name + "-wrong-alg", Provider: "signs the logout token with another algorithm than the registered one, by a key of its own", Code: logoutTokenInvalid, Cause: `write "id_token_alg ES256"`, Signature: authelia.SignedWithAnotherAlg},
			{Name: name + "-wrong-aud", Provider: "issues the logout token to another client", Code: logoutTokenInvalid, Cause: "audience", LogoutToken: authelia.Set("aud", "another")},
			{Name: name + "-wrong-event", Provider: "names another event in the logout token", Code: logoutTokenInvalid, Cause: "event", LogoutToken: authelia.Set("events", map[string]any{logoutEvent + "x": map[string]any{}})},
			{Name: name + "-wrong-iss", Provider: "names another issuer in the logout token", Code: logoutTokenInvalid, Cause: "different provider", LogoutToken: authelia.Set("iss", evil)},
		},
	}
}
