// Registered clients and user accounts.

package authelia

import (
	"maps"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Client is a registered OAuth 2.0 client.
type Client struct {
	// ID is the client_id.
	ID string
	// Secret is the client_secret in plain text.
	Secret string
	// SecretDigest is the client_secret's digest, in place of Secret.
	SecretDigest string
	// RedirectURIs are compared character by character. Only the port of an http loopback address may differ.
	RedirectURIs []string
	// Scopes that the client may request. Default: openid, profile, email, groups.
	Scopes []string
	// GrantTypes that the client may use. Default: authorization_code.
	GrantTypes []string
	// AuthMethod is the only way to authenticate at the token endpoint: client_secret_basic, client_secret_post,
	// private_key_jwt or none. Default: client_secret_basic.
	AuthMethod string
	// AuthAlg is the algorithm of the assertions of a private_key_jwt client. Default: RS256.
	AuthAlg string
	// JWKSURI is where that client publishes its keys.
	JWKSURI string
	// JWKS are its keys, in place of JWKSURI.
	JWKS jose.JSONWebKeySet
	// ConsentMode is auto (asks at every login), implicit (never asks) or pre-configured (asks until the user has the
	// portal remember the consent, per set of scopes). All of them ask for offline_access and prompt=consent. Default:
	// auto.
	ConsentMode string
	// RequirePKCE refuses authorization requests without a code_challenge. Default: false.
	RequirePKCE bool
	// RequirePAR refuses authorization requests that were not pushed (RFC 9126). Default: false.
	RequirePAR bool
	// ClaimsPolicy names the claims that are copied into the ID token if their scope was granted. Default: none.
	ClaimsPolicy []string
	// Alg signs ID tokens: RS256, ES256 or PS256. Default: RS256.
	Alg string
	// UserinfoAlg signs userinfo responses: RS256, ES256 or PS256. Default: empty, for plain JSON.
	UserinfoAlg string
	// ResponseModes allowed beside query and form_post. Default: none.
	ResponseModes []string
	// AllowedGroups is the authorization policy: only members of these groups sign in. Default: all users do.
	AllowedGroups []string
	// TwoFactor is authorization_policy: two_factor. The stand-in's users have no device, so that the portal asks them to
	// register one and the client never hears of the request. Default: false.
	TwoFactor bool
}

// clone returns a copy with the defaults filled in.
func (c *Client) clone() *Client {
	d := *c
	d.RedirectURIs = slices.Clone(c.RedirectURIs)
	d.Scopes = slices.Clone(c.Scopes)
	d.GrantTypes = slices.Clone(c.GrantTypes)
	d.ClaimsPolicy = slices.Clone(c.ClaimsPolicy)
	d.ResponseModes = slices.Clone(c.ResponseModes)
	d.AllowedGroups = slices.Clone(c.AllowedGroups)
	if d.Scopes == nil {
		d.Scopes = []string{"openid", "profile", "email", "groups"}
	}
	if d.GrantTypes == nil {
		d.GrantTypes = []string{"authorization_code"}
	}
	if d.AuthMethod == "" {
		d.AuthMethod = methodBasic
	}
	if d.AuthAlg == "" {
		d.AuthAlg = "RS256"
	}
	if d.Alg == "" {
		d.Alg = "RS256"
	}
	return &d
}

// permits is the authorization policy.
func (c *Client) permits(groups []string) bool {
	return len(c.AllowedGroups) == 0 || slices.ContainsFunc(groups, func(g string) bool {
		return slices.Contains(c.AllowedGroups, g)
	})
}

// redirects reports whether uri is registered.
func (c *Client) redirects(uri string) bool {
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		return uri == registered || sameButPort(registered, uri)
	})
}

// sameButPort compares http URIs of loopback addresses (RFC 8252 7.3).
func sameButPort(registered, uri string) bool {
	a, errA := url.Parse(registered)
	b, errB := url.Parse(uri)
	if errA != nil || errB != nil || a.Scheme != "http" || b.Scheme != "http" || a.Hostname() != b.Hostname() {
		return false
	}
	if a.Hostname() == "localhost" || !isLoopback(a.Hostname()) {
		return false
	}
	a.Host, b.Host = "", ""
	return a.String() == b.String()
}

// User is an account of the file backend.
type User struct {
	// Name is the login name, case-sensitive.
	Name string
	// Password in plain text.
	Password string
	// PasswordDigest is the password's digest, in place of Password.
	PasswordDigest string
	// DisplayName is the claim "name".
	DisplayName string
	// Email may be empty: the claim "email" is then absent, but email_verified is still true.
	Email string
	// Groups are the claim "groups".
	Groups []string
	// Profile holds further string claims of the scope profile, such as given_name.
	Profile map[string]string
	// Disabled accounts cannot sign in, and their userinfo is empty.
	Disabled bool
}

func (u *User) clone() *User {
	d := *u
	d.Groups = slices.Clone(u.Groups)
	d.Profile = maps.Clone(u.Profile)
	return &d
}

// claims returns the userinfo claims of the scopes, except sub and rat.
func (u *User) claims(scopes []string, updatedAt int64) map[string]any {
	claims := map[string]any{}
	if slices.Contains(scopes, "profile") {
		for name, value := range u.Profile {
			claims[name] = value
		}
		claims["name"] = u.DisplayName
		claims["preferred_username"] = u.Name
		claims["updated_at"] = updatedAt
	}
	if slices.Contains(scopes, "email") {
		claims["email_verified"] = true // constantly, even without an address
		if u.Email != "" {
			claims["email"] = u.Email
		}
	}
	if slices.Contains(scopes, "groups") {
		claims["groups"] = append([]string{}, u.Groups...) // [] and not null
	}
	return claims
}

// active returns the account, or nil if it is disabled or deleted.
func (s *Server) active(name string) *User {
	u := s.users[name]
	if u == nil || u.Disabled {
		return nil
	}
	return u
}

// authenticateUser checks a password. A disabled user is refused like a wrong password.
func (s *Server) authenticateUser(name, password string) *User {
	u := s.active(name)
	if u == nil || !matches(u.Password, u.PasswordDigest, password) {
		return nil
	}
	return u
}

// subject returns the user's sub: random, the same for all clients, and kept as long as the database.
func (s *Server) subject(name string) string {
	if s.subjects[name] == "" {
		s.subjects[name] = newUUID()
	}
	return s.subjects[name]
}
