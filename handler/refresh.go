// Refreshing the tokens of a session.

package handler

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	// refreshAhead is how long before its expiry an access token is refreshed.
	refreshAhead = time.Minute
	// refreshTimeout bounds a refresh, and with it how long the session's lock
	// is held over the network.
	refreshTimeout = 20 * time.Second
)

// refresh refreshes the tokens of s if they are still those that the caller
// has seen. If another node refreshed them meanwhile, its tokens are used and
// the provider is not asked: two refreshes at once would revoke all of them. An
// error says that the provider or storage was away; tokens that ended make s unproven.
func (h *Handler) refresh(ctx context.Context, s *session.Session, seen flow.Tokens) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	var failed error
	var fresh flow.Tokens
	due := func(record *session.Record) bool {
		return !unproven(record) && record.Tokens.Refresh == seen.Refresh && record.Tokens.Access == seen.Access
	}
	err := h.config.Gate.Sessions.UpdateOnce(ctx, s, due, func(record *session.Record) {
		tokens, err := h.config.RelyingParty.Refresh(ctx, record.Tokens, record.Identity)
		switch {
		case errors.Is(err, flow.ErrTokensEnded):
			h.noteUnproven(s, record, err)
		case err != nil:
			failed = err
		default:
			record.Tokens, fresh = *tokens, *tokens
			h.config.Observe("refreshed", "ok")
		}
	})
	if failed != nil {
		h.config.Observe("refreshed", problem.Of(failed).Code)
		h.config.Logger.Warn("tokens not refreshed, will retry", zap.Stringer("session_id", s.ID()), zap.Error(failed))
		return failed
	}
	if errors.Is(err, session.ErrEnded) && fresh.Access != "" { // its end revoked the tokens before these
		record := *s.Record()
		record.Tokens = fresh
		h.config.Gate.afterEnd(func(ctx context.Context) { h.config.Gate.revoke(ctx, &record) })
	}
	if err != nil && fresh.Access != "" {
		return nil // storage failed after the refresh: memory has the tokens
	}
	return err
}

// loseProof makes s unproven, unless it has other tokens by now than the caller has seen.
func (h *Handler) loseProof(ctx context.Context, s *session.Session, seen flow.Tokens) error {
	err := h.config.Gate.Sessions.Update(ctx, s, func(record *session.Record) {
		if !unproven(record) && record.Tokens.Access == seen.Access {
			h.noteUnproven(s, record, flow.ErrTokensEnded)
		}
	})
	if err != nil && !unproven(s.Record()) {
		return err
	}
	return nil
}

func (h *Handler) noteUnproven(s *session.Session, record *session.Record, cause error) {
	record.UnprovenSince = h.now().UTC()
	h.config.Observe("refreshed", reasonUnproven)
	h.config.Logger.Info("session unproven: its tokens ended, the user's next page view proves it again", zap.String("user", record.Identity.Username),
		zap.Stringer("session_id", s.ID()), zap.NamedError("cause", cause))
}
