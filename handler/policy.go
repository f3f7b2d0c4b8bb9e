// The policy: which of the provider's users may use the site.

package handler

import (
	"slices"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// Policy says who may use the site: users who match at least one entry. The
// zero value has no entries and admits every user that the provider signs in.
type Policy struct {
	// Names of groups, compared exactly.
	Groups []string `json:"groups,omitempty"`

	// E-mail addresses, compared without regard to ASCII case.
	Emails []string `json:"emails,omitempty"`

	// Domains of e-mail addresses: what follows the "@". A subdomain needs an
	// entry of its own.
	Domains []string `json:"domains,omitempty"`
}

// Empty reports whether the policy has no entries.
func (p *Policy) Empty() bool { return len(p.Groups)+len(p.Emails)+len(p.Domains) == 0 }

// judge returns what the policy and the application's rules say about record.
func (h *Handler) judge(record *session.Record) (v verdict) {
	if h.lacksScope(record) {
		v.refused = h.refusedWhateverGroups(&record.Identity)
		v.lacksScope = v.refused == nil
		return v
	}
	role, refused := h.applyRules(&record.Identity)
	v.refused, v.role = refused, refused == nil && role != "" && role != record.Upstream.Role
	return v
}

// letsNewerIn reports whether this node has another session of the user of s, with
// newer claims that the rules let in. A session that no check has reached for a while
// then says nothing about its user.
func (h *Handler) letsNewerIn(s *session.Session, record *session.Record) bool {
	than, found := h.saidAt(s, record), false
	h.config.Gate.Sessions.Each(func(other *session.Session) {
		theirs := other.Record()
		if found || other == s || other.Ended() || !sameUser(&theirs.Identity, &record.Identity) || !h.saidAt(other, theirs).After(than) {
			return
		}
		verdict := h.judge(theirs)
		found = verdict.refused == nil && !verdict.lacksScope
	})
	return found
}

// saidAt is when the provider said, or said again, what record has.
func (h *Handler) saidAt(s *session.Session, record *session.Record) time.Time {
	said := time.UnixMilli(record.Identity.Said)
	if checked := runtimeOf(s).checkedAt.Load(); checked != 0 {
		now := h.now()
		if at := now.Add(-time.Duration(monotonic.Nanoseconds(now) - checked)); at.After(said) {
			return at
		}
	}
	return said
}

// applyRules returns the role that identity has in the application, empty if
// that is left alone, or why the operator's rules do not let identity in.
// Sign-ins, re-checks and requests go by it alike.
func (h *Handler) applyRules(identity *flow.Identity) (role string, refused error) {
	if !h.config.Policy.Permits(identity) {
		return "", problem.NotAllowed.Because(problem.NoEntryFits(identity)).About(identity)
	}
	role, err := h.config.Application.Role(identity)
	if err != nil {
		return "", problem.Of(err).About(identity)
	}
	return role, nil
}

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
	return slices.ContainsFunc(p.Emails, func(email string) bool { return flow.EqualFoldASCII(email, identity.Email) }) ||
		slices.ContainsFunc(p.Domains, func(entry string) bool { return flow.EqualFoldASCII(entry, domain) })
}

// refusedWhateverGroups returns why the policy does not let identity in, whichever
// groups it has.
func (h *Handler) refusedWhateverGroups(identity *flow.Identity) error {
	if len(h.config.Policy.Groups) > 0 || h.config.Policy.Permits(identity) {
		return nil
	}
	return problem.NotAllowed.Because(problem.NoEntryFits(identity)).About(identity)
}

// lacksScope reports whether the operator's rules cannot be applied to a session
// yet: they name groups, and its sign-in did not ask for a scope that a sign-in
// would ask for now. A user must not be refused for groups that the provider was
// never asked for.
func (h *Handler) lacksScope(record *session.Record) bool {
	return h.config.GroupRules && h.config.RelyingParty.LacksScope(record.Tokens)
}
