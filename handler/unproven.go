package handler

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

const (
	// longIdle is after what time without a check the first navigation waits
	// for one: who was disabled in the night sees nothing in the morning.
	longIdle = time.Hour
	// provenWait is how long it waits at most.
	provenWait = 2 * time.Second
	// renewPause is the least time between two navigations that are sent to the
	// provider to prove a session, so that no browser goes round in circles.
	renewPause = time.Minute
)

// unproven reports whether the tokens of a session no longer speak for it.
func unproven(record *session.Record) bool { return !record.UnprovenSince.IsZero() }

// outlived reports whether a session was unproven for as long as it may be.
func (g *Gate) outlived(record *session.Record) bool {
	return unproven(record) && g.now().Sub(record.UnprovenSince) >= g.Unproven
}

// awaited returns the check that a navigation has to wait for, if any.
func (g *Gate) awaited(v *visit) *check {
	c := v.check.Load()
	if c == nil || c.began.UnixNano()-v.checkedAt.Load() < int64(max(longIdle, g.Recheck)) {
		return nil
	}
	select {
	case <-c.done:
		return nil
	default:
		return c
	}
}

// proveByNavigation makes the user of an unproven session prove it, if r is a
// navigation of theirs: it passes through the provider, which knows them in
// most cases and shows them nothing. It returns false if r is to be answered
// all the same: whoever uses the site does not notice that the provider is away.
func (g *Gate) proveByNavigation(w http.ResponseWriter, r *http.Request, chain Chain, s *session.Session, p string) (bool, error) {
	v := visitOf(s)
	c := g.awaited(v)
	if c == nil && !unproven(s.Record()) || r.Method != http.MethodGet || g.kindOf(r, p) != kindNavigation {
		return false, nil
	}
	if c != nil {
		timer := time.NewTimer(provenWait - g.now().Sub(c.began))
		defer timer.Stop()
		select {
		case <-c.done:
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	target := chain.OriginalURI()
	if s.Ended() {
		http.SetCookie(w, g.cookies.unset(g.cookies.ticket))
		return true, g.startLogin(w, r, chain, target, false)
	}
	if !unproven(s.Record()) || g.localTarget(target) != target { // it must come back to exactly this page
		return false, nil
	}
	now, next := g.now(), v.renewAt.Load()
	if now.UnixNano() < next || !v.renewAt.CompareAndSwap(next, now.Add(renewPause).UnixNano()) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), provenWait)
	defer cancel()
	if !g.RelyingParty.Answers(ctx) {
		return false, nil
	}
	return true, g.startLogin(w, r, chain, target, false)
}

// goesOn reports whether a sign-in that failed because the provider broke down,
// or was not asked for what others did, may end at the page that it was to
// prove all the same: there is a session still. What the provider said of its
// user is no breakdown.
func (g *Gate) goesOn(r *http.Request, err error) bool {
	if !errors.Is(err, flow.ErrProviderUnavailable) && !errors.Is(err, errTooManySignIns) {
		return false
	}
	s, _ := g.session(r)
	if s == nil || !unproven(s.Record()) || g.outlived(s.Record()) {
		return false
	}
	visitOf(s).renewAt.Store(g.now().Add(renewPause).UnixNano())
	return true
}
