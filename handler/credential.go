// Clients that bring a credential of the application.

package handler

import (
	"context"
	"crypto/rand"
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

// recognizedFor is how long a credential that the application recognized
// passes without another question, and so how long a revoked one still passes.
const recognizedFor = time.Minute

// standingFor is how long a credential that the application recognized passes
// while the application cannot answer, so that a handheld loses no saved game.
const standingFor = time.Hour

// recognizeTimeout bounds how long a request waits for the application's answer.
const recognizeTimeout = 3 * time.Second

// recognizedKept bounds how many credentials are remembered.
const recognizedKept = 10_000

// recognized remembers when the application recognized which credential, by
// its hash. Credentials that the application did not recognize are left out, so
// that attackers cannot fill it. The zero value is ready.
type recognized struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]standing

	doubted time.Time // when this node last shut an account: nothing from before stands
	changed time.Time // when an account last changed: what was recognized before is asked about again
}

// standing is what the application said about a credential.
type standing struct {
	at      time.Time // when the application recognized it; zero: never
	account string    // the owner's; empty: unknown
}

// doubt makes the next request with any credential ask the application again. If it
// does not answer, no credential stands.
func (m *recognized) doubt(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubted = now
}

// askAgain makes the next request with any credential ask the application again. If
// it does not answer, the credential still stands.
func (m *recognized) askAgain(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = now
}

// doubtCredentials makes this node ask the application again about each credential.
func (g *Gate) doubtCredentials() {
	if last := g.last.Load(); last != nil {
		g.recognized.doubt(last.handler.now())
	}
}

// fresh reports whether a credential that was last asked about at a time passes
// without another question.
func (m *recognized) fresh(last, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !last.IsZero() && last.After(m.doubted) && last.After(m.changed) && now.Sub(last) < recognizedFor
}

// stands reports whether a credential passes while the application cannot answer.
func (m *recognized) stands(last standing, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return last.at.After(m.doubted) && now.Sub(last.at) < standingFor
}

// last is what the application said about the credential when it last recognized it.
func (m *recognized) last(key [sha256.Size]byte) standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[key]
}

func (m *recognized) remember(key [sha256.Size]byte, now standing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= recognizedKept { // a forgotten credential costs one question
		m.known = make(map[[sha256.Size]byte]standing)
	}
	m.known[key] = now
}

func (m *recognized) forget(key [sha256.Size]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, key)
}

// serveCredential passes the request on with its credential, if the application
// recognizes it and access says that the request is open to it.
func (h *Handler) serveCredential(in *incoming, access application.Access) error {
	recognition, err := h.recognize(in)
	switch {
	case access == application.Credential && recognition == application.Recognized:
		// The application checks the credential again when the request arrives, so
		// one of good standing passes while the application could not be asked.
	case err != nil:
		return h.refuseCredential(in, access, err)
	case access == application.Credential:
		// Undecided: the application answers as it would without the gate.
	case recognition != application.Recognized:
		return h.refuseCredential(in, access, h.unknownCredential(in.r.Context(), in.Caller()))
	case access == application.CredentialClosed:
		return h.refuseAs(in, request.Script, problem.CredentialNotAllowed)
	}
	delete(in.r.Header, "Cookie") // one credential is enough
	in.credential, in.call = in.r.Header["Authorization"], nil
	request.MergeSlashes(in.r)
	forwarded := in.forwarded("")
	answer := &in.answer
	answer.ResponseWriter, answer.in = in.w, in
	h.watch(answer, in.r, in.path)
	defer func() { h.answered(in.r.Context(), forwarded, answer) }()
	_, err = h.serve(in.chain, answer, in.r)
	return err
}

// refuseCredential refuses a request with a credential. A user who opens a page
// can sign in, whatever credential the browser sent along.
func (h *Handler) refuseCredential(in *incoming, access application.Access, err error) error {
	if access == application.Vouched && problem.Of(err).Code == problem.CredentialUnknown.Code && in.class() == request.Navigation {
		return h.denyAnonymous(in)
	}
	return h.refuseAs(in, request.Script, err)
}

// unknownCredential is problem.CredentialUnknown with the status that the
// application's clients understand (RFC 6750 section 3.1).
func (h *Handler) unknownCredential(ctx context.Context, call application.Caller) *problem.Problem {
	unknown := *problem.CredentialUnknown
	unknown.Status = h.config.Application.DeniedStatus(ctx, call)
	return &unknown
}

// authorized returns call with the credential of a request.
func authorized(call application.Caller, authorization []string) application.Caller {
	return func(ctx context.Context, c application.Call) (*application.Answer, error) {
		c.Header = http.Header{"Authorization": authorization}
		return call(ctx, c)
	}
}

// credentialRequest is a credential as a client brought it.
type credentialRequest struct {
	authorization string
	key           [sha256.Size]byte // its hash
	address       netip.Prefix      // of the client
	call          application.Caller
}

