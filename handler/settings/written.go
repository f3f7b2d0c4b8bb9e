// What can be said of settings as the operator wrote them, before their
// placeholders have values.

package settings

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// SettingError is a setting with a wrong value, and what to write instead.
type SettingError struct {
	Setting string // its name, such as "issuer" or "allow: emails"
	err     error
	named   bool // err names the setting already
}

// Error returns the setting's name and what is wrong with it.
func (m *SettingError) Error() string {
	if m.named {
		return m.err.Error()
	}
	return m.Setting + ": " + m.err.Error()
}

// Unwrap returns what is wrong with the setting.
func (m *SettingError) Unwrap() error { return m.err }

func wrong(setting, format string, args ...any) error {
	return &SettingError{Setting: setting, err: fmt.Errorf(format, args...)}
}

// Each returns the errors that Check joined.
func Each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	all := make([]error, 0, len(joined.Unwrap()))
	for _, one := range joined.Unwrap() {
		all = append(all, Each(one)...)
	}
	return all
}

// CheckWritten is Check for settings that are not resolved. It says nothing
// about values with placeholders and about those that may come from the
// environment.
func (s *Settings) CheckWritten() error {
	presumed := s.clone()
	for _, setting := range presumed.Texts() {
		if *setting.Value == "" && setting.variable != "" || hasPlaceholder(*setting.Value) {
			*setting.Value = presumptions[setting.Word]
		}
	}
	for _, setting := range presumed.Lists() {
		if !slices.ContainsFunc(*setting.Value, hasPlaceholder) {
			continue
		}
		values := slices.DeleteFunc(slices.Clone(*setting.Value), hasPlaceholder)
		if stands, ok := presumptions[name(setting.Block, setting.Word)]; ok {
			values = append(values, strings.Fields(stands)...)
		}
		*setting.Value = values
	}
	presumed.fill()
	return presumed.Check()
}

// presumptions are good values that stand for unknown ones.
var presumptions = map[string]string{
	"issuer":             "https://provider.invalid",
	"client_id":          "unknown",
	"client_secret":      "unknown",
	"romm_client_secret": "unknown",
	"redirect_uri":       "https://site.invalid" + request.Base,
	"scopes":             "openid groups",
	"allow: groups":      "unknown",
	"allow: emails":      "unknown@site.invalid",
	"allow: domains":     "site.invalid",
	"roles: admin":       "unknown@site.invalid",
	"roles: user":        "unknown@site.invalid",
}

func hasPlaceholder(text string) bool {
	_, behind, opens := strings.Cut(text, "{")
	return opens && strings.Contains(behind, "}")
}

// LiteralSecrets returns the settings with a secret that is not a placeholder.
func (s *Settings) LiteralSecrets() (names []string) {
	for _, setting := range s.Texts() {
		if setting.secret && *setting.Value != "" && !hasPlaceholder(*setting.Value) {
			names = append(names, setting.Word)
		}
	}
	return names
}

var reads = regexp.MustCompile(`\{(env|file)\.([^}]+)\}`)

// Unresolved explains err, the failure to replace a placeholder of text.
func Unresolved(text string, err error) error {
	match := reads.FindStringSubmatch(text)
	switch {
	case match == nil:
		return fmt.Errorf("%w: write {env.NAME} for an environment variable, or {file./path} for the content of a file. Those of a request, such as {host}, are not known when Caddy loads a configuration", err)
	case match[1] == "env" && strings.Contains(match[2], ":"):
		return fmt.Errorf("{env.%s}: an environment variable with a default is written {$NAME:default}", match[2])
	case match[1] == "env" && os.Getenv(match[2]) == "":
		return fmt.Errorf("the environment variable %s is not set, or empty, where Caddy runs: set it there (environment in compose.yml, EnvironmentFile in a systemd unit, or caddy run --envfile .env), or check its name", match[2])
	case match[1] == "file":
		if _, errRead := os.Stat(match[2]); errRead != nil {
			return fmt.Errorf("the file %s cannot be read by Caddy: mount or create it, and give its user the right to read it: %w", match[2], errRead)
		}
		return fmt.Errorf("the file %s is empty, or cannot be read by Caddy's user", match[2])
	}
	return err
}
