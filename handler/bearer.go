// Requests with an access token of the provider.

package handler

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// bearerTimeout bounds how long the gate asks the provider and the application
// about an access token.
const bearerTimeout = 30 * time.Second

// tokenSkew is how far the provider's clock may be ahead: a token that it issued
// this short after an end counts as issued before.
const tokenSkew = 10 * time.Second

// errTokenEnded is the cause of a refusal of an access token after its user's
// access tokens were ended.
var errTokenEnded = errors.New("the access tokens of its user were ended after it was issued")

// errTokenNarrow is the cause of a refusal of an access token that says too little for
// the operator's rules.
var errTokenNarrow = errors.New("the rules name groups, and the access token lacks a scope of the `scopes` setting")

// bearer is what the gate knows about an access token of the provider: a
// session that lives in memory only, and as long as its token. It never
// changes; a newer one replaces it.
type bearer struct {
	runtime *sessionRuntime
	record  *session.Record
	until   time.Time // when the provider is asked again
	issued  time.Time // when the provider issued the token; zero: unknown
	expires time.Time // when the token expires; zero: unknown
}

// bearerRequest is an access token as a client brought it.
type bearerRequest struct {
	raw     string
	key     [sha256.Size]byte // the token's hash
	address netip.Prefix      // of the client
	client  string            // its address
	call    application.Caller
}

// serveBearer answers a request with an access token of the provider's: it is
// stamped like a request of one of its user's sessions, if access says that it is
// open to the token.
func (h *Handler) serveBearer(in *incoming, access application.Access) error {
	b, err := h.bearerOf(in)
	if err != nil {
		return h.refuseBearer(in, err)
	}
	identity, upstream := &b.record.Identity, b.record.Upstream.ID
	view := b.runtime.viewOf(h, b.record, session.ID{})
	in.chain.Identify(view.values)
	in.user = identity
	if access == application.BearerClosed {
		return h.refuseAs(in, request.Script, problem.CredentialNotAllowed)
	}
	request.MergeSlashes(in.r)
	forwarded := in.forwarded(upstream)
	if err := h.config.Application.Guard(in.r.Context(), forwarded, *identity); err != nil {
		return h.refuseAs(in, request.Script, err)
	}
	authorization := in.r.Header["Authorization"]
	delete(in.r.Header, "Cookie")
	view.stamp(in.r)
	if err := h.config.Application.Unforgeable(in.r.Context(), in.Caller(), in.r); err != nil {
		return h.refuseBearer(in, err)
	}
	answer := &in.answer
	answer.ResponseWriter, answer.in, answer.runtime, answer.mutes = in.w, in, b.runtime, true
	answer.before.remember(in.w, in.r)
	h.watch(answer, in.r, in.path)
	defer func() {
		if answer.mute == loud {
			h.answered(in.r.Context(), forwarded, answer)
		}
	}()
	switch done, err := h.serveAnswered(in, answer, in.r); {
	case done:
		return err
	case answer.mute == away:
		return h.refuseAway(in, errEmptyAnswer)
	}
	in.r.Header["Authorization"] = authorization
	b.runtime.confirmation.Store(nil)
	if _, err := h.bearerOf(in); err != nil {
		return h.refuseBearer(in, err)
	}
	return h.refuseAs(in, request.Script, problem.SignedInAgain)
}

// refuseBearer refuses a request with an access token.
func (h *Handler) refuseBearer(in *incoming, err error) error {
	if _, known := errors.AsType[*problem.Problem](err); known && (errors.Is(err, problem.ApplicationAway) || in.chain.Unreachable(err)) {
		return h.refuseAway(in, err)
	}
	return h.refuseAs(in, request.Script, err)
}

// bearerOf returns what the request's access token opens. The provider is asked
// once a minute, and the application confirms its session as any other.
func (h *Handler) bearerOf(in *incoming) (*bearer, error) {
	_, raw, _ := strings.Cut(in.r.Header.Get("Authorization"), " ")
	token := bearerRequest{raw: raw, key: sha256.Sum256([]byte(raw))}
	known := h.config.Gate.bearers.find(token.key)
	if known != nil && h.now().Before(known.until) && h.confirmed(known.runtime) {
		if verdict := known.runtime.viewOf(h, known.record, session.ID{}).verdict; verdict.refused != nil {
			h.config.Gate.putOut(&known.record.Identity, problem.Of(verdict.refused).Code)
			return nil, verdict.refused
		} else if !verdict.role {
			return known, nil
		}
	}
	token.call, token.client = in.Caller(), in.chain.ClientIP()
	token.address = limit.AddressOf(token.client)
	ctx := in.shared()
	for mine, joined := false, false; ; joined = true {
		result, err, _ := h.config.Gate.calls.Do("bearer "+string(token.key[:])+token.address.String(), func() (any, error) {
			mine = true
			ctx, cancel := context.WithTimeout(ctx, bearerTimeout)
			defer cancel()
			b, err := h.vouched(ctx, token)
			if err != nil {
				return nil, err
			}
			return h.alive(ctx, token, b)
		})
		if err != nil {
			return nil, err
		}
		if b, _ := result.(*bearer); mine || joined || h.confirmed(b.runtime) {
			return b, nil
		} // else the accounts changed after the other request asked, as in recognize
	}
}

