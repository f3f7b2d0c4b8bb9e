// From what the operator wrote to what the gate uses: placeholders,
// environment variables, defaults.

package settings

import (
	"fmt"
	"os"
	"strings"
)

// Resolve returns a copy of s with all placeholders replaced and all defaults
// filled in. The copy holds the secrets; s stays as it is. replace replaces the
// placeholders of one string, and fails for one that is unknown or empty.
func (s *Settings) Resolve(replace func(string) (string, error)) (*Settings, error) {
	resolved := s.clone()
	for _, setting := range resolved.Texts() {
		if *setting.Value != "" {
			value, err := replace(*setting.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", setting.Word, err)
			}
			*setting.Value = value
		}
	}
	for _, setting := range resolved.Texts() { // client_auth has its value now, which the others depend on
		if *setting.Value == "" && setting.variable != "" {
			*setting.Value = os.Getenv(setting.variable)
		}
		*setting.Value = strings.TrimSpace(*setting.Value)
	}
	for _, setting := range resolved.Lists() {
		values := make([]string, len(*setting.Value))
		for i, entry := range *setting.Value {
			value, err := replace(entry)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name(setting.Block, setting.Word), err)
			}
			values[i] = value
		}
		*setting.Value = values
	}
	resolved.fill()
	return resolved, nil
}

// clone returns a copy of s that can be changed.
func (s *Settings) clone() *Settings {
	c := *s
	if s.Allow != nil {
		allow := *s.Allow
		c.Allow = &allow
	}
	if s.Roles != nil {
		roles := *s.Roles
		c.Roles = &roles
	}
	return &c
}

// fill sets the defaults.
func (s *Settings) fill() {
	for _, setting := range s.Texts() {
		if *setting.Value == "" {
			*setting.Value = setting.fallback
		}
	}
	for _, setting := range s.Lists() {
		if len(*setting.Value) == 0 {
			*setting.Value = setting.fallback
		}
	}
	for _, setting := range s.Spans() {
		if *setting.Value == 0 {
			*setting.Value = setting.fallback
		}
	}
	if method, ok := strings.CutPrefix(s.ClientAuth, "client_secret_"); ok { // as Authelia calls it
		s.ClientAuth = method
	}
}
