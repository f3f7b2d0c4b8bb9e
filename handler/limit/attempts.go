// Invalid credentials per client address.

package limit

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// attemptLimit is the number of different invalid credentials that one
	// client address may send per attemptWindow, and how often it may send the
	// same one. Logout tokens and token requests are counted apart.
	attemptLimit  = 20
	attemptWindow = time.Minute

	// addressesOfNetwork is how many times the limit of one client all clients of an
	// IPv6 /48 may use up together: a /48 has 65,536 units that count as a client.
	addressesOfNetwork = 3

	// addressesKept bounds how many addresses are counted at once.
	addressesKept = 10_000
)

// Attempts counts invalid credentials by client address. The same credential
// counts once, so that an app with an old token does not shut out the other
// clients of its address. When there are too many addresses, Attempts forgets the
// oldest; addresses never share a count.
//
// An attempt counts from the moment the credential is checked, so that a
// thousand guesses sent at once are not all checked before the first one turns
// out to be wrong. The zero value is ready.
type Attempts struct {
	Most int // different attempts of a client per minute; 0: 20

	mu        sync.Mutex
	byAddress bounded[netip.Prefix, *guesses]
}

// Attempt is a credential that is being checked, or was invalid.
type Attempt struct {
	key    uint64
	counts []*guesses // of the address and its network
}

// guesses are the credentials of one address since the first in the window.
type guesses struct {
	began time.Time
	times map[uint64]int // how often each came
}

// seed hashes credentials, so that an attacker cannot make two that count as one.
var seed = maphash.MakeSeed()

// Take counts an attempt from address with a credential. It returns nil and the
// time to wait if the address has used up its attempts. The caller calls GiveBack
// if the credential was not invalid.
func (a *Attempts) Take(address netip.Prefix, credential string, now time.Time) (*Attempt, time.Duration) {
	attempt := &Attempt{key: maphash.String(seed, credential)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byAddress.expire(now, attemptWindow)
	most := cmp.Or(a.Most, attemptLimit)
	units, limits := []netip.Prefix{address}, []int{most}
	if network := networkOf(address); network != address {
		units, limits = append(units, network), append(limits, addressesOfNetwork*most)
	}
	for i, unit := range units { // a refused attempt adds no entry: many of them would push out the network's
		count, ok := a.byAddress.get(unit)
		if !ok {
			continue
		}
		if n := count.times[attempt.key]; n >= attemptLimit || n == 0 && len(count.times) >= limits[i] {
			return nil, attemptWindow - now.Sub(count.began)
		}
	}
	for _, unit := range units {
		count, ok := a.byAddress.get(unit)
		if !ok {
			count = &guesses{began: now, times: make(map[uint64]int)}
			a.byAddress.add(unit, count, now, addressesKept)
		}
		count.times[attempt.key]++
		attempt.counts = append(attempt.counts, count)
	}
	return attempt, 0
}

// GiveBack uncounts an attempt that Take returned.
func (a *Attempts) GiveBack(attempt *Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, count := range attempt.counts {
		if count.times[attempt.key]--; count.times[attempt.key] <= 0 {
			delete(count.times, attempt.key)
		}
	}
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

// NetworkOf returns the unit that counts as one attacker: an IPv4 address, or
// the /48 that anyone can get for IPv6.
func NetworkOf(ip string) netip.Prefix { return networkOf(AddressOf(ip)) }

func networkOf(address netip.Prefix) netip.Prefix {
	if !address.IsValid() || address.Addr().Is4() {
		return address
	}
	network, _ := address.Addr().Prefix(48) // it is an IPv6 address
	return network
}
