package handler

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// logoutTokens bounds how many tokens are remembered. Only the provider can
// make one that counts.
const logoutTokens = 10_000

// logouts remembers what a gate was asked at its back channel. The zero value is ready.
type logouts struct {
	attempts attempts // requests that did not succeed, or not yet

	mu    sync.Mutex
	known map[[sha256.Size]byte]time.Time // the ids of used tokens
	order [][sha256.Size]byte
}

// first reports whether the token with this id comes for the first time. An id
// is remembered for twice as long as its token is accepted.
func (l *logouts) first(id string, now time.Time) bool {
	key := sha256.Sum256([]byte(id))
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.order) > 0 && (len(l.order) >= logoutTokens || now.Sub(l.known[l.order[0]]) > 2*flow.LogoutTokenAge) {
		delete(l.known, l.order[0])
		l.order = l.order[1:]
	}
	if _, used := l.known[key]; used {
		return false
	}
	if l.known == nil {
		l.known = make(map[[sha256.Size]byte]time.Time)
	}
	l.known[key] = now
	l.order = append(l.order, key)
	return true
}
