// The table of settings: where each is stored, its default and its check.

package settings

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// The blocks of the Caddyfile, which are objects in JSON.
const (
	blockAllow   = "allow"
	blockRoles   = "roles"
	blockSession = "session"
)

// groupsClaim is the claim that the scope groups adds at Authelia.
const groupsClaim = "groups"

// none is the algorithm of what is not signed.
const none = "none"

// ClientAuthKey is the client_auth without a secret.
const ClientAuthKey = "private_key_jwt"

// FormPost is the response_mode that is not the default.
const FormPost = "form_post"

// Blocks returns the words that begin a block.
func Blocks() []string { return []string{blockAllow, blockRoles, blockSession} }

// Open creates the value of a block, which is then present even if it is empty.
func (s *Settings) Open(block string) {
	switch block {
	case blockAllow:
		s.Allow = new(handler.Policy)
	case blockRoles:
		s.Roles = new(romm.Roles)
	}
}

// Text is the table's row of a setting that is a string.
type Text struct {
	Word  string // in the Caddyfile and in JSON
	Value *string

	variable string             // RomM's environment variable to fall back to
	example  string             // the line to write if a required setting is missing; "": it is optional
	fallback string             // the default
	secret   bool               // errors do not repeat the value
	mistakes []mistake          // what the value cannot be
	check    func(string) error // what else the value must be
}

// Texts returns the settings that are strings. Some defaults are values of
// other settings, so they are only right once those are set.
func (s *Settings) Texts() []Text {
	// RomM's variable for its secret is that of the client, unless the client has a key.
	secret := Text{Word: "client_secret", Value: &s.ClientSecret, variable: "OIDC_CLIENT_SECRET", example: "client_secret {env.OIDC_CLIENT_SECRET}", secret: true, mistakes: notSecrets}
	rommSecret := Text{Word: "romm_client_secret", Value: &s.RommClientSecret, fallback: s.ClientSecret, secret: true, mistakes: notSecrets}
	if s.ClientAuth == ClientAuthKey {
		secret.variable, secret.example = "", ""
		rommSecret.variable, rommSecret.example = "OIDC_CLIENT_SECRET", "romm_client_secret {env.OIDC_CLIENT_SECRET}"
	}
	return []Text{
		{Word: "issuer", Value: &s.Issuer, variable: "OIDC_SERVER_APPLICATION_URL", example: "issuer https://auth.example.com", mistakes: exact},
		{Word: "issuer_address", Value: &s.IssuerAddress, mistakes: exact},
		{Word: "client_id", Value: &s.ClientID, variable: "OIDC_CLIENT_ID", example: "client_id romm", mistakes: exact, check: noColon},
		secret,
		{Word: "client_auth", Value: &s.ClientAuth, fallback: "basic", check: oneOf("basic", "post", ClientAuthKey)},
		{Word: "client_key", Value: &s.ClientKey, mistakes: exact},
		rommSecret,
		{Word: "romm_id_token_alg", Value: &s.RommIDTokenAlg, fallback: op.ES256, check: either(op.ES256, op.RS256)},
		{Word: "id_token_alg", Value: &s.IDTokenAlg, fallback: "RS256", check: oneOf(flow.SignatureAlgorithms()...)},
		{Word: "userinfo_alg", Value: &s.UserinfoAlg, fallback: none, check: oneOf(append(flow.SignatureAlgorithms(), none)...)},
		{Word: "redirect_uri", Value: &s.RedirectURI, variable: "OIDC_REDIRECT_URI", example: "redirect_uri https://romm.example.com" + request.Base, mistakes: exact},
		{Word: "username_claim", Value: &s.UsernameClaim, fallback: "preferred_username", mistakes: exact},
		{Word: "groups_claim", Value: &s.GroupsClaim, fallback: groupsClaim, mistakes: exact},
		{Word: "response_mode", Value: &s.ResponseMode, fallback: "query", check: either("query", FormPost)},
		{Word: "unverified_email", Value: &s.UnverifiedEmail, fallback: "refuse", check: either("refuse", "pin")},
		{Word: "errors", Value: &s.Errors, check: passOrEmpty},
		{Word: "tls_ca", Value: &s.TLSCA, mistakes: exact},
		{Word: "provider", Value: &s.Provider, variable: "OIDC_PROVIDER", fallback: hostOf(s.Issuer)},
		{Word: "site_name", Value: &s.SiteName, fallback: "RomM"},
	}
}

