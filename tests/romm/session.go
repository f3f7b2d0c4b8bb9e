// The session cookie and the sessions in Redis.

package romm

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	sessionCookie = "romm_session"
	sessionIssuer = "romm:auth"
)

// sessionData is the session that Redis has under session:<id>, or before 4.5 the
// cookie.
type sessionData struct {
	Issuer   string        `json:"iss,omitempty"`
	Subject  string        `json:"sub,omitempty"`
	DeviceID string        `json:"device_id,omitempty"`
	IDToken  string        `json:"oidc_id_token,omitempty"`
	Login    *pendingLogin `json:"_state_openid,omitempty"`
	Expires  int64         `json:"exp,omitempty"`
}

// pendingLogin is a sign-in at the provider. A session holds at most one: the next
// sign-in replaces it. It is never changed in place.
type pendingLogin struct {
	State       string `json:"state"`
	Nonce       string `json:"nonce"`
	RedirectURI string `json:"redirect_uri"`
	Expires     int64  `json:"exp"`
}

// session is one request's copy of a session: read when the request begins, and
// written as a whole when the response begins. The last writer wins.
type session struct {
	id        string
	data      sessionData
	presented bool
}

type storedSession struct {
	data    sessionData
	expires time.Time
}

// sessions is Redis.
type sessions struct {
	mu   sync.Mutex
	byID map[string]storedSession
}

func (s *sessions) load(id string, now time.Time) (sessionData, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, ok := s.byID[id]
	if !ok || !now.Before(stored.expires) {
		return sessionData{}, false
	}
	return stored.data, true
}

func (s *sessions) store(id string, data sessionData, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[id] = storedSession{data: data, expires: expires}
}

func (s *sessions) remove(match func(id string, data sessionData) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, stored := range s.byID {
		if match(id, stored.data) {
			delete(s.byID, id)
		}
	}
}

// readSession reads the session of the cookie. It does not adopt an unknown id: a
// session that begins in this request gets a new one.
func (x *exchange) readSession() error {
	value, found := x.cookie(sessionCookie)
	if !found {
		return nil
	}
	if !x.version.redisSessions() {
		return x.readSignedSession(value)
	}
	x.session.presented = true
	if data, ok := x.sessions.load(value, x.options.Now()); ok {
		x.session.id, x.session.data = value, data
	}
	return nil
}

// readSignedSession reads the session cookie of releases before 4.5. A foreign
// signature is no session, an expired session is cleared in the response, and a
// cookie that is no JWT is a crash.
func (x *exchange) readSignedSession(value string) error {
	token, err := jose.ParseSignedCompact(value, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		return errUnhandled
	}
	payload, err := token.Verify(x.secretKey())
	if err != nil {
		return nil //nolint:nilerr // RomM treats it as no session
	}
	var data sessionData
	if err := json.Unmarshal(payload, &data); err != nil {
		return errUnhandled
	}
	x.session.presented = true
	if data.Expires == 0 || data.Expires >= x.options.Now().Unix() {
		x.session.data = data
	}
	return nil
}

// writeSession extends a live session and clears the cookie of an ended one, in
// every response.
func (x *exchange) writeSession() {
	flags := "httponly; samesite=" + x.sameSite()
	if x.options.SecureCookies && x.version.atLeast(5, 1, 0) {
		flags += "; secure"
	}
	data := x.session.data
	data.Expires = 0
	if data == (sessionData{}) {
		if x.session.presented {
			x.reply.Header().Add("Set-Cookie",
				sessionCookie+"=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; "+flags)
		}
		if x.session.id != "" {
			x.sessions.remove(func(id string, _ sessionData) bool { return id == x.session.id })
		}
		return
	}
	value := x.session.id
	if x.version.redisSessions() {
		if value == "" {
			value = uuid4()
			x.session.id = value
		}
		x.sessions.store(value, data, x.options.Now().Add(x.options.SessionMaxAge))
	} else {
		value = x.signedSession()
	}
	x.reply.Header().Add("Set-Cookie", fmt.Sprintf("%s=%s; path=/; Max-Age=%d; %s",
		sessionCookie, value, int(x.options.SessionMaxAge.Seconds()), flags))
}

// signedSession returns the session as a cookie, with the expiry that it began
// with.
func (x *exchange) signedSession() string {
	if x.session.data.Expires == 0 {
		x.session.data.Expires = x.options.Now().Add(x.options.SessionMaxAge).Unix()
	}
	return x.sign(x.session.data)
}

func (x *exchange) sameSite() string {
	if x.options.OIDC.Enabled && x.version.atLeast(4, 3, 2) {
		return "lax"
	}
	return "strict"
}

// Sessions returns the number of sessions in Redis, including those of unfinished
// sign-ins. Before 4.5 it is 0.
func (s *Server) Sessions() int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return len(s.sessions.byID)
}

// DropSessions empties Redis.
func (s *Server) DropSessions() {
	s.sessions.remove(func(string, sessionData) bool { return true })
}

// dropSessionsOf ends all sessions of one user, as a password reset does.
func (s *Server) dropSessionsOf(user string) {
	s.sessions.remove(func(_ string, data sessionData) bool { return strings.EqualFold(data.Subject, user) })
}

func uuid4() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