// vouched asks the provider about an access token, unless it answered a moment
// ago. A token that the provider rejects is signed out of the application.
func (h *Handler) vouched(ctx context.Context, token bearerRequest) (*bearer, error) {
	h.config.Gate.Sessions.Use() // other nodes may void the answer
	now, known := h.now(), h.config.Gate.bearers.find(token.key)
	if known != nil && now.Before(known.until) {
		return known, h.goesOn(ctx, token, known)
	}
	attempt, wait := h.config.Gate.attempts.Take(token.address, token.raw, now)
	if attempt == nil && known == nil {
		return nil, problem.TooManyAttempts.After(wait)
	}
	said, err := h.config.RelyingParty.Bearer(ctx, token.raw)
	if user, ok := errors.AsType[*flow.UserError](err); ok {
		h.config.Gate.putOut(&flow.Identity{Issuer: h.config.RelyingParty.Issuer(), Subject: user.Subject}, endsFor(err))
	}
	if errors.Is(err, flow.ErrBearerInvalid) || errors.Is(err, flow.ErrUserinfoInvalid) || errors.Is(err, flow.ErrAccountGone) {
		return nil, h.unknownBearer(ctx, token, err)
	}
	if attempt != nil && !errors.Is(err, flow.ErrKeyReads) {
		h.config.Gate.attempts.GiveBack(attempt)
	}
	switch {
	case err != nil:
		return nil, err
	case said.Narrow && h.config.GroupRules: // no group that it leaves out may take away a role or put the user out
		return nil, problem.CredentialNotAllowed.Because(errTokenNarrow)
	}
	next := &bearer{until: now.Add(recognizedFor), issued: said.Issued, expires: said.Expires}
	if !said.Expires.IsZero() && said.Expires.Before(next.until) {
		next.until = said.Expires
	}
	if known != nil && sameIdentity(&said.Identity, &known.record.Identity) {
		next.runtime, next.record = known.runtime, known.record
	} else {
		next.runtime, next.record = new(sessionRuntime), &session.Record{Identity: said.Identity}
	}
	if err := h.goesOn(ctx, token, next); err != nil {
		return nil, err
	}
	if next.record.Upstream.ID == "" {
		return h.signInBearer(ctx, token, next)
	}
	h.config.Gate.bearers.put(token.key, next, now)
	return next, nil
}

// goesOn returns the problem of an access token that the provider accepts.
func (h *Handler) goesOn(ctx context.Context, token bearerRequest, b *bearer) error {
	if refused := h.judge(b.record).refused; refused != nil {
		h.config.Gate.putOut(&b.record.Identity, problem.Of(refused).Code)
		h.endBearers(ctx, token.call, h.config.Gate.bearers.remove(token.key))
		return refused
	}
	ended, err := h.config.Gate.Sessions.TokensEnded(ctx, session.UserKey(b.record.Identity.Issuer, b.record.Identity.Subject))
	switch {
	case err != nil && b.record.Upstream.ID != "":
		h.config.Logger.Debug("could not read when access tokens ended, continuing with a known token", zap.Error(err))
		return nil // storage is away: memory is trusted
	case err != nil:
		return problem.StorageUnavailable.Because(err)
	case !ended.IsZero() && b.issued.Before(ended.Add(tokenSkew)):
		return h.unknownBearer(ctx, token, errTokenEnded)
	}
	return nil
}

// unknownBearer forgets an access token and returns the problem of it.
func (h *Handler) unknownBearer(ctx context.Context, token bearerRequest, cause error) error {
	h.endBearers(ctx, token.call, h.config.Gate.bearers.remove(token.key))
	return h.unknownCredential(ctx, token.call).Because(cause)
}

// alive returns b with a session of the application that is alive, belongs to
// the user's account and has the user's role.
func (h *Handler) alive(ctx context.Context, token bearerRequest, b *bearer) (*bearer, error) {
	if !b.runtime.viewOf(h, b.record, session.ID{}).verdict.role {
		if h.confirmed(b.runtime) {
			return b, nil
		}
		asked := h.nowAsked()
		alive, _, err := h.config.Application.Confirm(ctx, token.call, application.Session(b.record.Upstream))
		switch {
		case err != nil:
			return nil, problem.ApplicationAway.Because(err)
		case alive:
			b.runtime.confirmation.Store(asked)
			return b, nil
		}
	}
	return h.signInBearer(ctx, token, &bearer{
		until: b.until, issued: b.issued, expires: b.expires,
		runtime: new(sessionRuntime), record: &session.Record{Identity: b.record.Identity},
	})
}

// signInBearer signs the user of next in to the application and remembers next
// with the application's session.
func (h *Handler) signInBearer(ctx context.Context, token bearerRequest, next *bearer) (*bearer, error) {
	asked, identity := h.nowAsked(), next.record.Identity
	upstream, err := h.config.Application.SignIn(ctx, token.call, identity)
	if err != nil {
		h.config.Observe(event.BrokeredSignIns, problem.Of(err).Code)
		return nil, err
	}
	h.config.Observe(event.BrokeredSignIns, event.OK)
	next.record = &session.Record{Identity: identity, Upstream: session.Upstream(upstream), Created: h.now()}
	next.runtime.confirmation.Store(asked)
	e := about(event.SignedIn, next.record)
	e.AccessToken, e.ClientIP = true, token.client
	h.report(e)
	h.config.Gate.signedInAs(ctx, asked, &identity, upstream.Account)
	h.endBearers(ctx, token.call, h.config.Gate.bearers.remove(token.key))
	h.endBearers(ctx, token.call, h.config.Gate.bearers.put(token.key, next, h.now())...)
	return next, nil
}
