package limit

import (
	"net/netip"
	"sync"
	"time"
)

// AttemptLimit is how many credentials that turn out to be none, and apart from
// them how many logout tokens, one address may bring in AttemptWindow.
const AttemptLimit = 20

const AttemptWindow = time.Minute

// AddressesKept bounds how many addresses are counted at once.
const AddressesKept = 10_000

// Attempts counts, by client address, what was brought and turned out to be
// none. The oldest addresses are forgotten where there are too many: nobody
// shares a count with strangers.
// One counts from the moment it is looked at, so that a thousand guesses at
// once are not all looked at before the first is found wrong. The zero value
// is ready.
type Attempts struct {
	mu        sync.Mutex
	byAddress bounded[netip.Prefix, *tally]
}

// tally is what one address did since its first attempt.
type tally struct {
	began time.Time
	n     int
}

// Take counts an attempt of address. If there were too many it returns no
// tally, and how long there will be none.
func (a *Attempts) Take(address netip.Prefix, now time.Time) (*tally, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byAddress.expire(now, AttemptWindow)
	t, ok := a.byAddress.get(address)
	if !ok {
		t = &tally{began: now}
		a.byAddress.add(address, t, now, AddressesKept)
	}
	if t.n >= AttemptLimit {
		return nil, AttemptWindow - now.Sub(t.began)
	}
	t.n++
	return t, 0
}

// GiveBack takes an attempt back that was none.
func (a *Attempts) GiveBack(t *tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.n--
}

// AddressOf returns what counts as one client: an IPv4 address, or the /64
// that an IPv6 client may number as it likes. All that cannot be read is one.
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
