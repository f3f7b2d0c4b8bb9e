// Tests of claims and identities.

package flow

import (
	"errors"
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

// CVE-2026-40574: an attacker has an address whose domain two parsers read
// differently, and signs in as a user of that domain.
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
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("email", email)) })
			result, err := h.signIn()
			if !good {
				failsAs(t, err, ErrEmailMissing, "")
			} else if err != nil || result.Identity.Email != email {
				t.Errorf("sign-in = %+v, %v, want the address %q", result, err, email)
			}
		})
	}
}

// RomM finds accounts by e-mail address, and its database treats letters of
// other alphabets, widths and accents as plain ones: as another user's address.
func TestEmailThatFolds(t *testing.T) {
	t.Parallel()
	for _, email := range []string{
		"bo\u017fs@example.test", "\u212aate@example.test", "j\u00f6rg@example.test", "\uff41lice@example.test", "alice@b\u00fccher.example",
	} {
		h := newHarness(t)
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("email", email)) })
		_, err := h.signIn()
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

// An address in another form than a string is not reported as missing.
func TestEmailInAnotherForm(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		value any
		came  string
	}{
		"list":             {[]string{"alice@example.test"}, "is a list of 1, not a string"},
		"empty list":       {[]string{}, "is a list of 0, not a string"},
		"list in a string": {`["alice@example.test"]`, "is a list in a string, not one address"},
		"two in a string":  {"alice@example.test, a@example.test", "is a list in a string, not one address"},
		"padded":           {" alice@example.test\n", "has white space around the address"},
		"object":           {map[string]any{"value": "alice@example.test"}, "is neither a string nor a list"},
		"true":             {true, "is neither a string nor a list"},
		"empty":            {"", "is empty"},
		"spaces":           {"  ", "is white space"},
		"a name":           {"alice", "has no @"},
		"too long":         {strings.Repeat("a", 300) + "@example.test", "is longer than 254 bytes"},
		"far too long":     {strings.Repeat("a", 3000) + "@example.test", "is longer than 254 bytes"},
		"half":             {"alice@", "is not an address"},
		"missing":          {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(authelia.Set("email", row.value)) })
			_, err := h.signIn()
			failsAs(t, err, ErrEmailMissing, row.came)
			if email, ok := errors.AsType[*EmailError](err); ok != (row.came != "") || ok && strings.Contains(email.Error(), "alice") {
				t.Errorf("sign-in = %v, want an EmailError that does not quote the address: %v", err, row.came != "")
			}
		})
	}
}

// A user claims another user's address, which the provider has not verified.
// Where the operator lets them in, neither rules nor RomM see that address.
func TestUnverifiedAddressIsPinned(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) { s.config.PinUnverified = true })
	verified := true
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Userinfo = func(claims map[string]any) any { claims["email_verified"] = verified; return claims }
	})
	verified = false
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	pinned := pinnedAddress(testIssuer, result.Identity.Subject)
	if result.Identity.Email != pinned || !isEmail(pinned) || !strings.HasSuffix(pinned, "@unverified.invalid") {
		t.Errorf("an unverified address became %q, want %q", result.Identity.Email, pinned)
	}
	if other := pinnedAddress(testIssuer, "another"); other == pinned {
		t.Error("two subjects have the same address")
	}
	// Once it is verified it counts, and no longer when the provider takes that back.
	for _, verified = range []bool{true, false} {
		identity, err := h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
		if err != nil {
			t.Fatal(err)
		}
		if got := identity.Email == "Alice@example.test"; got != verified || !verified && identity.Email != pinned {
			t.Errorf("verified %t: the address is %q", verified, identity.Email)
		}
		result.Identity = *identity
	}
	// What is no address at all stays refused.
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Userinfo = func(claims map[string]any) any { delete(claims, "email"); return claims }
	})
	_, err = h.signIn()
	failsAs(t, err, ErrEmailMissing, "")
}
