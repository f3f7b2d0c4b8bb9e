// What the operator is told of the sign-in that they follow.

package handler

import (
	"crypto/rand"
	"net"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/watch"
)

// FollowParameter is the parameter of the login's address that has the marker of the
// sign-in to follow.
const FollowParameter = "follow"

// LoginPath is the path at which a sign-in begins.
const LoginPath = request.Base + "/login"

// followLogin notes that a login begins.
func (h *Handler) followLogin(in *incoming, login *flow.Login) {
	name, own := in.own()
	query, err := url.ParseQuery(in.r.URL.RawQuery)
	switch {
	case !own || err != nil:
	case name == "login":
		h.config.Gate.Followed.Begin(query.Get(FollowParameter), login.State, requestOf(in))
	case name == "": // the callback, of a login that was lost
		h.config.Gate.Followed.Restarted(query.Get("state"), login.State)
	}
}

// requestOf returns what the request of a browser looks like here.
func requestOf(in *incoming) watch.Request {
	var forwarded []string
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via"} {
		if in.r.Header.Get(name) != "" {
			forwarded = append(forwarded, name)
		}
	}
	peer, _, err := net.SplitHostPort(in.r.RemoteAddr)
	if err != nil {
		peer = in.r.RemoteAddr
	}
	return watch.Request{Client: in.chain.ClientIP(), Peer: peer, Host: in.r.Host, Forwarded: strings.Join(forwarded, ", ")}
}

// followFailure notes that a login failed before it began.
func (h *Handler) followFailure(in *incoming, refusal *problem.Problem) {
	login := &flow.Login{State: rand.Text()}
	h.followLogin(in, login)
	h.followEnd(login.State, refusal)
}

// followClaims notes what the provider said.
func (h *Handler) followClaims(login *flow.Login, redeemed *flow.Result, role string) {
	identity := &redeemed.Identity
	h.config.Gate.Followed.Knows(login.State, &watch.Claims{
		Subject: identity.Subject, Username: identity.Username, Email: identity.Email, Name: identity.Name,
		Groups: append([]string{}, identity.Groups...), FromIDToken: identity.FromIDToken, Lacking: redeemed.Lacking,
	}, role)
}

// followEnd notes that a sign-in failed.
func (h *Handler) followEnd(state string, refusal *problem.Problem) {
	cause := ""
	if refusal.Cause != nil {
		cause = refusal.Cause.Error()
	}
	h.config.Gate.Followed.Ended(state, &watch.Refusal{
		Code: refusal.Code, Title: problem.Named(refusal.Title, h.config.ProviderLabel), Cause: cause,
		Hint: problem.Named(refusal.Hint, h.config.ProviderLabel), Doctor: refusal.DoctorCode(),
	})
}
