// Who may use the site.

package handler

import (
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// Policy says who may use the site. The zero value permits every user whom the
// provider lets through; with entries, users who match no entry are refused.
type Policy struct {
	Groups  []string // exact names
	Emails  []string // compared without regard to ASCII case
	Domains []string // what stands after the "@", exactly, without regard to ASCII case
}

// Empty reports whether the policy has no entries.
func (p *Policy) Empty() bool { return len(p.Groups)+len(p.Emails)+len(p.Domains) == 0 }

// Permits reports whether identity may use the site.
func (p *Policy) Permits(identity *flow.Identity) bool {
	if p.Empty() {
		return true
	}
	for _, group := range identity.Groups {
		if slices.Contains(p.Groups, group) {
			return true
		}
	}
	_, domain, _ := strings.Cut(identity.Email, "@") // of a@evil@good.com it is evil@good.com (CVE-2026-40574)
	equalFold := func(to string) func(string) bool {
		return func(entry string) bool { return strings.EqualFold(entry, to) && isASCII(entry) && isASCII(to) }
	}
	return slices.ContainsFunc(p.Emails, equalFold(identity.Email)) ||
		slices.ContainsFunc(p.Domains, equalFold(domain))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
