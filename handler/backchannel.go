// Back-channel logout: the provider says that a user was signed out there.

package handler

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	// logoutFormLimit bounds a logout request, in bytes: a token of 16 KiB and its name.
	logoutFormLimit = 17 << 10
	// logoutAnswer is how long the provider waits for a response at most.
	// Sessions in memory end at once; storage may take longer.
	logoutAnswer = 5 * time.Second
	// logoutWork bounds how long sessions are ended in storage. The store retries what
	// storage did not take until then.
	logoutWork = 2 * time.Minute
)

var (
	errNoLogoutToken = errors.New("the form does not hold exactly one logout_token")
	errTokenReplayed = errors.New("the logout token was used before")
	errLogoutLimited = errors.New("too many logout requests of this client failed")
)

// backchannelLogout answers the provider, which says that a user was signed
// out there (OpenID Connect Back-Channel Logout 1.0 section 2.5,
// https://openid.net/specs/openid-connect-backchannel-1_0.html#BCRequest). It
// reads no cookie: the logout token says everything.
func (h *Handler) backchannelLogout(in *incoming) error {
	w, r, client := in.w, in.r, in.chain.ClientIP()
	// A request counts as failed until it succeeds, which bounds parallel ones too.
	attempt, wait := h.config.Gate.logoutAttempts.Take(limit.AddressOf(client), rand.Text(), h.now())
	if attempt == nil {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		h.refuseLogout(in, http.StatusTooManyRequests, "rate_limited", errLogoutLimited)
		return nil
	}
	logout, err := h.logoutOf(w, r)
	if err != nil {
		code := "logout_token_invalid"
		if errors.Is(err, flow.ErrProviderUnavailable) {
			code = problem.ProviderUnavailable.Code
		}
		// 400 in any case (section 2.8): no provider is known to retry.
		h.refuseLogout(in, http.StatusBadRequest, code, err)
		return nil
	}
	h.config.Gate.logoutAttempts.GiveBack(attempt)
	h.endByProvider(in.acting(r.Context()), logout, client)
	h.config.Observe(event.BackchannelLogouts, event.OK)
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
		return nil, err
	}
	if !h.config.Gate.logoutTokens.First(logout.TokenID, h.now()) { // section 2.6 (7)
		return nil, errTokenReplayed
	}
	return logout, nil
}

// refuseLogout answers a logout request that ended no session (section 2.8).
// It is JSON even where errors are passed: a program reads it.
func (h *Handler) refuseLogout(in *incoming, status int, code string, cause error) {
	h.config.Logger.Info("logout request refused", zap.String("code", code), zap.Int("status", status), zap.String("client_ip", in.chain.ClientIP()), zap.NamedError("cause", cause))
	h.config.Observe(event.BackchannelLogouts, code)
	problem.JSON{Status: status, Value: struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{"invalid_request", code}}.Write(in.w, in.r)
}

// endByProvider ends the sessions that the provider named. It returns when that is stored, or
// after logoutAnswer: then it continues in the background.
func (h *Handler) endByProvider(ctx context.Context, logout *flow.Logout, client string) {
	const reason = reasonBackchannel
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutWork)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		recovered(h.config.Gate.logger, func() {
			var user string
			var n int
			var err error
			if logout.Subject != "" {
				user = session.UserKey(h.config.RelyingParty.Issuer(), logout.Subject)
			}
			if logout.SID != "" {
				n, err = h.config.Gate.Sessions.EndSID(ctx, user, session.SIDKey(h.config.RelyingParty.Issuer(), logout.SID), reason)
			} else {
				n, err = h.config.Gate.Sessions.EndUser(ctx, user, reason)
			}
			tokens := 0
			if user != "" {
				var failed error
				tokens, failed = h.config.Gate.EndTokens(ctx, []string{user}, func(*flow.Identity) bool { return false }, reason)
				err = errors.Join(err, failed)
			}
			if err != nil {
				h.config.Logger.Warn(notPersisted, zap.Int("sessions", n), zap.Error(err))
			}
			h.config.Logger.Info("signed out by the provider", zap.String("reason", reason), zap.Int("sessions", n), zap.Int("access_tokens", tokens), zap.String("client_ip", client))
		})
	}()
	select {
	case <-done:
	case <-time.After(logoutAnswer):
	}
}
