// Invalid credentials per client address.

package limit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestAttempts(t *testing.T) {
	t.Parallel()
	var a Attempts
	now := time.Unix(1000, 0)
	here, there := AddressOf("192.0.2.1"), AddressOf("192.0.2.2")
	for i := range attemptLimit {
		if attempt, _ := a.Take(here, fmt.Sprint(i), now.Add(time.Duration(i)*time.Second)); attempt == nil {
			t.Fatalf("attempt %d was refused", i+1)
		}
	}
	if attempt, wait := a.Take(here, "x", now.Add(30*time.Second)); attempt != nil || wait != 30*time.Second {
		t.Errorf("one attempt too many: got %v and a wait of %v, want none and 30s", attempt, wait)
	}
	if attempt, _ := a.Take(there, "x", now); attempt == nil {
		t.Error("an attempt from another address was refused")
	}
	if attempt, _ := a.Take(here, "x", now.Add(attemptWindow)); attempt == nil {
		t.Error("an attempt after the window was refused")
	}
}

// Guesses sent at once count before any of them is answered. An attempt that
// was not invalid is given back.
func TestAttemptsUnderWayCount(t *testing.T) {
	t.Parallel()
	var a Attempts
	now, here := time.Unix(1000, 0), AddressOf("192.0.2.1")
	var last *Attempt
	for i := range attemptLimit {
		last, _ = a.Take(here, fmt.Sprint(i), now)
	}
	if attempt, _ := a.Take(here, "x", now); attempt != nil {
		t.Error("an attempt beyond the limit was admitted while the others were under way")
	}
	a.GiveBack(last)
	if attempt, _ := a.Take(here, "x", now); attempt == nil {
		t.Error("an attempt was refused although one had been given back")
	}
}

// An app keeps sending one stale token. It gets no further answer in this minute,
// and the other clients of its address sign in.
func TestOneStaleCredentialShutsNoOtherOut(t *testing.T) {
	t.Parallel()
	var a Attempts
	now, here := time.Unix(1000, 0), AddressOf("192.0.2.1")
	refused := 0
	for range 100 * attemptLimit {
		if attempt, _ := a.Take(here, "stale", now); attempt == nil {
			refused++
		}
	}
	if want := 99 * attemptLimit; refused != want {
		t.Errorf("the stale credential was refused %d times, want %d", refused, want)
	}
	for i := range attemptLimit - 1 {
		if attempt, _ := a.Take(here, fmt.Sprint(i), now); attempt == nil {
			t.Fatalf("credential %d was refused", i)
		}
	}
	if attempt, _ := a.Take(here, "guess", now); attempt != nil {
		t.Error("a guess beyond the limit was admitted")
	}
}

// An attacker with a /48 takes another of its 65,536 /64 for every guess. A client
// in another /48 does not notice.
func TestGuessesOfANetwork(t *testing.T) {
	t.Parallel()
	var a Attempts
	now, admitted := time.Unix(1000, 0), 0
	for i := range 3000 {
		if attempt, _ := a.Take(AddressOf(fmt.Sprintf("2001:db8:7:%x::1", i)), fmt.Sprint(i), now); attempt != nil {
			admitted++
		}
	}
	if admitted != addressesOfNetwork*attemptLimit {
		t.Errorf("%d guesses of a /48 were admitted, want %d", admitted, addressesOfNetwork*attemptLimit)
	}
	if attempt, _ := a.Take(AddressOf("2001:db8:8:1::1"), "x", now); attempt == nil {
		t.Error("a client of another /48 was refused")
	}
	attempt, _ := a.Take(AddressOf("2001:db8:9:1::1"), "x", now)
	a.GiveBack(attempt)
	for i := range addressesOfNetwork * attemptLimit {
		if attempt, _ := a.Take(AddressOf(fmt.Sprintf("2001:db8:9:%x::1", i)), fmt.Sprint(i), now); attempt == nil {
			t.Fatalf("guess %d was refused although the one before was given back", i)
		}
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	var a Attempts
	now := time.Unix(1000, 0)
	for i := range 2 * addressesKept {
		if attempt, _ := a.Take(AddressOf(fmt.Sprintf("10.0.%d.%d", i>>8, i&255)), "x", now); attempt == nil {
			t.Fatalf("address %d was refused its first attempt", i)
		}
	}
	if len(a.byAddress.entries) > addressesKept || len(a.byAddress.order) > addressesKept {
		t.Errorf("%d addresses and %d in order, want at most 10000", len(a.byAddress.entries), len(a.byAddress.order))
	}
	a.Take(AddressOf("192.0.2.1"), "x", now.Add(attemptWindow))
	if len(a.byAddress.entries) != 1 || len(a.byAddress.order) != 1 {
		t.Errorf("after a minute: %d addresses and %d in order, want 1", len(a.byAddress.entries), len(a.byAddress.order))
	}
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1/32",
		"::ffff:192.0.2.1":     "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::1%en0":  "2001:db8:1:2::/64",
		"2001:db8:1:3::1":      "2001:db8:1:3::/64",
		"":                     netip.Prefix{}.String(),
		"192.0.2.1:443":        netip.Prefix{}.String(),
		"host.example.com.":    netip.Prefix{}.String(),
	} {
		if got := AddressOf(ip).String(); got != want {
			t.Errorf("AddressOf(%q) = %s, want %s", ip, got, want)
		}
	}
}
