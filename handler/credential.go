package handler

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// recognizedFor is how long a credential that the application knew is taken
// for good: how long a revoked one still passes.
const recognizedFor = time.Minute

// standingFor is how long a credential that the application knew passes while
// the application cannot say: a handheld is not to lose a saved game by it.
const standingFor = time.Hour

// recognizeTimeout bounds how long a request waits for the question.
const recognizeTimeout = 3 * time.Second

// recognizedKept bounds how many credentials are remembered.
const recognizedKept = 10_000

// recognized remembers the credentials that the application knew, by their
// hash, and when. None that it did not know gets in, so that strangers cannot
// fill it. The zero value is ready.
type recognized struct {
	mu sync.Mutex
	at map[[sha256.Size]byte]time.Time
}

// last is when the credential was last known good; zero: never.
func (m *recognized) last(key [sha256.Size]byte) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[key]
}

func (m *recognized) remember(key [sha256.Size]byte, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil || len(m.at) >= recognizedKept { // to forget costs a question each
		m.at = make(map[[sha256.Size]byte]time.Time)
	}
	m.at[key] = now
}

func (m *recognized) forget(key [sha256.Size]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.at, key)
}

// serveCredential passes r on with its credential, unless the application
// says that it is none.
func (h *Handler) serveCredential(w http.ResponseWriter, r *http.Request, chain application.Chain, p string) error {
	if err := h.recognize(r, chain); err != nil {
		return h.refuse(w, r, chain, request.Script, err)
	}
	delete(r.Header, "Cookie") // one credential is enough
	call := authorized(application.NewCaller(chain, r, h.config.Origin), r.Header["Authorization"])
	answer := &answerWriter{ResponseWriter: w, handler: h}
	forwarded := application.Forwarded{Request: r, Path: p, Caller: call}
	defer func(ctx context.Context) { h.config.Application.AfterResponse(ctx, forwarded, answer.status) }(r.Context())
	return h.serve(chain, answer, r)
}

// authorized returns call with the credential that a request came with.
func authorized(call application.Caller, authorization []string) application.Caller {
	return func(ctx context.Context, c application.Call) (*application.Answer, error) {
		c.Header = http.Header{"Authorization": authorization}
		return call(ctx, c)
	}
}

// recognize returns the problem of r's credential, nil if there is none. The
// application is asked once a minute, and once for all of an address who bring
// the same credential at the same time.
func (h *Handler) recognize(r *http.Request, chain application.Chain) error {
	authorization := r.Header.Get("Authorization")
	key := sha256.Sum256([]byte(authorization))
	last := h.config.Gate.recognized.last(key)
	if now := h.now(); !last.IsZero() && now.Sub(last) < recognizedFor {
		return nil
	}
	ctx, call, address := r.Context(), application.NewCaller(chain, r, h.config.Origin), limit.AddressOf(chain.ClientIP())
	_, err, _ := h.config.Gate.calls.Do("recognize "+string(key[:])+address.String(), func() (any, error) {
		return nil, h.ask(ctx, call, authorization, key, address)
	})
	return err //nolint:wrapcheck // a Problem already
}

// ask asks the application about a credential.
func (h *Handler) ask(ctx context.Context, call application.Caller, authorization string, key [sha256.Size]byte, address netip.Prefix) error {
	now := h.now()
	last := h.config.Gate.recognized.last(key)
	attempt, wait := h.config.Gate.attempts.Take(address, now)
	if attempt == nil && last.IsZero() {
		// One that was good a minute ago is not shut out by what others
		// behind the same address bring.
		return problem.TooManyAttempts.After(wait)
	}
	asked, cancel := context.WithTimeout(ctx, recognizeTimeout)
	defer cancel()
	recognition, err := h.config.Application.Recognize(asked, call, authorization)
	switch {
	case err == nil && recognition == application.Unrecognized:
		h.config.Gate.recognized.forget(key)
		unknown := *problem.CredentialUnknown
		unknown.Status = h.config.Application.DeniedStatus(ctx, call)
		return &unknown
	case err == nil && recognition == application.Recognized:
		h.config.Gate.recognized.remember(key, now)
	case err != nil && now.Sub(last) < standingFor:
		err = nil // the application looks itself, when it comes to it
	}
	if attempt != nil {
		h.config.Gate.attempts.GiveBack(attempt)
	}
	return err //nolint:wrapcheck // a Problem of the application's
}

// serveExchange passes a credential in r's body on, and counts a refusal. What
// the application says to a wrong one differs by whose it might have been; the
// gate's answer does not.
func (h *Handler) serveExchange(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	attempt, wait := h.config.Gate.attempts.Take(limit.AddressOf(chain.ClientIP()), h.now())
	if attempt == nil {
		return h.refuse(w, r, chain, request.Script, problem.TooManyAttempts.After(wait))
	}
	delete(r.Header, "Authorization")
	delete(r.Header, "Cookie")
	recorded := application.NewRecorder(0)
	if err := h.serve(chain, recorded, r); err != nil {
		h.config.Gate.attempts.GiveBack(attempt)
		return err
	}
	answer := recorded.Answer()
	switch {
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusInternalServerError:
		return h.refuse(w, r, chain, request.Script, problem.CredentialUnknown)
	case answer.Status >= http.StatusBadGateway:
		h.applicationFailed()
		fallthrough
	case answer.Status < http.StatusBadRequest:
		h.config.Gate.attempts.GiveBack(attempt)
	}
	h.config.Application.Filter(answer.Header, false)
	maps.Copy(w.Header(), answer.Header)
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	w.WriteHeader(max(answer.Status, http.StatusOK))
	_, err := w.Write(answer.Body)
	return err //nolint:wrapcheck // the client has gone
}
