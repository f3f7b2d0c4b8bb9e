package handler

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

const (
	// sessionsPath is where users see and end their own sessions.
	sessionsPath = Base + "/session"
	// endOthers is what the form sends in place of an id to end all but its own.
	endOthers = "others"
	// endFormLimit bounds that form, in bytes.
	endFormLimit = 1 << 10
	// sessionsTimeout bounds the reading of a user's sessions.
	sessionsTimeout = 10 * time.Second
)

// serveSessions shows a user's own sessions with GET and ends one of them, or
// all others, with POST. Nothing that it shows opens a session.
func (g *Gate) serveSessions(w http.ResponseWriter, r *http.Request, chain Chain) error {
	k := g.kindOf(r, "/") // a page, though its path is one of an API
	if k == kindPrefetch {
		return g.fail(w, r, chain, k, errPrefetch)
	}
	s, err := g.session(r)
	switch {
	case err != nil:
		return g.fail(w, r, chain, k, errStorageUnavailable.Because(err))
	case s == nil && k == kindNavigation:
		return g.startLogin(w, r, chain, sessionsPath, false)
	case s == nil:
		return g.fail(w, r, chain, k, errNotSignedIn)
	case crossOrigin(r, g.origin, false):
		return g.fail(w, r, chain, k, errCrossOrigin)
	}
	identity := &s.Record().Identity
	chain.Identify(identity)
	if !g.Policy.Permits(identity) {
		return g.fail(w, r, chain, k, errNotAllowed.Because(Unfit(identity)))
	}
	if r.Method == http.MethodPost {
		return g.endOwn(w, r, chain, k, s)
	}
	entries, err := g.sessionsOf(r.Context(), identity)
	if err != nil {
		return g.fail(w, r, chain, k, errStorageUnavailable.Because(err))
	}
	if k == kindNavigation {
		sessionsPage(identity, entries, s.ID()).write(w, r)
		return nil
	}
	writeJSON(w, r, http.StatusOK, sessionsAnswer(identity, entries, s.ID()), 0)
	return nil
}

// sessionsOf lists the sessions of identity, once for all who ask at the same time.
func (g *Gate) sessionsOf(ctx context.Context, identity *flow.Identity) ([]session.Entry, error) {
	key := session.UserKey(identity.Issuer, identity.Subject)
	entries, err, _ := g.State.calls.Do("sessions "+key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionsTimeout)
		defer cancel()
		return g.State.Sessions.ListUser(ctx, key)
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // errStorageUnavailable says what happened
	}
	return entries.([]session.Entry), nil //nolint:errcheck // the function above returns nothing else
}

// endOwn ends the session that the form names, or all but s.
func (g *Gate) endOwn(w http.ResponseWriter, r *http.Request, chain Chain, k kind, s *session.Session) error {
	r.Body = http.MaxBytesReader(w, r.Body, endFormLimit)
	_ = r.ParseForm() // what cannot be read names no session
	identity := &s.Record().Identity
	var ids []session.ID
	if which := r.PostForm.Get("end"); which == endOthers {
		entries, err := g.sessionsOf(r.Context(), identity)
		if err != nil {
			return g.fail(w, r, chain, k, errStorageUnavailable.Because(err))
		}
		for _, entry := range entries {
			if entry.ID != s.ID() {
				ids = append(ids, entry.ID)
			}
		}
	} else {
		id, err := session.ParseID(which)
		if err != nil {
			return g.fail(w, r, chain, k, errSessionUnknown)
		}
		if id == s.ID() {
			return g.signOutByBrowser(w, r, chain)
		}
		head, err := g.State.Sessions.Find(r.Context(), id)
		if err != nil {
			return g.fail(w, r, chain, k, errStorageUnavailable.Because(err))
		}
		if head == nil || head.UserKey != session.UserKey(identity.Issuer, identity.Subject) {
			return g.fail(w, r, chain, k, errSessionUnknown) // nor does it say that there is one
		}
		ids = append(ids, id)
	}
	g.endByUser(r, chain, identity, ids)
	redirect(w, http.StatusSeeOther, sessionsPath)
	return nil
}

// endByUser ends sessions of identity that they do not use now.
func (g *Gate) endByUser(r *http.Request, chain Chain, identity *flow.Identity, ids []session.ID) {
	const reason = "ended_by_user"
	ctx := context.WithoutCancel(r.Context())
	for _, id := range ids {
		if err := g.State.Sessions.End(ctx, id, reason); err != nil {
			g.Logger.Warn("storing the end of a session", zap.Error(err)) // it has ended here, and is tried again
		}
		g.Logger.Info("signed out", zap.String("user", identity.Username), zap.String("reason", reason),
			zap.Stringer("session", id), zap.String("client_ip", chain.ClientIP()))
		g.Observe("signed_out", reason)
	}
}

// ownSession is one of a user's sessions, for a script.
type ownSession struct {
	ID       string    `json:"id"`
	This     bool      `json:"this"` // that which asks
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires"`
	Node     string    `json:"node,omitempty"`
}

// ownSessions is who is signed in, and where else, for a script.
type ownSessions struct {
	User     string       `json:"user"`
	Name     string       `json:"name,omitempty"`
	Email    string       `json:"email"`
	Created  time.Time    `json:"created,omitzero"`
	Expires  time.Time    `json:"expires,omitzero"`
	Sessions []ownSession `json:"sessions"`
}

func sessionsAnswer(identity *flow.Identity, entries []session.Entry, this session.ID) ownSessions {
	answer := ownSessions{User: identity.Username, Name: identity.Name, Email: identity.Email, Sessions: make([]ownSession, len(entries))}
	for i, e := range entries {
		answer.Sessions[i] = ownSession{e.ID.String(), e.ID == this, e.Created, e.LastSeen, e.Expires, e.Node}
		if e.ID == this {
			answer.Created, answer.Expires = e.Created, e.Expires
		}
	}
	return answer
}

func sessionsPage(identity *flow.Identity, entries []session.Entry, this session.ID) *page {
	p := &page{
		Status: http.StatusOK, Title: "Where you are signed in",
		Text:     "You are signed in as " + identity.Username + " (" + identity.Email + "). If you do not know one of these, end it.",
		Sessions: make([]sessionRow, 0, len(entries)),
		Links:    []link{{ID: "home", Label: "Back to the site", Href: "/"}},
	}
	for _, e := range entries {
		row := sessionRow{e.ID.String(), e.ID == this, moment(e.Created), moment(e.LastSeen), e.Node}
		if row.This { // first, whatever was signed in since
			p.Sessions = append([]sessionRow{row}, p.Sessions...)
		} else {
			p.Sessions = append(p.Sessions, row)
		}
	}
	if len(entries) > 1 {
		p.Button = &link{ID: "end-others", Label: "End all others", Href: sessionsPath, End: endOthers}
	}
	return p
}

// moment is a time as people read it. The page knows no time zone: it runs no script.
func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }
