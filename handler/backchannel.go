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
func (g *Gate) backchannelLogout(w http.ResponseWriter, r *http.Request, chain Chain) error {
	client := chain.ClientIP()
	// Until it succeeds, it has failed: so many at once are bounded, too.
	attempt, wait := g.State.logoutAttempts.take(addressOf(client), g.now())
	if attempt == nil {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		g.refuseLogout(w, r, client, http.StatusTooManyRequests, "rate_limited", errLogoutLimited)
		return nil
	}
	logout, err := g.logoutOf(w, r)
	if err != nil {
		code := "logout_token_invalid"
		if errors.Is(err, flow.ErrProviderUnavailable) {
			code = errProviderUnavailable.Code
		}
		// 400 for whatever it is (section 2.8): no provider is known to ask again.
		g.refuseLogout(w, r, client, http.StatusBadRequest, code, err)
		return nil
	}
	g.State.logoutAttempts.giveBack(attempt)
	g.endByProvider(r.Context(), logout, client)
	g.Observe("backchannel_logout", "ok")
	ownHeader(w, "", 0)
	send(w, r, http.StatusOK, nil)
	return nil
}

// logoutOf returns what the logout token in r asks for.
func (g *Gate) logoutOf(w http.ResponseWriter, r *http.Request) (*flow.Logout, error) {
	r.Body = http.MaxBytesReader(w, r.Body, logoutFormLimit)
	// Any other form than the one of section 2.5 leaves PostForm empty.
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 {
		return nil, errors.Join(errNoLogoutToken, err)
	}
	logout, err := g.RelyingParty.VerifyLogout(r.Context(), r.PostForm["logout_token"][0])
	if err != nil {
		return nil, err //nolint:wrapcheck // one of flow's own
	}
	if !g.State.logoutTokens.first(logout.TokenID, g.now()) { // section 2.6 (7)
		return nil, errTokenReplayed
	}
	return logout, nil
}

// refuseLogout answers a logout request that ended nothing (section 2.8), with
// pages or without: a program reads it.
func (g *Gate) refuseLogout(w http.ResponseWriter, r *http.Request, client string, status int, code string, cause error) {
	g.Logger.Info("logout request refused", zap.String("code", code), zap.Int("status", status), zap.String("client_ip", client), zap.NamedError("cause", cause))
	g.Observe("backchannel_logout", code)
	writeJSON(w, r, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{"invalid_request", code}, 0)
}

// endByProvider ends what logout asks for. It returns when that is stored, or
// after logoutAnswer: then it goes on beside the answer.
func (g *Gate) endByProvider(ctx context.Context, logout *flow.Logout, client string) {
	const reason = "backchannel_logout"
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutWork)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		recovered(g.State.logger, func() {
			var n int
			var err error
			if logout.SID != "" {
				n, err = g.State.Sessions.EndSID(ctx, session.SIDKey(g.RelyingParty.Issuer, logout.SID), reason)
			} else {
				n, err = g.State.Sessions.EndUser(ctx, session.UserKey(g.RelyingParty.Issuer, logout.Subject), reason)
			}
			if err != nil {
				g.Logger.Warn("storing the end of sessions", zap.Error(err)) // they have ended here, and it is tried again
			}
			g.Logger.Info("signed out by the provider", zap.String("reason", reason), zap.Int("sessions", n), zap.String("client_ip", client))
		})
	}()
	select {
	case <-done:
	case <-time.After(logoutAnswer):
	}
}
