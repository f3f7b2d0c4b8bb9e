// /romm_oidc/sessions: lists and ends sessions.

package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// SessionsPath is where GET lists the sessions. DELETE ends all sessions of the
// user in the parameter user, or with all=true all sessions. DELETE of
// SessionsPath/{id} ends one session.
const SessionsPath = "/romm_oidc/sessions"

// Session is a session as the operator sees it.
type Session struct {
	Gate     string    `json:"gate"`
	ID       string    `json:"id"`
	User     string    `json:"user"` // the user name at the provider
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires"`
	Node     string    `json:"node,omitempty"` // where the user signed in
}

// Ended is what ended at a gate.
type Ended struct {
	Gate   string `json:"gate"`
	Ended  int    `json:"ended"`                   // sessions
	Tokens int    `json:"access_tokens,omitempty"` // access tokens of the provider that this node knew
}

func listSessions(ctx context.Context, r *http.Request) (any, error) {
	gates, _, err := parse(r)
	if err != nil {
		return nil, err
	}
	all := []Session{}
	for _, gate := range gates {
		entries, err := gate.Sessions().List(ctx)
		if err != nil {
			return nil, unavailable(gate, err)
		}
		for _, e := range entries {
			all = append(all, Session{
				Gate: gate.ID(), ID: e.ID.String(), User: e.User,
				Created: e.Created, LastSeen: e.LastSeen, Expires: e.Expires, Node: e.Node,
			})
		}
	}
	return all, nil
}

// endSession ends one session.
func endSession(ctx context.Context, r *http.Request) (any, error) {
	gates, _, err := parse(r)
	if err != nil {
		return nil, err
	}
	id, err := session.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%w", err)
	}
	var away error
	for _, gate := range gates {
		head, err := gate.Sessions().Find(ctx, id)
		switch {
		case err != nil:
			away = unavailable(gate, err)
		case head != nil:
			err = gate.Sessions().End(ctx, id, reason)
			n := Ended{Gate: gate.ID(), Ended: 1}
			return []Ended{n}, ended(gate, n, err, zap.String("user", head.User), zap.Stringer("session_id", id))
		}
	}
	if away != nil {
		return nil, away
	}
	return nil, refuse(http.StatusNotFound, "no session has the id %s", id)
}

// endSessions ends all sessions and access tokens of a user, or of all users.
// Without a parameter it ends none.
func endSessions(ctx context.Context, r *http.Request) (any, error) {
	gates, values, err := parse(r, "user", "all")
	if err != nil {
		return nil, err
	}
	user, all := values["user"], values["all"]
	if (user == "") == (all != "true") {
		return nil, refuse(http.StatusBadRequest, "which sessions? Write %s/<id>, %s?user=<name, e-mail address or subject>, or %s?all=true",
			SessionsPath, SessionsPath, SessionsPath)
	}
	var (
		response = make([]Ended, 0, len(gates))
		errs     []error
		found    bool
	)
	for _, gate := range gates {
		n, known := Ended{Gate: gate.ID()}, false
		if user == "" {
			err = endAll(ctx, gate, &n)
		} else {
			known, err = endUser(ctx, gate, user, &n)
		}
		errs = append(errs, ended(gate, n, err, zap.String("user", user)))
		response = append(response, n)
		found = found || known || n.Ended+n.Tokens > 0
	}
	for _, err := range errs { // after every gate was tried
		if err != nil {
			return nil, err
		}
	}
	if user != "" && !found {
		return nil, refuse(http.StatusNotFound, "no session is of %q: no signed-in user has this user name or subject at the provider, or this user name or e-mail address in RomM", user)
	}
	return response, nil
}

func endAll(ctx context.Context, gate Gate, n *Ended) (err error) {
	var failed error
	n.Ended, err = gate.Sessions().EndAll(ctx, reason)
	n.Tokens, failed = gate.EndAllTokens(ctx, reason)
	return errors.Join(err, failed)
}

// endUser ends the sessions and access tokens of a user, given by their user
// name or subject at the provider, or their user name or e-mail address in RomM.
// If the links cannot be read, it still ends those that it finds without them.
// known says that a link has this user: other nodes may know access tokens of
// theirs that this one does not, and end them too.
func endUser(ctx context.Context, gate Gate, user string, n *Ended) (known bool, err error) {
	var keys []string
	links, unread := gate.Links().List(ctx)
	for _, link := range links {
		if link.Username == user || link.Subject == user || strings.EqualFold(link.Email, user) {
			keys = append(keys, session.UserKey(link.Issuer, link.Subject))
		}
	}
	var failed error
	n.Tokens, failed = gate.EndTokens(ctx, keys, func(identity *flow.Identity) bool {
		return identity.Username == user || identity.Subject == user || strings.EqualFold(identity.Email, user)
	}, reason)
	known = len(keys) > 0
	n.Ended, err = gate.Sessions().EndNamed(ctx, user, append(keys, session.UserKey(gate.Issuer(), user)), reason)
	return known, errors.Join(unread, err, failed)
}
