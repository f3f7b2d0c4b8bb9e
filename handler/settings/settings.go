// Package settings defines each setting once: its field and its comment for the
// operator in Settings, and its word, default and check in the table (table.go).
// The Caddyfile, the JSON, placeholders, defaults and error messages follow
// from these. It does not depend on Caddy.
package settings

import (
	"slices"

	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// Settings is what the operator configures. Its fields are flattened into the
// handler's JSON.
type Settings struct {
	// The provider's issuer URL, exactly as the provider's metadata has it:
	// https, or http on a loopback host. Default: `OIDC_SERVER_APPLICATION_URL`.
	Issuer string `json:"issuer,omitempty"`

	// The provider's address, if Caddy cannot reach it at its public name: for
	// instance `http://authelia:9091` in a container network. Requests still
	// carry the public name. Default: the issuer.
	IssuerAddress string `json:"issuer_address,omitempty"`

	// The client ID at the provider. Default: `OIDC_CLIENT_ID`.
	ClientID string `json:"client_id,omitempty"`

	// The client secret at the provider; `{file./run/secrets/name}` reads it
	// from a file. Left out with `client_auth private_key_jwt`. Default:
	// `OIDC_CLIENT_SECRET`.
	ClientSecret string `json:"client_secret,omitempty"`

	// The secret that RomM authenticates with at this handler: RomM's own
	// OIDC_CLIENT_SECRET. Letters and digits. Default: client_secret, or
	// `OIDC_CLIENT_SECRET` with `client_auth private_key_jwt`.
	RommClientSecret string `json:"romm_client_secret,omitempty"`

	// The algorithm of RomM's ID tokens: ES256 or RS256. Default: ES256.
	RommIDTokenAlg string `json:"romm_id_token_alg,omitempty"`

	// How to authenticate at the provider: `basic` or `post` with the client
	// secret, or `private_key_jwt` with a key, of which the provider reads the
	// public part at redirect_uri followed by /client-jwks. Default: basic.
	ClientAuth string `json:"client_auth,omitempty"`

	// A PEM file with the private key for `client_auth private_key_jwt`: an RSA
	// key signs with RS256, an EC key with ES256, ES384 or ES512, an Ed25519 key
	// with EdDSA. Default: the gate makes keys for RS256, keeps them in Caddy's
	// storage and replaces them as `rotate` says.
	ClientKey string `json:"client_key,omitempty"`

	// The algorithm that the provider signs ID tokens and logout tokens with, as
	// registered for the client: RS256, RS384, RS512, ES256, ES384, ES512, PS256,
	// PS384, PS512 or EdDSA. Default: RS256.
	IDTokenAlg string `json:"id_token_alg,omitempty"`

	// The algorithm that the provider signs userinfo with, or `none` if it does
	// not sign it. Default: none.
	UserinfoAlg string `json:"userinfo_alg,omitempty"`

	// The public URL of the callback, registered at the provider. Its path is
	// /api/oauth/openid, and the site answers under its scheme and host only.
	// Default: `OIDC_REDIRECT_URI`.
	RedirectURI string `json:"redirect_uri,omitempty"`

	// Further origins of the site, for clients without a browser: an address in
	// the local network, for instance `http://192.168.1.5:9080`. Clients with a
	// credential are served there; browsers are sent to redirect_uri's origin.
	// Default: none.
	Also []string `json:"also,omitempty"`

	// The scopes to request. The provider must allow all of them to the client:
	// with one that it does not allow, every sign-in fails. Default: openid
	// profile email.
	Scopes []string `json:"scopes,omitempty"`

	// The claim with the user name. Default: preferred_username.
	UsernameClaim string `json:"username_claim,omitempty"`

	// The claim with the groups. Default: groups.
	GroupsClaim string `json:"groups_claim,omitempty"`

	// Send authorization requests to the provider directly, so that the browser
	// carries a reference to them only (pushed authorization requests, RFC 9126).
	// Default: only if the provider requires it.
	PushAuthorization bool `json:"push_authorization,omitempty"`

	// How the provider is to answer a sign-in: `query`, in the address of the
	// callback, or `form_post`, in a form, so that the code is in no address (OAuth
	// 2.0 Form Post Response Mode). That needs https, and a login cookie that
	// browsers send with forms of other sites. Authelia's page forbids such a form.
	// Default: query.
	ResponseMode string `json:"response_mode,omitempty"`

	// What happens to users with an e-mail address that the provider has not
	// verified: `refuse`, or `pin`: they sign in with an address that is made for
	// them, so that no rule and no RomM account takes them for its owner.
	// Default: refuse.
	UnverifiedEmail string `json:"unverified_email,omitempty"`

	// Who may use the site. Default: every user that the provider signs in.
	Allow *handler.Policy `json:"allow,omitempty"`

	// Which role users have in RomM (4.8 or later). Default: RomM's own roles
	// stay as they are.
	Roles *romm.Roles `json:"roles,omitempty"`

	// Clients without a browser to let in, beside those with a RomM client
	// token: `password`, `bearer`, `feeds`, `downloads`, `covers`. Default: none.
	Clients []string `json:"clients,omitempty"`

	// How long a session lasts.
	Session Session `json:"session,omitzero"`

	// The age at which the keys are replaced that seal stored data, sign RomM's
	// ID tokens and authenticate the client; at least 1d. Old keys stay in use beside the new ones
	// for as long as they are needed. Default: 90d.
	Rotate Duration `json:"rotate,omitempty"`

	// Also set Remote-User, Remote-Email, Remote-Name and Remote-Groups, for an
	// application beside RomM behind this handler; RomM ignores them. Default: off.
	IdentityHeaders bool `json:"identity_headers,omitempty"`

	// `pass` hands errors to the site's error routes. Default: built-in pages.
	Errors string `json:"errors,omitempty"`

	// A PEM file with the certificate authorities to trust for the issuer.
	// Default: the system's.
	TLSCA string `json:"tls_ca,omitempty"`

	// The provider's name on the pages. Default: `OIDC_PROVIDER`, else the issuer's host.
	Provider string `json:"provider,omitempty"`
	// The site's name on the pages. Default: `RomM`.
	SiteName string `json:"site_name,omitempty"`
}

// Session says how long a session lasts.
type Session struct {
	// How long a session lasts without use. Default: 14d.
	Idle Duration `json:"idle,omitempty"`

	// How long a session lasts at most. Default: 30d.
	Lifetime Duration `json:"lifetime,omitempty"`

	// How often to check with the provider that the user of a session in use
	// may still sign in. Default: 5m.
	Recheck Duration `json:"recheck,omitempty"`

	// How long a session lasts after its tokens expired, until the user opens a
	// page. Default: 24h.
	Unproven Duration `json:"unproven,omitempty"`
}

// MakesClientKeys reports whether the client authenticates with keys that the gate
// makes.
func (s *Settings) MakesClientKeys() bool { return s.ClientAuth == ClientAuthKey && s.ClientKey == "" }

// RuleGroups returns the groups that allow and roles name.
func (s *Settings) RuleGroups() []string {
	var groups []string
	if s.Allow != nil {
		groups = append(groups, s.Allow.Groups...)
	}
	if s.Roles != nil {
		for _, entry := range slices.Concat(s.Roles.Admin, s.Roles.User) {
			if entry != romm.Everyone && !romm.IsEmail(entry) {
				groups = append(groups, entry)
			}
		}
	}
	return groups
}
