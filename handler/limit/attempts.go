// Invalid credentials per client address.

package limit

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// attemptLimit is the number of invalid credentials that one client address
	// may send per attemptWindow. Logout tokens are counted apart.
	attemptLimit  = 20
	attemptWindow = time.Minute

	// addressesKept bounds how many addresses are counted at once.
	addressesKept = 10_000
)

// Attempts counts invalid credentials by client address. When there are too
// many addresses it forgets the oldest; addresses never share a count.
//
// An attempt counts from the moment the credential is checked, so that a
// thousand guesses sent at once are not all checked before the first one turns
// out to be wrong. The zero value is ready.
type Attempts struct {
	mu        sync.Mutex
	byAddress bounded[netip.Prefix, *Attempt]
}

// Attempt is one address's count since its first attempt in the window.
type Attempt struct {
	began time.Time
	n     int
}

// Take counts an attempt from address. It returns nil and the time to wait if
// the address has used up its attempts. The caller calls GiveBack if the
// credential was not invalid.
func (a *Attempts) Take(address netip.Prefix, now time.Time) (*Attempt, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byAddress.expire(now, attemptWindow)
	t, ok := a.byAddress.get(address)
	if !ok {
		t = &Attempt{began: now}
		a.byAddress.add(address, t, now, addressesKept)
	}
	if t.n >= attemptLimit {
		return nil, attemptWindow - now.Sub(t.began)
	}
	t.n++
	return t, 0
}

// GiveBack uncounts an attempt that Take returned.
func (a *Attempts) GiveBack(attempt *Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	attempt.n--
}

// AddressOf returns the unit that counts as one client: an IPv4 address, or the
// /64 in which an IPv6 client picks its own address. Everything that is not an
// address counts as one client.
func AddressOf(ip string) netip.Prefix {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap()
	bits := 64
	if address.Is4() {
		bits = 32
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
