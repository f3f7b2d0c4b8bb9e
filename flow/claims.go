// Claims: from ID token and userinfo to an Identity.

package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"unicode"
)

const (
	claimLimit  = 1 << 10 // bytes in a string
	groupsLimit = 500     // entries in a list
	groupLimit  = 256     // bytes in an entry
	emailLimit  = 254     // bytes (https://datatracker.ietf.org/doc/html/rfc5321#section-4.5.3.1.3, without the brackets)
)

// claims are the undecoded claims by name.
type claims map[string]json.RawMessage

// has reports whether a claim is present and not null.
func (c claims) has(name string) bool { return len(c[name]) > 0 && string(c[name]) != "null" }

// text returns a string claim, or "" if it is missing, longer than claimLimit or
// of another type.
func (c claims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil || len(s) > claimLimit {
		return ""
	}
	return s
}

// list returns a claim that is a list of strings or a single string, within the limits.
func (c claims) list(name string) ([]string, error) {
	raw := c[name]
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var all []string
	var one string
	if json.Unmarshal(raw, &one) == nil {
		all = []string{one}
	} else if json.Unmarshal(raw, &all) != nil {
		return nil, fmt.Errorf("%w: %s is not a list of strings", ErrUserinfoInvalid, name)
	}
	if len(all) > groupsLimit {
		return nil, fmt.Errorf("%w: %s has more than %d entries", ErrUserinfoInvalid, name, groupsLimit)
	}
	for _, entry := range all {
		if len(entry) > groupLimit {
			return nil, fmt.Errorf("%w: an entry of %s is longer than %d bytes", ErrUserinfoInvalid, name, groupLimit)
		}
	}
	return all, nil
}

// identity merges userinfo into the ID token's claims, with userinfo taking
// precedence, and checks what a sign-in needs. Issuer and subject come from the
// verified ID token alone.
func (rp *RelyingParty) identity(token *idTokenClaims, userinfo claims) (*Identity, error) {
	merged := make(claims, len(token.all)+len(userinfo))
	maps.Copy(merged, token.all)
	maps.Copy(merged, userinfo)
	if _, ok := userinfo["email"]; ok { // the ID token's email_verified is about the ID token's address
		merged["email_verified"] = userinfo["email_verified"]
	}
	groups, err := merged.list(rp.config.GroupsClaim)
	if err != nil {
		return nil, err
	}
	identity := &Identity{
		Issuer: rp.config.Issuer, Subject: token.subject, AuthTime: int64(token.AuthTime),
		Username: merged.text(rp.config.UsernameClaim), Email: merged.text("email"), Name: merged.text("name"), Groups: groups,
		Unnamed: !userinfo.has(rp.config.UsernameClaim),
	}
	var verified bool
	switch {
	case identity.Username == "" || !clean(identity.Username):
		return nil, ErrUsernameMissing
	case !isEmail(identity.Email):
		return nil, ErrEmailMissing
	case strings.ContainsFunc(identity.Email, func(c rune) bool { return c > unicode.MaxASCII }):
		// RomM's database ignores case, accent and width in comparisons: such an
		// address could find another user's account.
		return nil, ErrEmailNotASCII
	case json.Unmarshal(merged["email_verified"], &verified) != nil || !verified:
		return nil, ErrEmailUnverified // the string "true" is not true
	}
	if !clean(identity.Name) {
		identity.Name = ""
	}
	return identity, nil
}

// isEmail reports whether s is an address in exactly one domain
// (CVE-2026-40574): exactly one "@" with text on both sides, no character that
// may be normalized to another "@", no white space.
func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") && len(s) <= emailLimit &&
		clean(s) && !strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || c == '\ufe6b' || c == '\uff20' })
}

// clean reports whether s is free of control characters.
func clean(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || 0x7f <= c && c < 0xa0 })
}
