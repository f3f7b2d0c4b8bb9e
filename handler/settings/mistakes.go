// Common mistakes: values that parse, but would make every sign-in fail.

package settings

import (
	"regexp"
	"slices"

	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// mistake recognizes a wrong value, and says what to write instead.
type mistake struct {
	looks *regexp.Regexp
	is    string
}

var (
	quoted = mistake{
		regexp.MustCompile(`^(".*"|'.*')$`),
		"it has quotes around it, which an env file makes part of the value: leave them out",
	}
	padded = mistake{
		regexp.MustCompile(`^\s|\s$`),
		"it begins or ends with a space or a line break: leave that out",
	}
	// exact are the mistakes in a value that is compared by each character.
	exact = []mistake{
		quoted, padded,
		{
			regexp.MustCompile(`[\p{Cc}\p{Cf}\x{a0}]`),
			"it has an invisible character, as copied text and files from Windows may have: type it anew",
		},
	}
	// notSecrets are the values that are not a secret. Any other value may be one.
	notSecrets = append(slices.Clip(exact), []mistake{
		{
			regexp.MustCompile(`^\$(pbkdf2|argon2|scrypt|bcrypt|plaintext|2[abxy]?\$|[56]\$)`),
			"this is the digest for Authelia's client; Caddy needs the secret itself",
		},
		{
			regexp.MustCompile(`^(\{|(env|file)[.:]|/run/|\$[A-Z][A-Z0-9_]*$)`),
			"this is the name of a secret, not the secret: write {env.OIDC_CLIENT_SECRET} or {file./path}",
		},
	}...)
	many = mistake{
		regexp.MustCompile(`[\s,;]`),
		"it is more than one: put spaces between them, and neither commas nor quotes",
	}
	empty  = mistake{regexp.MustCompile(`^$`), "it is empty: leave it out"}
	emails = []mistake{
		many,
		{
			regexp.MustCompile(`^[^@]*$|\*|^@|@$|@.*@`),
			"this is no e-mail address like you@example.com; for all of a domain, use `allow { domains example.com }`",
		},
		notASCII,
	}
	domains = []mistake{
		many, empty,
		{regexp.MustCompile(`[@*/:]|^\.|\.$`), "write example.com, without @ and *; each subdomain is an entry of its own"},
		notASCII,
	}
	notASCII = mistake{regexp.MustCompile(`[^ -~]`), "only ASCII is compared: write a domain in its xn-- form"}
	everyone = mistake{regexp.MustCompile(`^\*$`), "this is the name of a group: to let in all users, leave `allow` out"}
)

// find returns the error that explain makes of the first mistake that value is.
func find(value string, mistakes []mistake, explain func(is string) error) error {
	for _, m := range mistakes {
		if m.looks.MatchString(value) {
			return explain(m.is)
		}
	}
	return nil
}

// always returns the same mistakes for each entry of a list.
func always(mistakes ...mistake) func(string) []mistake {
	return func(string) []mistake { return mistakes }
}

// roleMistakes returns the mistakes for an entry of roles.
func roleMistakes(entry string) []mistake {
	if romm.IsEmail(entry) {
		return emails
	}
	return []mistake{empty, padded}
}