// List is the table's row of a setting that is a list of strings.
type List struct {
	Block  string // "" at the top level
	Word   string // in the Caddyfile and in JSON
	Value  *[]string
	Repeat bool // the Caddyfile may have several lines of it

	fallback []string               // the default
	mistakes func(string) []mistake // what an entry cannot be
	check    func([]string) error   // what else the list must be
}

// Lists returns the settings that are lists, without those of absent blocks.
func (s *Settings) Lists() []List {
	lists := []List{
		{Word: "scopes", Value: &s.Scopes, fallback: []string{"openid", "profile", "email"}, mistakes: always(many, empty), check: hasOpenID},
		{Word: "also", Value: &s.Also, Repeat: true, check: s.otherOrigins},
		{Word: "clients", Value: &s.Clients, Repeat: true, check: knownClients},
	}
	if s.Allow != nil {
		lists = append(lists,
			List{Block: blockAllow, Word: "groups", Value: &s.Allow.Groups, Repeat: true, mistakes: always(everyone, empty, padded)},
			List{Block: blockAllow, Word: "emails", Value: &s.Allow.Emails, Repeat: true, mistakes: always(emails...)},
			List{Block: blockAllow, Word: "domains", Value: &s.Allow.Domains, Repeat: true, mistakes: always(domains...)},
		)
	}
	if s.Roles != nil {
		lists = append(lists,
			List{Block: blockRoles, Word: "admin", Value: &s.Roles.Admin, Repeat: true, mistakes: roleMistakes},
			List{Block: blockRoles, Word: "user", Value: &s.Roles.User, Repeat: true, mistakes: roleMistakes},
		)
	}
	return lists
}

// Span is the table's row of a setting that is a duration.
type Span struct {
	Block string // "" at the top level
	Word  string // in the Caddyfile and in JSON
	Value *Duration

	fallback, least Duration
}

// Spans returns the settings that are durations.
func (s *Settings) Spans() []Span {
	return []Span{
		{blockSession, "idle", &s.Session.Idle, Duration(session.DefaultIdle), Duration(time.Minute)},
		{blockSession, "lifetime", &s.Session.Lifetime, Duration(session.DefaultLifetime), Duration(time.Minute)},
		// In JSON a bare number is nanoseconds: the least value catches seconds.
		{blockSession, "recheck", &s.Session.Recheck, Duration(5 * time.Minute), Duration(10 * time.Millisecond)},
		{blockSession, "unproven", &s.Session.Unproven, Duration(day), Duration(10 * time.Millisecond)},
		// Every key is kept for as long as a session lasts, so there must not be too many.
		{"", "rotate", &s.Rotate, Duration(keyring.DefaultRotate), Duration(keyring.MinRotate)},
	}
}

// Flag is the table's row of a setting that is on or off.
type Flag struct {
	Word  string // in the Caddyfile and in JSON
	Value *bool
}

// Flags returns the settings that are off by default.
func (s *Settings) Flags() []Flag {
	return []Flag{{"push_authorization", &s.PushAuthorization}, {"identity_headers", &s.IdentityHeaders}}
}

// name is how an error calls a setting.
func name(block, word string) string {
	if block == "" {
		return word
	}
	return block + ": " + word
}

func hostOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func either(a, b string) func(string) error {
	return func(value string) error {
		if value != a && value != b {
			return fmt.Errorf("%q is neither %s nor %s: write one of them", value, a, b)
		}
		return nil
	}
}

// oneOf is either for more values.
func oneOf(values ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(values, value) {
			return fmt.Errorf("%q is not known: write one of %s", value, strings.Join(values, ", "))
		}
		return nil
	}
}

func noColon(clientID string) error {
	if strings.Contains(clientID, ":") {
		return fmt.Errorf("%q holds a colon, which RomM cannot send (RFC 7617 section 2): register the client with another ID", clientID)
	}
	return nil
}

func passOrEmpty(value string) error {
	if value != "" && value != "pass" {
		return fmt.Errorf("%q is not known: write \"errors pass\", or leave it out", value)
	}
	return nil
}

func hasOpenID(scopes []string) error {
	if !slices.Contains(scopes, "openid") && !slices.ContainsFunc(scopes, many.looks.MatchString) {
		return errors.New("openid is missing: without it there is no sign-in")
	}
	return nil
}

func knownClients(words []string) error {
	_, err := romm.ParseClients(words)
	return err
}
