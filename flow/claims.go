package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"unicode"
)

const (
	claimLimit  = 1 << 10 // of a string, in bytes
	groupsLimit = 500     // of a list
	groupLimit  = 256     // of a group's name, in bytes
	emailLimit  = 254     // RFC 5321 section 4.5.3.1.3, less the brackets
)

// claims are undecoded, by name.
type claims map[string]json.RawMessage

// has reports whether a claim is there, whatever it is.
func (c claims) has(name string) bool { return len(c[name]) > 0 && string(c[name]) != "null" }

// text returns a claim that is a string of bounded length, else "".
func (c claims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil || len(s) > claimLimit {
		return ""
	}
	return s
}

// list returns a claim that is a list of strings, or one string, of bounded length.
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
		return nil, fmt.Errorf("%w: %s is no list of names", ErrUserinfoInvalid, name)
	}
	if len(all) > groupsLimit {
		return nil, fmt.Errorf("%w: %s has more than %d entries", ErrUserinfoInvalid, name, groupsLimit)
	}
	for _, entry := range all {
		if len(entry) > groupLimit {
			return nil, fmt.Errorf("%w: an entry of %s is too long", ErrUserinfoInvalid, name)
		}
	}
	return all, nil
}

// identity merges userinfo over the ID token's claims and checks what a
// sign-in needs. Who it is, issuer and subject, comes from the verified ID token alone.
func (rp *RelyingParty) identity(token *idTokenClaims, userinfo claims) (*Identity, error) {
	merged := make(claims, len(token.all)+len(userinfo))
	maps.Copy(merged, token.all)
	maps.Copy(merged, userinfo)
	if _, ok := userinfo["email"]; ok { // what verified one address says nothing of another
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
		// RomM's database takes letters for one that differ by case, accent or
		// width: such an address finds the account of another.
		return nil, ErrEmailNotASCII
	case json.Unmarshal(merged["email_verified"], &verified) != nil || !verified:
		return nil, ErrEmailUnverified // a string "true" is not true
	}
	if !clean(identity.Name) {
		identity.Name = ""
	}
	return identity, nil
}

// isEmail reports whether s can be an address that belongs to one domain
// (CVE-2026-40574): exactly one "@", nothing that may be normalised to
// another, something on both sides, no white space.
func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") && len(s) <= emailLimit &&
		clean(s) && !strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || c == '\ufe6b' || c == '\uff20' })
}

// clean reports whether s holds no control character.
func clean(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || 0x7f <= c && c < 0xa0 })
}
