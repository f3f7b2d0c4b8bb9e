// Claims: from ID token and userinfo to an Identity.

package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

const (
	groupsLimit = 500 // entries in a list
	groupLimit  = 256 // bytes in an entry
	emailLimit  = 254 // bytes (https://datatracker.ietf.org/doc/html/rfc5321#section-4.5.3.1.3, without the brackets)
)

// groups returns the names in a claim that lists groups. It skips what is not a
// name, and bounds the rest: names that are too long and names beyond the limit
// are kept only if the operator's rules contain them, so that no limit decides
// against a rule.
func (c claims) groups(name string, ruled []string) []string {
	var names []string
	for _, group := range c.strings(name) {
		if group == "" {
			continue
		}
		if len(group) > groupLimit || len(names) >= groupsLimit {
			if !slices.Contains(ruled, group) || slices.Contains(names, group) {
				continue
			}
		}
		names = append(names, group)
	}
	return names
}

// emailError returns why the claim email is not one address.
func (c claims) emailError() error {
	if !c.has("email") {
		return ErrEmailMissing
	}
	var list []json.RawMessage
	var s string
	switch raw := c["email"]; {
	case json.Unmarshal(raw, &list) == nil:
		return &EmailError{fmt.Sprintf("is a list of %d, not a string", len(list))}
	case json.Unmarshal(raw, &s) != nil:
		return &EmailError{"is neither a string nor a list"}
	}
	switch {
	case s == "":
		return &EmailError{"is empty"}
	case strings.TrimSpace(s) == "":
		return &EmailError{"is white space"}
	case strings.ContainsAny(s, emailSeparators) || strings.Count(s, "@") > 1:
		return &EmailError{"is a list in a string, not one address"}
	case strings.TrimSpace(s) != s:
		return &EmailError{"has white space around the address"}
	case len(s) > emailLimit:
		return &EmailError{fmt.Sprintf("is longer than %d bytes", emailLimit)}
	case !strings.Contains(s, "@"):
		return &EmailError{"has no @"}
	}
	return &EmailError{"is not an address"}
}

// The claims of an Identity, as Identity.FromIDToken lists them.
const (
	claimUsername = "username"
	claimEmail    = "email"
	claimName     = "name"
	claimGroups   = "groups"
)

// evidence is what the provider says about a user.
type evidence struct {
	token    *idTokenClaims
	userinfo claims
	known    *Identity // of the session that is re-checked; nil at a sign-in
	unnamed  []string  // filled by source: claims that userinfo has never named
}

// source returns the claims that decide on a claim: userinfo, where it has the
// claim; nothing, where userinfo had it before and has it no longer; else the ID
// token. A null is no value (OIDC Core 1.0 section 5.3.2: claims without a value
// are left out).
func (e *evidence) source(claim, name string) claims {
	switch {
	case e.userinfo.has(name):
		return e.userinfo
	case e.known != nil && !slices.Contains(e.known.FromIDToken, claim):
		return nil
	}
	e.unnamed = append(e.unnamed, claim)
	return e.token.all
}

// kept reports whether a claim keeps the value that the session has: userinfo
// has never named it, and the latest ID token does not.
func (e *evidence) kept(claim, name string) bool {
	return e.known != nil && slices.Contains(e.unnamed, claim) && !e.token.all.has(name)
}

// text returns the value of a claim that is a string. known is the session's value.
func (e *evidence) text(claim, name string, known func(*Identity) string) string {
	source := e.source(claim, name)
	if e.kept(claim, name) {
		return known(e.known)
	}
	return source.text(name)
}

// verified reports whether the address that came from userinfo or the ID token
// is verified. email_verified is about the address beside it, but userinfo,
// which is up to date, may always deny it.
func (e *evidence) verified(email claims) bool {
	yes := func(c claims) bool {
		var verified bool
		return json.Unmarshal(c["email_verified"], &verified) == nil && verified // the string "true" is not true
	}
	switch {
	case e.userinfo.has("email_verified") && !yes(e.userinfo):
		return false
	case e.kept(claimEmail, "email") || yes(email):
		return true
	}
	_, says := email["email_verified"]
	return !says && !e.userinfo.has("email") && yes(e.userinfo)
}

// identity returns the user that e describes, and checks what a sign-in needs.
// Issuer and subject come from the verified ID token alone.
func (rp *RelyingParty) identity(e *evidence) (*Identity, error) {
	identity := &Identity{
		Issuer: rp.config.Issuer, Subject: e.token.subject, AuthTime: int64(e.token.AuthTime), Said: rp.config.Now().UnixMilli(),
		Username: e.text(claimUsername, rp.config.UsernameClaim, func(known *Identity) string { return known.Username }),
		Name:     e.text(claimName, "name", func(known *Identity) string { return known.Name }),
	}
	groups := e.source(claimGroups, rp.config.GroupsClaim).groups(rp.config.GroupsClaim, rp.config.RuleGroups)
	if e.kept(claimGroups, rp.config.GroupsClaim) {
		groups = e.known.Groups
	}
	email := e.source(claimEmail, "email")
	identity.Groups, identity.Email, identity.FromIDToken = groups, email.text("email"), e.unnamed
	if e.kept(claimEmail, "email") {
		identity.Email = e.known.Email
	}
	switch {
	case identity.Username == "" || !clean(identity.Username):
		return nil, ErrUsernameMissing
	case !isEmail(identity.Email):
		return nil, email.emailError()
	case strings.ContainsFunc(identity.Email, func(c rune) bool { return c > unicode.MaxASCII }):
		// RomM's database ignores case, accent and width in comparisons: such an
		// address could find another user's account.
		return nil, ErrEmailNotASCII
	case !e.verified(email) && rp.config.PinUnverified:
		identity.Email = pinnedAddress(identity.Issuer, identity.Subject)
	case !e.verified(email):
		return nil, ErrEmailUnverified
	}
	if !clean(identity.Name) {
		identity.Name = ""
	}
	return identity, nil
}

// pinnedAddress returns what stands in for an address that is not verified. Only
// this subject has it, and it is no mailbox: no host name ends in .invalid
// (https://datatracker.ietf.org/doc/html/rfc6761#section-6.4). So neither a rule
// nor RomM takes the user for the owner of an address that they only claim.
func pinnedAddress(issuer, subject string) string {
	sum := sha256.Sum256([]byte(issuer + "\n" + subject))
	return hex.EncodeToString(sum[:16]) + "@unverified.invalid"
}

// emailSeparators are what surrounds and separates the addresses of a list in a
// string. An address has them in quotes only, which no provider sends.
const emailSeparators = `",;<>[]{}`

// isEmail reports whether s is an address in exactly one domain
// (CVE-2026-40574): exactly one "@" with text on both sides, no character that
// may be normalized to another "@", no separator of a list, no white space.
func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") && len(s) <= emailLimit &&
		clean(s) && !strings.ContainsAny(s, emailSeparators) &&
		!strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || c == '\ufe6b' || c == '\uff20' })
}

// clean reports whether s is free of control characters.
func clean(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || 0x7f <= c && c < 0xa0 })
}
