package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Userinfo is live, an ID token may be hours old: userinfo wins, but never
// over who it is.
func TestClaimsMerge(t *testing.T) {
	t.Parallel()
	hydrated := func(s *setup) {
		s.client.ClaimsPolicy = []string{"email", "email_verified", "preferred_username", "name", "groups"}
	}
	stale := edits(authelia.Set("email", "old@example.test"), authelia.Set("preferred_username", "old"),
		authelia.Set("name", "Old"), authelia.Set("groups", []string{"old"}))
	for name, row := range map[string]struct {
		idToken  authelia.Edit
		userinfo authelia.Edit
		want     Identity
		fail     error
	}{
		"userinfo wins": {stale, nil, Identity{Username: "alice", Email: "Alice@example.test", Name: "Alice Example", Groups: []string{"romm-admins", "romm users"}}, nil},
		"the ID token fills in": {
			stale, authelia.Without("email", "email_verified", "preferred_username", "name", "groups"),
			Identity{Username: "old", Email: "old@example.test", Name: "Old", Groups: []string{"old"}},
			nil,
		},
		"no groups win over groups":  {stale, authelia.Set("groups", []string{}), Identity{Username: "alice", Email: "Alice@example.test", Name: "Alice Example"}, nil},
		"null wins too":              {stale, authelia.Set("email", nil), Identity{}, ErrEmailMissing},
		"unverified wins too":        {stale, authelia.Set("email_verified", false), Identity{}, ErrEmailUnverified},
		"verified is of one address": {stale, authelia.Without("email_verified"), Identity{}, ErrEmailUnverified},
		"never over iss": {
			nil, authelia.Set("iss", "https://evil.example"),
			Identity{Username: "alice", Email: "Alice@example.test", Name: "Alice Example", Groups: []string{"romm-admins", "romm users"}},
			nil,
		},
		"never over sub": {nil, authelia.Set("sub", "another"), Identity{}, ErrUserinfoInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hydrated)
			w.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.IDToken = row.idToken
				if row.userinfo != nil {
					m.Userinfo = sent(row.userinfo)
				}
			})
			result, err := w.signIn()
			failsAs(t, err, row.fail, "")
			if err != nil {
				return
			}
			got, want := result.Identity, row.want
			if got.Issuer != testIssuer || got.Subject != w.op.Subject("alice") || got.Username != want.Username ||
				got.Email != want.Email || got.Name != want.Name || !slices.Equal(got.Groups, want.Groups) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestOtherClaimNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) { s.config.UsernameClaim, s.config.GroupsClaim = "nickname", "roles" })
	w.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Userinfo = sent(edits(authelia.Set("nickname", "al"), authelia.Set("roles", []string{"r"})))
	})
	result, err := w.signIn()
	if err != nil || result.Identity.Username != "al" || !slices.Equal(result.Identity.Groups, []string{"r"}) {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	many := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprint(i)
		}
		return all
	}
	for name, row := range map[string]struct {
		value any
		want  []string
		fail  string
	}{
		"a list":          {[]string{"a", "b,c", "d e"}, []string{"a", "b,c", "d e"}, ""},
		"empty":           {[]string{}, []string{}, ""},
		"null":            {nil, nil, ""},
		"one name":        {"a,b c", []string{"a,b c"}, ""},
		"500":             {many(500), many(500), ""},
		"501":             {many(501), nil, "more than 500"},
		"a long name":     {[]string{strings.Repeat("g", 256)}, []string{strings.Repeat("g", 256)}, ""},
		"too long a name": {[]string{"a", strings.Repeat("g", 257)}, nil, "longer than 256 bytes"},
		"one of too long": {strings.Repeat("g", 257), nil, "longer than 256 bytes"},
		"numbers":         {[]any{"a", 1}, nil, "not a list of strings"},
		"lists":           {[]any{[]string{"a"}}, nil, "not a list of strings"},
		"an object":       {map[string]any{"a": true}, nil, "not a list of strings"},
		"a number":        {1, nil, "not a list of strings"},
		"true":            {true, nil, "not a list of strings"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("groups", row.value)) })
			result, err := w.signIn()
			if row.fail != "" {
				failsAs(t, err, ErrUserinfoInvalid, row.fail)
				return
			}
			if err != nil || !slices.Equal(result.Identity.Groups, row.want) {
				t.Errorf("got %+v, %v", result, err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Without("groups")) })
		if result, err := w.signIn(); err != nil || result.Identity.Groups != nil {
			t.Errorf("got %+v, %v", result, err)
		}
	})
}

// CVE-2026-40574: an address whose domain two readers see differently lets
// somebody else's people in.
func TestEmail(t *testing.T) {
	t.Parallel()
	local := strings.Repeat("l", emailLimit-len("@example.test"))
	for email, good := range map[string]bool{
		"alice@example.test":       true,
		"Erin.Upper@Example.Test":  true,
		"a+b@localhost":            true,
		local + "@example.test":    true,
		local + "l@example.test":   false,
		"":                         false,
		"alice":                    false,
		"@":                        false,
		"@example.test":            false,
		"alice@":                   false,
		"a@evil@good.com":          false,
		"a@@good.com":              false,
		"\"a@evil\"@good.com":      false,
		"a@evil\uff20good.com":     false,
		"a\uff20evil.com@good.com": false,
		"a\ufe6bevil.com@good.com": false,
		"a @good.com":              false,
		" a@good.com":              false,
		"a@good.com ":              false,
		"a@good.com\n":             false,
		"a@good.com\r\nBcc: b":     false,
		"a@good\t.com":             false,
		"a@good.com\x00":           false,
		"a@good.com\x7f":           false,
		"a@good\u0085.com":         false,
		"a@good\u00a0.com":         false,
		"a@good\u2028.com":         false,
		"a@good\u3000.com":         false,
	} {
		t.Run(fmt.Sprintf("%.40q", email), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("email", email)) })
			result, err := w.signIn()
			if !good {
				failsAs(t, err, ErrEmailMissing, "")
			} else if err != nil || result.Identity.Email != email {
				t.Errorf("got %+v, %v", result, err)
			}
		})
	}
}

// RomM finds accounts by an address as its database compares it, where letters
// of other alphabets, widths and accents fold into plain ones: to somebody else's address.
func TestEmailThatFolds(t *testing.T) {
	t.Parallel()
	for _, email := range []string{
		"bo\u017fs@example.test", "\u212aate@example.test", "j\u00f6rg@example.test", "\uff41lice@example.test", "alice@b\u00fccher.example",
	} {
		w := newWorld(t)
		w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("email", email)) })
		_, err := w.signIn()
		failsAs(t, err, ErrEmailNotASCII, "")
	}
}

func TestRequiredClaims(t *testing.T) {
	t.Parallel()
	set, without := authelia.Set, authelia.Without
	for name, row := range map[string]struct {
		edit authelia.Edit
		want error
	}{
		"email missing, as Authelia has it":  {without("email"), ErrEmailMissing},
		"email null":                         {set("email", nil), ErrEmailMissing},
		"email a list":                       {set("email", []string{"a@b"}), ErrEmailMissing},
		"email an object":                    {set("email", map[string]any{}), ErrEmailMissing},
		"email under another name":           {edits(without("email"), set("Email", "a@b.c")), ErrEmailMissing},
		"email_verified missing":             {without("email_verified"), ErrEmailUnverified},
		"email_verified null":                {set("email_verified", nil), ErrEmailUnverified},
		"email_verified false":               {set("email_verified", false), ErrEmailUnverified},
		"email_verified \"true\"":            {set("email_verified", "true"), ErrEmailUnverified},
		"email_verified 1":                   {set("email_verified", 1), ErrEmailUnverified},
		"email_verified [true]":              {set("email_verified", []bool{true}), ErrEmailUnverified},
		"preferred_username missing":         {without("preferred_username"), ErrUsernameMissing},
		"preferred_username empty":           {set("preferred_username", ""), ErrUsernameMissing},
		"preferred_username null":            {set("preferred_username", nil), ErrUsernameMissing},
		"preferred_username a number":        {set("preferred_username", 7), ErrUsernameMissing},
		"preferred_username of two lines":    {set("preferred_username", "a\nb"), ErrUsernameMissing},
		"preferred_username that clears":     {set("preferred_username", "a\u009b2J"), ErrUsernameMissing},
		"preferred_username of 1 KiB":        {set("preferred_username", strings.Repeat("u", 1<<10)), nil},
		"preferred_username of more":         {set("preferred_username", strings.Repeat("u", 1<<10+1)), ErrUsernameMissing},
		"preferred_username beyond ASCII":    {set("preferred_username", "j\u00f6rg \u2603"), nil},
		"name missing":                       {without("name"), nil},
		"nothing but sub, as for a disabled": {without("email", "email_verified", "preferred_username", "name", "groups"), ErrUsernameMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(row.edit) })
			_, err := w.signIn()
			failsAs(t, err, row.want, "")
		})
	}
}

// A display name is a nicety: one that cannot be shown is left out.
func TestName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Bob \u00dcn\u00efcode, Jr.": "Bob \u00dcn\u00efcode, Jr.", "two\r\nlines": "", "\x1b[31m": "", strings.Repeat("n", 2000): ""} {
		w := newWorld(t)
		w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("name", name)) })
		if result, err := w.signIn(); err != nil || result.Identity.Name != want {
			t.Errorf("%.20q: got %+v, %v", name, result, err)
		}
	}
}
