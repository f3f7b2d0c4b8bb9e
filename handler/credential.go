package handler

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"
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
func (g *Gate) serveCredential(w http.ResponseWriter, r *http.Request, chain Chain, p string) error {
	if err := g.recognize(r, chain); err != nil {
		return g.fail(w, r, chain, kindScript, err)
	}
	delete(r.Header, "Cookie") // one credential is enough
	call := authorized(callerFor(chain, r, g.Origin), r.Header["Authorization"])
	answer := &answerWriter{ResponseWriter: w, gate: g}
	defer func(ctx context.Context) { g.Application.Answered(ctx, call, r, p, answer.status, "") }(r.Context())
	return g.serve(chain, answer, r)
}

// authorized returns call with the credential that a request came with.
func authorized(call Caller, authorization []string) Caller {
	return func(ctx context.Context, c Call) (*Answer, error) {
		c.Header = http.Header{"Authorization": authorization}
		return call(ctx, c)
	}
}

// recognize returns the problem of r's credential, nil if there is none. The
// application is asked once a minute, and once for all of an address who bring
// the same credential at the same time.
func (g *Gate) recognize(r *http.Request, chain Chain) error {
	authorization := r.Header.Get("Authorization")
	key := sha256.Sum256([]byte(authorization))
	last := g.State.recognized.last(key)
	if now := g.now(); !last.IsZero() && now.Sub(last) < recognizedFor {
		return nil
	}
	ctx, call, address := r.Context(), callerFor(chain, r, g.Origin), addressOf(chain.ClientIP())
	_, err, _ := g.State.calls.Do("recognize "+string(key[:])+address.String(), func() (any, error) {
		return nil, g.ask(ctx, call, authorization, key, address)
	})
	return err //nolint:wrapcheck // a Problem already
}

// ask asks the application about a credential.
func (g *Gate) ask(ctx context.Context, call Caller, authorization string, key [sha256.Size]byte, address netip.Prefix) error {
	now := g.now()
	last := g.State.recognized.last(key)
	attempt, wait := g.State.attempts.take(address, now)
	if attempt == nil && last.IsZero() {
		// One that was good a minute ago is not shut out by what others
		// behind the same address bring.
		return errTooManyAttempts.after(wait)
	}
	asked, cancel := context.WithTimeout(ctx, recognizeTimeout)
	defer cancel()
	recognition, err := g.Application.Recognize(asked, call, authorization)
	switch {
	case err == nil && recognition == Unrecognized:
		g.State.recognized.forget(key)
		unknown := *errCredentialUnknown
		unknown.Status = g.Application.DeniedStatus(ctx, call)
		return &unknown
	case err == nil && recognition == Recognized:
		g.State.recognized.remember(key, now)
	case err != nil && now.Sub(last) < standingFor:
		err = nil // the application looks itself, when it comes to it
	}
	if attempt != nil {
		g.State.attempts.giveBack(attempt)
	}
	return err //nolint:wrapcheck // a Problem of the application's
}

// serveExchange passes a credential in r's body on, and counts a refusal. What
// the application says to a wrong one differs by whose it might have been; the
// gate's answer does not.
func (g *Gate) serveExchange(w http.ResponseWriter, r *http.Request, chain Chain) error {
	attempt, wait := g.State.attempts.take(addressOf(chain.ClientIP()), g.now())
	if attempt == nil {
		return g.fail(w, r, chain, kindScript, errTooManyAttempts.after(wait))
	}
	delete(r.Header, "Authorization")
	delete(r.Header, "Cookie")
	recorded := newRecorder(0)
	if err := g.serve(chain, recorded, r); err != nil {
		g.State.attempts.giveBack(attempt)
		return err
	}
	answer := recorded.answer()
	switch {
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusInternalServerError:
		return g.fail(w, r, chain, kindScript, errCredentialUnknown)
	case answer.Status >= http.StatusBadGateway:
		g.applicationFailed()
		fallthrough
	case answer.Status < http.StatusBadRequest:
		g.State.attempts.giveBack(attempt)
	}
	g.Application.Filter(answer.Header, false)
	maps.Copy(w.Header(), answer.Header)
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	w.WriteHeader(max(answer.Status, http.StatusOK))
	_, err := w.Write(answer.Body)
	return err //nolint:wrapcheck // the client has gone
}
