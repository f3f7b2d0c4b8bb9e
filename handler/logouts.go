package handler

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

const (
	// logoutFailures is how many logout requests of one client may fail in a minute.
	logoutFailures = 30
	// logoutClients bounds how many clients are told apart; the rest share one count.
	logoutClients = 10_000
	// logoutTokens bounds how many tokens are remembered. Only the provider can
	// make one that counts.
	logoutTokens = 10_000
)

// logouts remembers what a gate was asked at its back channel. The zero value is ready.
type logouts struct {
	mu sync.Mutex

	minute time.Time            // when failed was begun
	failed map[netip.Prefix]int // requests in this minute that did not succeed, or not yet

	known map[[sha256.Size]byte]time.Time // the ids of used tokens
	order [][sha256.Size]byte
}

// begin reports whether a client may ask. Until it succeeds, it has failed: so
// many at once are bounded, too.
func (l *logouts) begin(client string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.minute) >= time.Minute {
		l.minute, l.failed = now, make(map[netip.Prefix]int)
	}
	at := l.at(client)
	l.failed[at]++
	return l.failed[at] <= logoutFailures
}

// succeeded takes back that a client has failed.
func (l *logouts) succeeded(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.at(client); l.failed[at] > 0 {
		l.failed[at]--
	}
}

// at is where a client is counted: by its address, for IPv6 by its /64, which
// is what one client has. Called under the lock.
func (l *logouts) at(client string) netip.Prefix {
	address, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	at, _ := address.Prefix(bits) // fails for bits that no address has
	if _, known := l.failed[at]; !known && len(l.failed) >= logoutClients {
		return netip.Prefix{}
	}
	return at
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
