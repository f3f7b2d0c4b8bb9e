// The page on which users see and end their own sessions.

package handler

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// sessionsPath is where users see and end their own sessions.
	sessionsPath = request.Base + "/session"
	// endOthers is what the form sends in place of an id to end all but its own.
	endOthers = "others"
	// endFormLimit bounds that form, in bytes.
	endFormLimit = 1 << 10
	// sessionsTimeout bounds the reading of a user's sessions.
	sessionsTimeout = 10 * time.Second
)

// serveSessions shows a user's own sessions with GET and ends one of them, or
// all others, with POST. Nothing that it shows opens a session.
func (h *Handler) serveSessions(in *incoming) error {
	k := in.class()
	if err := in.findSession(); err != nil {
		return h.refuse(in, err)
	}
	if in.session != nil {
		switch alive, err := h.comeBack(in); {
		case !alive:
			in.forgetSession()
		case err != nil:
			return h.refuse(in, err)
		}
	}
	s := in.session
	switch {
	case s == nil && k == request.Navigation:
		return h.startLogin(in, sessionsPath, false)
	case s == nil:
		return h.refuse(in, problem.NotSignedIn)
	case request.CrossOrigin(in.r, h.origin, false):
		return h.refuse(in, problem.CrossOrigin)
	}
	identity := &s.Record().Identity
	if in.r.Method == http.MethodPost {
		return h.endOwn(in, s)
	}
	entries, err := h.sessionsOf(in.r.Context(), identity)
	if err != nil {
		return h.refuse(in, problem.StorageUnavailable.Because(err))
	}
	if k == request.Navigation {
		h.show(in, sessionsPage(identity, entries, s.ID()))
		return nil
	}
	problem.JSON{Status: http.StatusOK, Value: sessionsAnswer(identity, entries, s.ID())}.Write(in.w, in.r)
	return nil
}

// sessionsOf lists the sessions of identity, once for all who ask at the same time.
func (h *Handler) sessionsOf(ctx context.Context, identity *flow.Identity) ([]session.Entry, error) {
	key := session.UserKey(identity.Issuer, identity.Subject)
	entries, err, _ := h.config.Gate.calls.Do("sessions "+key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionsTimeout)
		defer cancel()
		return h.config.Gate.Sessions.ListUser(ctx, key)
	})
	if err != nil {
		return nil, err
	}
	return entries.([]session.Entry), nil //nolint:errcheck // the function above returns nothing else
}

// endOwn ends the session that the form names, or all sessions but s.
func (h *Handler) endOwn(in *incoming, s *session.Session) error {
	r := in.r
	r.Body = http.MaxBytesReader(in.w, r.Body, endFormLimit)
	_ = r.ParseForm() // an unreadable form names no session
	identity := &s.Record().Identity
	var ids []session.ID
	if which := r.PostForm.Get("end"); which == endOthers {
		entries, err := h.sessionsOf(r.Context(), identity)
		if err != nil {
			return h.refuse(in, problem.StorageUnavailable.Because(err))
		}
		for _, entry := range entries {
			if entry.ID != s.ID() {
				ids = append(ids, entry.ID)
			}
		}
	} else {
		id, err := session.ParseID(which)
		if err != nil {
			return h.refuse(in, problem.SessionUnknown)
		}
		if id == s.ID() {
			return h.signOutByBrowser(in)
		}
		head, err := h.config.Gate.Sessions.Find(r.Context(), id)
		if err != nil {
			return h.refuse(in, problem.StorageUnavailable.Because(err))
		}
		if head == nil || head.UserKey != session.UserKey(identity.Issuer, identity.Subject) {
			return h.refuse(in, problem.SessionUnknown) // and does not reveal that it exists
		}
		ids = append(ids, id)
	}
	h.endByUser(in, ids)
	problem.Redirect(in.w, http.StatusSeeOther, sessionsPath)
	return nil
}

// endByUser ends other sessions of the user who asks.
func (h *Handler) endByUser(in *incoming, ids []session.ID) {
	ctx := in.acting(context.WithoutCancel(in.r.Context()))
	for _, id := range ids {
		if err := h.config.Gate.Sessions.End(ctx, id, reasonEndedByUser); err != nil {
			h.config.Logger.Warn(notPersisted, zap.Stringer("session_id", id), zap.Error(err))
		}
	}
}

// ownSession is one of a user's sessions, for a script.
type ownSession struct {
	ID       string    `json:"id"`
	This     bool      `json:"this"` // the session that asks
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires"`
	Browser  string    `json:"browser,omitempty"`
	System   string    `json:"system,omitempty"`
	Address  string    `json:"address,omitempty"` // of the client that signed in
}

// ownSessions is the user and their sessions, for a script.
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
		answer.Sessions[i] = ownSession{
			e.ID.String(), e.ID == this, e.Created, e.LastSeen, e.Expires, e.Client.Browser, e.Client.System, e.Client.Address,
		}
		if e.ID == this {
			answer.Created, answer.Expires = e.Created, e.Expires
		}
	}
	return answer
}

func sessionsPage(identity *flow.Identity, entries []session.Entry, this session.ID) *problem.Page {
	p := &problem.Page{
		Status: http.StatusOK, Title: "Where you are signed in",
		Text: "You are signed in as {user} ({email}). End any session you don't recognize. " +
			"A browser still signed in at {provider} will be signed in here again when it reloads, so sign out of {provider} there too, or change your password.",
		User: identity.Username, Email: identity.Email,
		Sessions: make([]problem.SessionRow, 0, len(entries)),
		Links:    []problem.Link{{ID: "home", Label: "Back to the site", Href: "/"}},
	}
	for _, e := range entries {
		row := problem.SessionRow{
			ID: e.ID.String(), This: e.ID == this, Browser: e.Client.Browser, System: e.Client.System, Address: e.Client.Address,
			Created: e.Created, Seen: e.LastSeen,
		}
		if row.This { // first, whatever was signed in since
			p.Sessions = append([]problem.SessionRow{row}, p.Sessions...)
		} else {
			p.Sessions = append(p.Sessions, row)
		}
	}
	if len(entries) > 1 {
		p.Button = &problem.Link{ID: "end-others", Label: "End all others", Href: sessionsPath, End: endOthers}
	}
	return p
}
