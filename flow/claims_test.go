// Tests of claims and identities.

package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Userinfo is up to date, an ID token may be hours old: userinfo takes
// precedence, except for issuer and subject.
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
		"userinfo takes precedence": {stale, nil, Identity{Username: "alice", Email: "Alice@example.test", Name: "Alice Example", Groups: []string{"romm-admins", "romm users"}}, nil},
		"ID token fills gaps": {
			stale, authelia.Without("email", "email_verified", "preferred_username", "name", "groups"),
			Identity{Username: "old", Email: "old@example.test", Name: "Old", Groups: []string{"old"}},
			nil,
		},
		"empty groups take precedence": {stale, authelia.Set("groups", []string{}), Identity{Username: "alice", Email: "Alice@example.test", Name: "Alice Example"}, nil},
		"null is no value": {
			stale, authelia.Set("email", nil),
			Identity{Username: "alice", Email: "old@example.test", Name: "Alice Example", Groups: []string{"romm-admins", "romm users"}},
			nil,
		},
		"unverified takes precedence":        {stale, authelia.Set("email_verified", false), Identity{}, ErrEmailUnverified},
		"verified is about the same address": {stale, authelia.Without("email_verified"), Identity{}, ErrEmailUnverified},
		"not over iss": {
			nil, authelia.Set("iss", "https://evil.example"),
			Identity{Username: "alice", Email: "Alice@example.test", Name: "Alice Example", Groups: []string{"romm-admins", "romm users"}},
			nil,
		},
		"not over sub": {nil, authelia.Set("sub", "another"), Identity{}, ErrUserinfoInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, hydrated)
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.IDToken = row.idToken
				if row.userinfo != nil {
					m.Userinfo = sent(row.userinfo)
				}
			})
			result, err := h.signIn()
			failsAs(t, err, row.fail, "")
			if err != nil {
				return
			}
			got, want := result.Identity, row.want
			if got.Issuer != testIssuer || got.Subject != h.op.Subject("alice") || got.Username != want.Username ||
				got.Email != want.Email || got.Name != want.Name || !slices.Equal(got.Groups, want.Groups) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestOtherClaimNames(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) { s.config.UsernameClaim, s.config.GroupsClaim = "nickname", "roles" })
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Userinfo = sent(edits(authelia.Set("nickname", "al"), authelia.Set("roles", []string{"r"})))
	})
	result, err := h.signIn()
	if err != nil || result.Identity.Username != "al" || !slices.Equal(result.Identity.Groups, []string{"r"}) {
		t.Errorf("sign-in = %+v, %v, want alice", result, err)
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
	long, ruled := strings.Repeat("g", 257), strings.Repeat("r", 300)
	for name, row := range map[string]struct {
		value any
		want  []string
	}{
		"list":                              {[]string{"a", "b,c", "d e"}, []string{"a", "b,c", "d e"}},
		"empty":                             {[]string{}, []string{}},
		"null":                              {nil, nil},
		"string":                            {"a,b c", []string{"a,b c"}},
		"501":                               {many(501), many(500)},
		"the 501st is in a rule":            {append(many(500), "ruled", "x", "ruled"), append(many(500), "ruled")},
		"entry of 256 bytes":                {[]string{long[1:]}, []string{long[1:]}},
		"entry of 257 bytes":                {[]string{"a", long, "b"}, []string{"a", "b"}},
		"a long entry is in a rule":         {[]string{"a", ruled}, []string{"a", ruled}},
		"string of 257 bytes":               {long, nil},
		"numbers beside a name":             {[]any{1, "a", 2.5}, []string{"a"}},
		"objects, lists and null beside it": {[]any{map[string]any{"name": "ruled"}, []string{"ruled"}, nil, "a", ""}, []string{"a"}},
		"object":                            {map[string]any{"ruled": true}, nil},
		"number":                            {1, nil},
		"true":                              {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.config.RuleGroups = []string{"ruled", ruled} })
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("groups", row.value)) })
			result, err := h.signIn()
			if err != nil || !slices.Equal(result.Identity.Groups, row.want) {
				t.Errorf("sign-in = %+v, %v, want groups %q", result, err, row.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t)
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Without("groups")) })
		if result, err := h.signIn(); err != nil || result.Identity.Groups != nil {
			t.Errorf("sign-in = %+v, %v, want the groups of the named claim", result, err)
		}
	})
}

func TestRequiredClaims(t *testing.T) {
	t.Parallel()
	set, without := authelia.Set, authelia.Without
	for name, row := range map[string]struct {
		edit authelia.Edit
		want error
	}{
		"email missing, as with Authelia":           {without("email"), ErrEmailMissing},
		"email null":                                {set("email", nil), ErrEmailMissing},
		"email a list":                              {set("email", []string{"a@b"}), ErrEmailMissing},
		"email an object":                           {set("email", map[string]any{}), ErrEmailMissing},
		"email under another name":                  {edits(without("email"), set("Email", "a@b.c")), ErrEmailMissing},
		"email_verified missing":                    {without("email_verified"), ErrEmailUnverified},
		"email_verified null":                       {set("email_verified", nil), ErrEmailUnverified},
		"email_verified false":                      {set("email_verified", false), ErrEmailUnverified},
		"email_verified \"true\"":                   {set("email_verified", "true"), ErrEmailUnverified},
		"email_verified 1":                          {set("email_verified", 1), ErrEmailUnverified},
		"email_verified [true]":                     {set("email_verified", []bool{true}), ErrEmailUnverified},
		"preferred_username missing":                {without("preferred_username"), ErrUsernameMissing},
		"preferred_username empty":                  {set("preferred_username", ""), ErrUsernameMissing},
		"preferred_username null":                   {set("preferred_username", nil), ErrUsernameMissing},
		"preferred_username a number":               {set("preferred_username", 7), ErrUsernameMissing},
		"preferred_username with a line feed":       {set("preferred_username", "a\nb"), ErrUsernameMissing},
		"preferred_username with a terminal escape": {set("preferred_username", "a\u009b2J"), ErrUsernameMissing},
		"preferred_username of 1 KiB":               {set("preferred_username", strings.Repeat("u", 1<<10)), nil},
		"preferred_username of 1 KiB + 1":           {set("preferred_username", strings.Repeat("u", 1<<10+1)), ErrUsernameMissing},
		"preferred_username beyond ASCII":           {set("preferred_username", "j\u00f6rg \u2603"), nil},
		"name missing":                              {without("name"), nil},
		"only sub, as for a disabled account":       {without("email", "email_verified", "preferred_username", "name", "groups"), ErrUsernameMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(row.edit) })
			_, err := h.signIn()
			failsAs(t, err, row.want, "")
		})
	}
}

// A display name is optional: an unusable one is left out.
func TestName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Bob \u00dcn\u00efcode, Jr.": "Bob \u00dcn\u00efcode, Jr.", "two\r\nlines": "", "\x1b[31m": "", strings.Repeat("n", 2000): ""} {
		h := newHarness(t)
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("name", name)) })
		if result, err := h.signIn(); err != nil || result.Identity.Name != want {
			t.Errorf("%.20q: sign-in = %+v, %v, want one without a display name", name, result, err)
		}
	}
}
