// The table has every setting, and resolving them leaves the operator's own alone.

package settings

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// words returns the JSON words of the fields of t, with those of its structs.
func words(t reflect.Type, block string) (all []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for field := range t.Fields() {
		word, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if slices.Contains(Blocks(), word) {
			all = append(all, words(field.Type, word)...)
		} else {
			all = append(all, name(block, word))
		}
	}
	return all
}

// A field that the table lacks could not be written in a Caddyfile, and its
// placeholders would stay as they are.
func TestTableHasEverySetting(t *testing.T) {
	t.Parallel()
	s := &Settings{Allow: new(handler.Policy), Roles: new(romm.Roles)}
	table := map[string]any{}
	for _, setting := range s.Texts() {
		table[setting.Word] = setting.Value
	}
	for _, setting := range s.Lists() {
		table[name(setting.Block, setting.Word)] = setting.Value
	}
	for _, setting := range s.Spans() {
		table[name(setting.Block, setting.Word)] = setting.Value
	}
	for _, setting := range s.Flags() {
		table[setting.Word] = setting.Value
	}
	got, want := slices.Sorted(maps.Keys(table)), words(reflect.TypeFor[Settings](), "")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the table has the words\n%q, the fields have\n%q", got, want)
	}
	// Each word is that of the field that its row points to.
	for word, value := range table {
		one := &Settings{Allow: new(handler.Policy), Roles: new(romm.Roles)}
		set(one, word)
		encoded, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		_, last, inBlock := strings.Cut(word, ": ")
		if !inBlock {
			last = word
		}
		if !strings.Contains(string(encoded), `"`+last+`":`) {
			t.Errorf("the row %q of type %T sets another field: %s", word, value, encoded)
		}
	}
}

// set stores a value through the row called word.
func set(s *Settings, word string) {
	for _, setting := range s.Texts() {
		if setting.Word == word {
			*setting.Value = "x"
		}
	}
	for _, setting := range s.Lists() {
		if name(setting.Block, setting.Word) == word {
			*setting.Value = []string{"x"}
		}
	}
	for _, setting := range s.Spans() {
		if name(setting.Block, setting.Word) == word {
			*setting.Value = 1
		}
	}
	for _, setting := range s.Flags() {
		if setting.Word == word {
			*setting.Value = true
		}
	}
}

// Caddy's admin API shows the configuration as it was written: a secret that
// replaced a placeholder there would be readable.
func TestResolveLeavesSecretsOutOfTheConfiguration(t *testing.T) {
	t.Parallel()
	written := func() *Settings {
		return &Settings{
			ClientSecret: "{secret}", Scopes: []string{"{secret}"},
			Allow: &handler.Policy{Emails: []string{"{secret}"}}, Roles: &romm.Roles{User: []string{"{secret}"}},
		}
	}
	s := written()
	resolved, err := s.Resolve(func(text string) (string, error) { return strings.ReplaceAll(text, "{secret}", "hunter2"), nil })
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, written()) {
		t.Errorf("Resolve changed its receiver: %+v", s)
	}
	if resolved.ClientSecret != "hunter2" || resolved.RommClientSecret != "hunter2" || resolved.Scopes[0] != "hunter2" ||
		resolved.Allow.Emails[0] != "hunter2" || resolved.Roles.User[0] != "hunter2" {
		t.Errorf("got %+v, want every placeholder replaced", resolved)
	}
}

func TestResolveNamesTheSetting(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]*Settings{
		"client_secret: unset": {ClientSecret: "{x}"},
		"scopes: unset":        {Scopes: []string{"{x}"}},
		"allow: emails: unset": {Allow: &handler.Policy{Emails: []string{"{x}"}}},
		"roles: admin: unset":  {Roles: &romm.Roles{Admin: []string{"{x}"}}},
	} {
		if _, err := s.Resolve(func(string) (string, error) { return "", errors.New("unset") }); err == nil || err.Error() != want {
			t.Errorf("got error %v, want %q", err, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s, err := (&Settings{Issuer: "https://auth.example.com:8443/x", ClientSecret: "s"}).Resolve(func(text string) (string, error) { return text, nil })
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Issuer: s.Issuer, ClientSecret: "s", RommClientSecret: "s", ClientAuth: "basic", RommIDTokenAlg: "ES256", IDTokenAlg: "RS256", UserinfoAlg: "none", ResponseMode: "query", UnverifiedEmail: "refuse",
		UsernameClaim: "preferred_username", GroupsClaim: "groups", Provider: "auth.example.com", SiteName: "RomM",
		Scopes: []string{"openid", "profile", "email"}, Clients: s.Clients, Rotate: Duration(90 * day),
		Session: Session{Idle: Duration(14 * day), Lifetime: Duration(30 * day), Recheck: Duration(5 * time.Minute), Unproven: Duration(day)},
	}
	if len(s.Clients) != 0 || !reflect.DeepEqual(*s, want) {
		t.Errorf("got %+v, want %+v", *s, want)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]time.Duration{
		`"14d"`: 14 * day, `"1.5d"`: 36 * time.Hour, `"1d12h30m"`: 36*time.Hour + 30*time.Minute,
		`"-1h"`: -time.Hour, `60000000000`: time.Minute, `null`: 0,
	} {
		var d Duration
		if err := json.Unmarshal([]byte(input), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %v, error %v, want %v", input, time.Duration(d), err, want)
		}
	}
	for _, input := range []string{`"d"`, `"two weeks"`, `""`, `"1..d"`, `1.5`, `{}`} {
		if err := json.Unmarshal([]byte(input), new(Duration)); err == nil {
			t.Errorf("%s is accepted, want an error", input)
		}
	}
	if encoded, err := json.Marshal(Duration(time.Minute)); err != nil || string(encoded) != "60000000000" {
		t.Errorf("one minute is %s, error %v, want nanoseconds as Caddy's durations have", encoded, err)
	}
	for d, want := range map[time.Duration]string{14 * day: "14d", 36 * time.Hour: "36h", 90 * time.Minute: "90m", time.Second: "1s"} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}
