// When the provider does not accept the client: what the operator has to change.

package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ClientKeysPath follows the redirect URI in the address of the client's public
// keys, its jwks_uri.
const ClientKeysPath = "/client-jwks"

// refusal returns the error of an error response.
func (rp *RelyingParty) refusal(code, description string, status int) *TokenError {
	e := &TokenError{Code: printable(code, 100), Description: printable(description, 200), Status: status}
	e.demands = rp.demands(e)
	return e
}

// refusesClient reports whether an error code says that the client was not
// authenticated (https://datatracker.ietf.org/doc/html/rfc6749#section-5.2). The
// second is Authelia's, for an assertion that it has seen before.
func refusesClient(code string) bool { return code == "invalid_client" || code == "jti_known" }

// demands returns what the provider requires of the client and the gate does not do.
func (rp *RelyingParty) demands(e *TokenError) string {
	said := strings.ToLower(e.Code + " " + e.Description)
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(said, word) })
	}
	aboutKey := says("private_key_jwt", "client_assertion", "client assertion", "signed jwt", "jwt-bearer")
	switch {
	case says("dpop"):
		return "The provider requires DPoP (RFC 9449) of this client, which is not supported: turn it off for the client."
	case says("tls_client_auth", "certificate"):
		return "The provider requires a client certificate of this client, which is not supported: register it with client_secret_basic or private_key_jwt."
	case rp.config.ClientAuth == ClientAuthKey && (refusesClient(e.Code) || aboutKey):
		return rp.keyRefused()
	case aboutKey:
		return "The provider requires private_key_jwt of this client: write `client_auth private_key_jwt`, or register it with client_secret_basic or client_secret_post, as client_auth says."
	}
	return ""
}

// keyRefused says how the client has to be registered for its key.
func (rp *RelyingParty) keyRefused() string {
	hint := fmt.Sprintf("The provider does not accept the client's key: register the client with private_key_jwt, the algorithm %s and the jwks_uri %s, which the provider must be able to read.",
		rp.config.ClientKeys.Algorithm(), rp.config.RedirectURI+ClientKeysPath)
	if ahead := rp.clock.ahead.Load(); ahead != nil && ahead.Abs() >= assertionBackdated {
		hint += fmt.Sprintf(" Its clock is %s, by which it also judges the age of what the key signs: set both by NTP.", aheadOrBehind(*ahead))
	}
	return hint
}

// Mismatch returns why the provider's answers and the settings do not go together,
// nil if the last sign-in or refresh succeeded: the client is not accepted, or
// signatures have another algorithm.
func (rp *RelyingParty) Mismatch() error {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	return rp.mismatch
}

// noteMismatch takes the result of a sign-in, a refresh or a pushed request. Any
// other error says nothing about the settings.
func (rp *RelyingParty) noteMismatch(err error) {
	token, _ := errors.AsType[*TokenError](err)
	refused := token != nil && !token.Foreign && (refusesClient(token.Code) || token.demands != "")
	_, algorithm := errors.AsType[*AlgorithmError](err)
	if err != nil && !refused && !algorithm {
		return
	}
	rp.mu.Lock()
	defer rp.mu.Unlock()
	rp.mismatch = err
}