// recognize says what the application thinks of the request's credential. An
// error next to Recognized means that the application could not be asked just
// now, but recognized the credential a short time ago. It is asked once a minute,
// and once for all requests from one address that bring the same credential at
// the same time, unless an account changed after it was asked.
func (h *Handler) recognize(in *incoming) (application.Recognition, error) {
	authorization := in.r.Header["Authorization"][0] // Access says that there is one
	credential := credentialRequest{authorization: authorization, key: sha256.Sum256([]byte(authorization))}
	ctx, known := in.shared(), &h.config.Gate.recognized
	if known.fresh(known.last(credential.key).at, in.now()) {
		return application.Recognized, nil
	}
	credential.call, credential.address = in.Caller(), limit.AddressOf(in.chain.ClientIP())
	for mine, joined := false, false; ; joined = true {
		asked, err, _ := h.config.Gate.calls.Do("recognize "+string(credential.key[:])+credential.address.String(), func() (any, error) {
			mine = true
			return h.ask(ctx, credential)
		})
		recognition, _ := asked.(application.Recognition)
		// The answer may be from before a change. The next question is not.
		if mine || joined || err != nil || recognition != application.Recognized || known.fresh(known.last(credential.key).at, h.now()) {
			return recognition, err
		}
	}
}

// ask asks the application about a credential.
func (h *Handler) ask(ctx context.Context, credential credentialRequest) (application.Recognition, error) {
	now := h.now()
	h.config.Gate.Sessions.Use() // other nodes may void the answer
	last := h.config.Gate.recognized.last(credential.key)
	attempt, wait := h.config.Gate.attempts.Take(credential.address, credential.authorization, now)
	if attempt == nil && last.at.IsZero() {
		// A credential that was good a minute ago is not refused because of
		// other clients behind the same address.
		return application.Undecided, problem.TooManyAttempts.After(wait)
	}
	asked, cancel := context.WithTimeout(ctx, recognizeTimeout)
	defer cancel()
	recognition, account, err := h.config.Application.Recognize(asked, credential.call, credential.authorization)
	stands := err != nil && problem.Of(err).Away && h.config.Gate.recognized.stands(last, now)
	if (err != nil || recognition == application.Undecided) && !last.at.IsZero() {
		// The owner may have been shut out since, on any node.
		shut, failed := h.isShut(ctx, credential.authorization, last.account)
		switch {
		case failed != nil:
			stands, err = false, cannotTell(failed)
		case shut:
			recognition, err = application.Unrecognized, nil
		}
	}
	switch {
	case err == nil && recognition == application.Unrecognized:
		h.config.Gate.recognized.forget(credential.key)
		return recognition, h.unknownCredential(ctx, credential.call)
	case err == nil && recognition == application.Recognized:
		h.config.Gate.recognized.remember(credential.key, standing{now, account})
	case stands:
		recognition = application.Recognized
	}
	if attempt != nil {
		h.config.Gate.attempts.GiveBack(attempt)
	}
	return recognition, err
}

// exchangeLimit bounds a request with a credential in its body, in bytes.
const exchangeLimit = 64 << 10

// serveExchange passes a credential in the request's body on, and counts a
// refusal. The application's response to a wrong one tells which accounts
// exist; the gate's response does not. A session changes nothing: its user
// could guess the passwords of others.
func (h *Handler) serveExchange(in *incoming) error {
	if _, err := request.ReadBody(in.w, in.r, exchangeLimit); err != nil {
		return h.refuseAs(in, request.Script, bodyProblem(err))
	}
	attempt, wait := h.config.Gate.attempts.Take(limit.AddressOf(in.chain.ClientIP()), rand.Text(), h.now())
	if attempt == nil {
		return h.refuseAs(in, request.Script, problem.TooManyAttempts.After(wait))
	}
	delete(in.r.Header, "Authorization")
	delete(in.r.Header, "Cookie")
	issued := h.config.Application.Exchange(in.r)
	recorded := application.NewRecorder(0)
	if _, err := h.serve(in.chain, recorded, in.r); err != nil {
		h.config.Gate.attempts.GiveBack(attempt)
		return err
	}
	answer := recorded.Answer()
	switch {
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusInternalServerError:
		return h.refuseAs(in, request.Script, problem.CredentialUnknown)
	case answer.Status >= http.StatusBadGateway:
		h.applicationFailed()
		fallthrough
	case answer.Status < http.StatusBadRequest:
		h.config.Gate.attempts.GiveBack(attempt)
	}
	switch {
	case answer.Cut: // the gate cannot note the tokens in what it has not read
		return h.refuseAs(in, request.Script, problem.ApplicationAway)
	case answer.Status/100 == 2:
		if err := issued(in.r.Context(), in.Caller(), answer.Body); err != nil {
			return h.refuseAs(in, request.Script, err)
		}
	}
	h.config.Application.Filter(answer.Header, false, new([1]string))
	maps.Copy(in.w.Header(), answer.Header)
	in.w.Header().Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	in.w.WriteHeader(max(answer.Status, http.StatusOK))
	_, err := in.w.Write(answer.Body)
	return err
}
