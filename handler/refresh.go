// Refreshing the tokens of a session.

package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
)

const (
	// refreshTimeout bounds a refresh, and with it how long the session's lock
	// is held over the network.
	refreshTimeout = 20 * time.Second
)

// refresh refreshes the tokens of s if they are still those that the caller
// has seen. If another node has refreshed them, its tokens are used and
// the provider is not asked: two refreshes at once would revoke all of them.
//
// What the provider decides is in the session afterwards: other tokens; no
// refresh token, if it refused that for good; unproven, if the new tokens
// cannot be used; or the end, if they are another user's. An error says that
// nothing was decided.
func (h *Handler) refresh(ctx context.Context, s *session.Session, seen flow.Tokens) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	end, err := h.config.Gate.tokenBudget.Begin(ctx, limit.Refresh, netip.Prefix{})
	if err != nil {
		h.noteRefresh(err, flow.Tokens{})
		return err
	}
	var failed error
	var fresh flow.Tokens
	due := func(record *session.Record) bool {
		return !h.unproven(record) && record.Tokens.Refresh == seen.Refresh && record.Tokens.Access == seen.Access
	}
	err = h.config.Gate.Sessions.UpdateOnce(ctx, s, due, func(record *session.Record) {
		tokens, err := h.config.RelyingParty.Refresh(ctx, record.Tokens, record.Identity)
		if err != nil {
			failed = err
			h.noteRefusal(s, record, err)
			return
		}
		record.Tokens, fresh = *tokens, *tokens
		h.config.Gate.refusals.Clear()
	})
	end(failed)
	if failed != nil {
		h.config.Gate.providerAnswered(h.now(), failed)
	}
	h.noteRefresh(cmp.Or(failed, err), fresh)
	switch {
	case failed != nil:
		return h.afterRefusal(ctx, s, failed)
	case fresh.Access == "":
		return err
	case errors.Is(err, session.ErrEnded): // its end revoked the tokens before these
		record := *s.Record()
		record.Tokens = fresh
		h.config.Gate.afterEnd(func(ctx context.Context) { h.config.Gate.revoke(ctx, &record) })
		return err
	}
	return nil // if storage failed after the refresh, memory has the tokens
}

// noteRefresh counts a refresh. Where another node was faster, there is nothing to
// count.
func (h *Handler) noteRefresh(err error, fresh flow.Tokens) {
	_, isRefused := refused(err)
	switch {
	case fresh.Access != "":
		h.config.Gate.Background.Done(background.Refresh, nil)
	case isRefused, errors.Is(err, flow.ErrTokensEnded):
		h.config.Gate.Background.Refused(background.Refresh)
	case err != nil && !errors.Is(err, session.ErrEnded):
		h.config.Gate.Background.Done(background.Refresh, err)
	}
}

// refused reports whether the provider refused a refresh for good.
func refused(err error) (*flow.TokenError, bool) {
	token, ok := errors.AsType[*flow.TokenError](err)
	return token, ok && token.Definite()
}

// noteRefusal changes a record by what the provider answered to its refresh.
func (h *Handler) noteRefusal(s *session.Session, record *session.Record, err error) {
	_, isRefused := refused(err)
	switch {
	case isRefused:
		// Without the refresh token there are no retries, and the session ends
		// like one that never had a refresh token: by its access token's clock.
		record.Tokens.Refresh = ""
	case errors.Is(err, flow.ErrTokensEnded): // used up, and what came instead cannot be used
		h.noteUnproven(s, record, h.unusableSince(s, record, err), err)
	}
}

// unusableSince returns since when the tokens of a session speak for it no longer,
// if new ones are of no use: since the old ones expired. By a clock that is wrong,
// that may seem long ago, and the session would end though it is in use. So it is
// not before this process saw the session proven, and it is now if the clock is
// why the new tokens cannot be used.
func (h *Handler) unusableSince(s *session.Session, record *session.Record, err error) time.Time {
	now := h.now()
	if _, ok := errors.AsType[*flow.ClockError](err); ok {
		return now
	}
	since := earlier(record.Tokens.Expires, now)
	if checked := runtimeOf(s).checkedAt.Load(); checked != 0 {
		if proven := now.Add(time.Duration(checked - monotonic.Nanoseconds(now))); since.Before(proven) {
			return proven
		}
	}
	return since
}

// afterRefusal follows up on a refresh that brought no tokens. It returns err
// if nothing was decided.
func (h *Handler) afterRefusal(ctx context.Context, s *session.Session, err error) error {
	token, isRefused := refused(err)
	switch {
	case errors.Is(err, flow.ErrSubjectChanged):
		h.config.Logger.Warn("session ended: its refreshed tokens are not for its user", zap.Stringer("session_id", s.ID()), zap.Error(err))
		h.end(ctx, s, reasonSubjectChanged)
		return nil
	case isRefused:
		h.reportRefresh(s, token)
		return nil
	case errors.Is(err, flow.ErrTokensEnded):
		return nil
	}
	h.config.Logger.Debug("tokens not refreshed, will retry", zap.Stringer("session_id", s.ID()), zap.Error(err))
	return err
}

// reportRefresh logs why the provider refused a refresh token: the everyday end
// of one session's token at Info, anything else once per gate and cause, until
// a refresh succeeds again.
func (h *Handler) reportRefresh(s *session.Session, refused *flow.TokenError) {
	const unprovenSoon = "token refresh refused: session becomes unproven when its access token expires; its user's next page view after that passes through the provider"
	if refused.Code == "invalid_grant" {
		h.config.Logger.Info(unprovenSoon, zap.Stringer("session_id", s.ID()), zap.Error(refused))
		return
	}
	if _, known := h.config.Gate.refusals.LoadOrStore(fmt.Sprint(refused.Status, refused.Code), true); known {
		return
	}
	remedy := "the provider's log says why; other sessions that it refuses for the same cause are not reported"
	switch refused.Code {
	case "unauthorized_client", "unsupported_grant_type":
		remedy = "allow the grant type refresh_token to this client at the provider, or remove offline_access from the `scopes` setting"
	case "invalid_client", "jti_known":
		remedy = "`client_id`, `client_secret` and `client_auth` must match the client that is registered at the provider"
	case "invalid_scope":
		remedy = "allow the client at the provider every scope in the `scopes` setting"
	}
	if demands := refused.Demands(); demands != "" {
		remedy = demands
	}
	h.config.Logger.Warn(unprovenSoon, zap.Stringer("session_id", s.ID()), zap.Error(refused), zap.String("remedy", remedy))
}
