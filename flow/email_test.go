// The e-mail address among the claims.

package flow

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

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
