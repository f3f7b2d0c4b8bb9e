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
		if attempt, _ := a.Take(here, now.Add(time.Duration(i)*time.Second)); attempt == nil {
			t.Fatalf("attempt %d was refused", i+1)
		}
	}
	if attempt, wait := a.Take(here, now.Add(30*time.Second)); attempt != nil || wait != 30*time.Second {
		t.Errorf("one attempt too many: got %v and a wait of %v, want none and 30s", attempt, wait)
	}
	if attempt, _ := a.Take(there, now); attempt == nil {
		t.Error("an attempt from another address was refused")
	}
	if attempt, _ := a.Take(here, now.Add(attemptWindow)); attempt == nil {
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
	for range attemptLimit {
		last, _ = a.Take(here, now)
	}
	if attempt, _ := a.Take(here, now); attempt != nil {
		t.Error("an attempt beyond the limit was admitted while the others were under way")
	}
	a.GiveBack(last)
	if attempt, _ := a.Take(here, now); attempt == nil {
		t.Error("an attempt was refused although one had been given back")
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	var a Attempts
	now := time.Unix(1000, 0)
	for i := range 2 * addressesKept {
		if attempt, _ := a.Take(AddressOf(fmt.Sprintf("10.0.%d.%d", i>>8, i&255)), now); attempt == nil {
			t.Fatalf("address %d was refused its first attempt", i)
		}
	}
	if len(a.byAddress.entries) > addressesKept || len(a.byAddress.order) > addressesKept {
		t.Errorf("%d addresses and %d in order, want at most 10000", len(a.byAddress.entries), len(a.byAddress.order))
	}
	a.Take(AddressOf("192.0.2.1"), now.Add(attemptWindow))
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
