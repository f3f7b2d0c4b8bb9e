// The proof of a session: until when its tokens speak for it, and what follows
// when they no longer do. The whole table is in docs/architecture.md.

package handler

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
)

// withdrawnLeeway is how long before the end of an access token its refusal
// still counts as that end.
const withdrawnLeeway = 10 * time.Second

// unprovenSince returns since when the tokens of a session no longer speak for
// it, the zero time while they do. An access token that cannot be refreshed
// needs no check to show that it has expired.
func (h *Handler) unprovenSince(record *session.Record) time.Time {
	return unprovenSince(record, h.now())
}

func unprovenSince(record *session.Record, now time.Time) time.Time {
	switch expires := record.Tokens.Expires; {
	case !record.UnprovenSince.IsZero():
		return record.UnprovenSince
	case record.Tokens.Refresh == "" && !expires.IsZero() && !now.Before(expires):
		return expires
	}
	return time.Time{}
}

// unproven reports whether the tokens of a session no longer speak for it.
func (h *Handler) unproven(record *session.Record) bool { return !h.unprovenSince(record).IsZero() }

// outlived reports whether a session was unproven for as long as it may be.
func (h *Handler) outlived(record *session.Record) bool {
	since := h.unprovenSince(record)
	return !since.IsZero() && h.now().Sub(since) >= h.config.Unproven
}

// noteUnproven makes a record unproven since a moment.
func (h *Handler) noteUnproven(s *session.Session, record *session.Record, since time.Time, cause error) {
	record.UnprovenSince = since.UTC()
	h.config.Observe(event.UnprovenSessions, "")
	h.config.Logger.Info("session unproven: its tokens expired or were rejected, the user's next page view passes through the provider", zap.String("user", record.Identity.Username),
		zap.Stringer("session_id", s.ID()), zap.NamedError("cause", cause))
}

// loseProof makes s unproven since a moment, unless it is already, or no longer
// has the tokens that the caller has seen.
func (h *Handler) loseProof(ctx context.Context, s *session.Session, seen flow.Tokens, since time.Time) error {
	err := h.config.Gate.Sessions.Update(ctx, s, func(record *session.Record) {
		if record.UnprovenSince.IsZero() && record.Tokens.Access == seen.Access {
			h.noteUnproven(s, record, since, flow.ErrTokensEnded)
		}
	})
	if err != nil && !h.unproven(s.Record()) {
		return err
	}
	return nil
}

// withdraw follows up on an access token that the provider refuses while there
// is no way to refresh it. Before its time, the provider has withdrawn it: the
// account is disabled, deleted, or signed out everywhere. Else it ran out, maybe
// while this machine was suspended.
func (h *Handler) withdraw(ctx context.Context, s *session.Session, tokens flow.Tokens) error {
	now := h.now()
	if tokens.Assumed || monotonic.Reached(tokens.Expires.Add(-withdrawnLeeway), now) {
		return h.loseProof(ctx, s, tokens, earlier(tokens.Expires, now))
	}
	h.end(ctx, s, reasonWithdrawn)
	return nil
}

// proved notes that the provider described the user of s with these tokens.
func (v *sessionRuntime) proved(tokens flow.Tokens) {
	v.provenUntil.Store(monotonic.Nanoseconds(tokens.Expires))
	v.unansweredSince.Store(0)
}

// notProven follows up on a check that brought no proof, for lack of an answer
// or because the answer was of no use, and returns when to try again.
func (h *Handler) notProven(ctx context.Context, s *session.Session, v *sessionRuntime, err error) int64 {
	now := h.now()
	ends, noted := h.proofEnds(v, err)
	next := h.afterFailure(v)
	if now.Before(noted) {
		return min(next, monotonic.Nanoseconds(noted))
	}
	_ = h.loseProof(ctx, s, s.Record().Tokens, ends) // if storage is away, the next check tries again
	switch record := s.Record(); {
	case h.outlived(record):
		h.end(ctx, s, reasonUnproven)
	case h.unproven(record):
		return monotonic.Nanoseconds(h.nextCheck(record))
	}
	return next
}

// proofEnds returns since when a session is unproven if checks continue to fail with
// err, and when that is noted. The proof ends with the access token that it was
// given for. Only a provider that does not answer postpones that.
func (h *Handler) proofEnds(v *sessionRuntime, err error) (ends, noted time.Time) {
	now := h.now()
	at := func(moment int64) time.Time { return now.Add(time.Duration(moment - monotonic.Nanoseconds(now))) }
	ends = at(v.provenUntil.Load())
	switch {
	case now.Before(ends) || answered(err):
		return ends, ends
	case errors.Is(err, limit.ErrHeldBack): // users can bring that about, by tokens and codes that fail
		return ends, ends.Add(h.config.Unproven)
	}
	v.unansweredSince.CompareAndSwap(0, monotonic.Nanoseconds(now))
	noted = at(v.unansweredSince.Load()).Add(h.config.Unproven)
	return noted, noted
}

// answered reports whether the provider answered, though to no use.
func answered(err error) bool {
	if errors.Is(err, flow.ErrProviderUnavailable) {
		return false
	}
	_, token := errors.AsType[*flow.TokenError](err)
	return token || errors.Is(err, flow.ErrTokensEnded) || errors.Is(err, flow.ErrUserinfoInvalid) || errors.Is(err, flow.ErrIDTokenInvalid)
}

// earlier returns the earlier of two moments.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
