package handler

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	// logoutFormLimit bounds a logout request, in bytes: a token of 16 KiB and its name.
	logoutFormLimit = 17 << 10
	// logoutAnswer is how long the provider waits for an answer at most. What
	// memory has ends at once; storage may need longer.
	logoutAnswer = 5 * time.Second
	// logoutWork bounds the end of sessions in storage. What it did not take
	// until then the store tries again.
	logoutWork = 2 * time.Minute
)

var (
	errNoLogoutToken = errors.New("the form does not hold exactly one logout_token")
	errTokenReplayed = errors.New("the logout token was used before")
	errLogoutLimited = errors.New("too many logout requests of this client failed")
)

// backchannelLogout answers the provider, which says that somebody was signed
// out there (OpenID Connect Back-Channel Logout 1.0 section 2.5). It looks at
// no cookie: the token says it all, or nothing.
func (h *Handler) backchannelLogout(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	client := chain.ClientIP()
	// Until it succeeds, it has failed: so many at once are bounded, too.
	attempt, wait := h.config.Gate.logoutAttempts.Take(limit.AddressOf(client), h.now())
	if attempt == nil {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		h.refuseLogout(w, r, client, http.StatusTooManyRequests, "rate_limited", errLogoutLimited)
		return nil
	}
	logout, err := h.logoutOf(w, r)
	if err != nil {
		code := "logout_token_invalid"
		if errors.Is(err, flow.ErrProviderUnavailable) {
			code = problem.ProviderUnavailable.Code
		}
		// 400 for whatever it is (section 2.8): no provider is known to ask again.
		h.refuseLogout(w, r, client, http.StatusBadRequest, code, err)
		return nil
	}
	h.config.Gate.logoutAttempts.GiveBack(attempt)
	h.endByProvider(r.Context(), logout, client)
	h.config.Observe("backchannel_logout", "ok")
	problem.OwnHeader(w, "", 0)
	problem.Send(w, r, http.StatusOK, nil)
	return nil
}

// logoutOf returns what the logout token in r asks for.
func (h *Handler) logoutOf(w http.ResponseWriter, r *http.Request) (*flow.Logout, error) {
	r.Body = http.MaxBytesReader(w, r.Body, logoutFormLimit)
	// Any other form than the one of section 2.5 leaves PostForm empty.
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 {
		return nil, errors.Join(errNoLogoutToken, err)
	}
	logout, err := h.config.RelyingParty.VerifyLogout(r.Context(), r.PostForm["logout_token"][0])
	if err != nil {
		return nil, err //nolint:wrapcheck // one of flow's own
	}
	if !h.config.Gate.logoutTokens.First(logout.TokenID, h.now()) { // section 2.6 (7)
		return nil, errTokenReplayed
	}
	return logout, nil
}

// refuseLogout answers a logout request that ended nothing (section 2.8), with
// pages or without: a program reads it.
func (h *Handler) refuseLogout(w http.ResponseWriter, r *http.Request, client string, status int, code string, cause error) {
	h.config.Logger.Info("logout request refused", zap.String("code", code), zap.Int("status", status), zap.String("client_ip", client), zap.NamedError("cause", cause))
	h.config.Observe("backchannel_logout", code)
	problem.JSON{Status: status, Value: struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{"invalid_request", code}}.Write(w, r)
}

// endByProvider ends what logout asks for. It returns when that is stored, or
// after logoutAnswer: then it goes on beside the answer.
func (h *Handler) endByProvider(ctx context.Context, logout *flow.Logout, client string) {
	const reason = "backchannel_logout"
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutWork)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		recovered(h.config.Gate.logger, func() {
			var n int
			var err error
			if logout.SID != "" {
				n, err = h.config.Gate.Sessions.EndSID(ctx, session.SIDKey(h.config.RelyingParty.Issuer(), logout.SID), reason)
			} else {
				n, err = h.config.Gate.Sessions.EndUser(ctx, session.UserKey(h.config.RelyingParty.Issuer(), logout.Subject), reason)
			}
			if err != nil {
				h.config.Logger.Warn("storing the end of sessions", zap.Error(err)) // they have ended here, and it is tried again
			}
			h.config.Logger.Info("signed out by the provider", zap.String("reason", reason), zap.Int("sessions", n), zap.String("client_ip", client))
		})
	}()
	select {
	case <-done:
	case <-time.After(logoutAnswer):
	}
}
