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
	for i := range AttemptLimit {
		if attempt, _ := a.Take(here, now.Add(time.Duration(i)*time.Second)); attempt == nil {
			t.Fatalf("attempt %d was refused", i+1)
		}
	}
	if attempt, wait := a.Take(here, now.Add(30*time.Second)); attempt != nil || wait != 30*time.Second {
		t.Errorf("one too many: %v, %v", attempt, wait)
	}
	if attempt, _ := a.Take(there, now); attempt == nil {
		t.Error("another address pays for it")
	}
	if attempt, _ := a.Take(here, now.Add(AttemptWindow)); attempt == nil {
		t.Error("refused after its time")
	}
}

// Guesses at the same moment count before any of them is answered; what turns
// out to be none is given back.
func TestAttemptsUnderWayCount(t *testing.T) {
	t.Parallel()
	var a Attempts
	now, here := time.Unix(1000, 0), AddressOf("192.0.2.1")
	var last *tally
	for range AttemptLimit {
		last, _ = a.Take(here, now)
	}
	if attempt, _ := a.Take(here, now); attempt != nil {
		t.Error("more under way than allowed")
	}
	a.GiveBack(last)
	if attempt, _ := a.Take(here, now); attempt == nil {
		t.Error("nothing was given back")
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	var a Attempts
	now := time.Unix(1000, 0)
	for i := range 2 * AddressesKept {
		if attempt, _ := a.Take(AddressOf(fmt.Sprintf("10.0.%d.%d", i>>8, i&255)), now); attempt == nil {
			t.Fatal(i)
		}
	}
	if len(a.byAddress.entries) > AddressesKept || len(a.byAddress.order) > AddressesKept {
		t.Errorf("%d addresses, %d in order", len(a.byAddress.entries), len(a.byAddress.order))
	}
	a.Take(AddressOf("192.0.2.1"), now.Add(AttemptWindow))
	if len(a.byAddress.entries) != 1 || len(a.byAddress.order) != 1 {
		t.Errorf("after a minute: %d addresses, %d in order", len(a.byAddress.entries), len(a.byAddress.order))
	}
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"192.0.2.1":             "192.0.2.1/32",
		"::ffff:192.0.2.1":      "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6":  "2001:db8:1:2::/64",
		"2001:db8:1:2::1%en0":   "2001:db8:1:2::/64",
		"2001:db8:1:3::1":       "2001:db8:1:3::/64",
		"":                      netip.Prefix{}.String(),
		"192.0.2.1:443":         netip.Prefix{}.String(),
		"somebody.example.com.": netip.Prefix{}.String(),
	} {
		if got := AddressOf(ip).String(); got != want {
			t.Errorf("%q: %s, want %s", ip, got, want)
		}
	}
}
