package settings

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// mistake is what a value looks like that is not what it should be, and what to write instead.
type mistake struct {
	looks *regexp.Regexp
	is    string
}

var (
	quoted = mistake{
		regexp.MustCompile(`^(".*"|'.*')$`),
		"it has quotes around it, which an env file makes part of the value: leave them out",
	}
	// A secret may hold anything; these are none.
	notSecrets = []mistake{
		quoted,
		{
			regexp.MustCompile(`^\$(pbkdf2|argon2|scrypt|bcrypt|plaintext|2[abxy]?\$|[56]\$)`),
			"this is the digest for Authelia's client; Caddy needs the secret itself",
		},
		{
			regexp.MustCompile(`^(\{|env\.|file\.|/run/|\$[A-Z][A-Z0-9_]*$)`),
			"this is the name of a secret, not the secret: write {env.OIDC_CLIENT_SECRET} or {file./path}",
		},
	}
	many = mistake{
		regexp.MustCompile(`[\s,;]`),
		"it is more than one: put spaces between them, and neither commas nor quotes",
	}
	empty  = mistake{regexp.MustCompile(`^$`), "it is empty, and fits nobody"}
	scopes = []mistake{many, empty}
	emails = []mistake{
		many,
		{
			regexp.MustCompile(`^[^@]*$|\*|^@|@$|@.*@`),
			"this is no e-mail address like you@example.com; for all of a domain there is allow { domains example.com }",
		},
		notASCII,
	}
	domains = []mistake{
		many, empty,
		{regexp.MustCompile(`[@*/:]|^\.|\.$`), "write example.com, without @ and *; each subdomain is an entry of its own"},
		notASCII,
	}
	notASCII = mistake{regexp.MustCompile(`[^ -~]`), "only ASCII is compared: write a domain in its xn-- form"}
	groups   = []mistake{empty}
	anybody  = mistake{regexp.MustCompile(`^\*$`), "this is the name of a group: to let in everybody, leave allow out"}
)

// find says which of mistakes a value is, which it does not repeat if it is secret.
func find(word, value string, secret bool, mistakes []mistake) error {
	for _, m := range mistakes {
		if !m.looks.MatchString(value) {
			continue
		}
		if secret {
			return fmt.Errorf("%s: %s", word, m.is)
		}
		return fmt.Errorf("%s: %q: %s", word, value, m.is)
	}
	return nil
}

// checkValues refuses what can only be a mistake, before it fails every sign-in.
func (s *Settings) checkValues() error {
	return errors.Join(
		find("issuer", s.Issuer, false, []mistake{quoted}),
		find("client_id", s.ClientID, false, []mistake{quoted}),
		find("client_secret", s.ClientSecret, true, notSecrets),
		find("romm_client_secret", s.RommClientSecret, true, notSecrets),
		find("redirect_uri", s.RedirectURI, false, []mistake{quoted}),
	)
}

// checkEntries refuses entries of lists that fit nobody.
func (s *Settings) checkEntries() error {
	var errs []error
	check := func(word string, entries []string, mistakes func(entry string) []mistake) {
		for _, entry := range entries {
			errs = append(errs, find(word, entry, false, mistakes(entry)))
		}
	}
	always := func(mistakes []mistake) func(string) []mistake {
		return func(string) []mistake { return mistakes }
	}
	check("scopes", s.Scopes, always(scopes))
	if s.Allow != nil {
		check("allow: groups", s.Allow.Groups, always(append([]mistake{anybody}, groups...)))
		check("allow: emails", s.Allow.Emails, always(emails))
		check("allow: domains", s.Allow.Domains, always(domains))
	}
	if s.Roles != nil {
		byKind := func(entry string) []mistake { // as romm.Roles tells them apart
			if strings.Contains(entry, "@") {
				return emails
			}
			return groups
		}
		check("roles: admin", s.Roles.Admin, byKind)
		check("roles: user", s.Roles.User, byKind)
	}
	return errors.Join(errs...)
}

// checkOrigin explains what is wrong with redirect_uri, and returns its origin.
func checkOrigin(redirectURI string) (request.Origin, error) {
	const example = `write it like "https://romm.example.com` + request.Base + `"`
	u, err := url.Parse(redirectURI)
	if err != nil { // which repeats the value, and says it in Go's words
		return request.Origin{}, fmt.Errorf("redirect_uri: %q is no URL: %s", redirectURI, example)
	}
	if ascii, err := idna.Lookup.ToASCII(u.Hostname()); err == nil && notASCII.looks.MatchString(u.Hostname()) {
		return request.Origin{}, fmt.Errorf("redirect_uri: browsers call the host %q: write that", ascii)
	}
	origin, err := request.OriginOf(redirectURI)
	if err != nil {
		return request.Origin{}, fmt.Errorf("redirect_uri: %w: %s", err, example)
	}
	if want := origin.String() + request.Base; redirectURI != want {
		return request.Origin{}, fmt.Errorf("redirect_uri: write %q: RomM's callback has exactly this path, and the host is in lower case", want)
	}
	return origin, nil
}

// spelled writes a duration as it is written in a Caddyfile.
func spelled(d time.Duration) string {
	for _, unit := range []struct {
		is   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d%unit.is == 0 {
			return strconv.FormatInt(int64(d/unit.is), 10) + unit.name
		}
	}
	return d.String()
}
