// What a visitor cannot make a call carry.

package application

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The attacker sends fields that the server takes and the application refuses: a
// long one, or many. Every call on their behalf would fail, and with it what is to
// be taken from them.
func TestPoisonedHeaderIsNotCarried(t *testing.T) {
	t.Parallel()
	many := http.Header{"User-Agent": {"Firefox"}, "X-Forwarded-For": {"198.51.100.7"}}
	for i := range 100 {
		many.Set(fmt.Sprint("X-", i), strings.Repeat("x", FieldLimit-10))
	}
	for name, visitor := range map[string]http.Header{
		"a long User-Agent":      {"User-Agent": {strings.Repeat("x", 17_000)}},
		"a long X-Forwarded-For": {"X-Forwarded-For": {strings.Repeat("1", 17_000)}, "Accept": {"*/*"}},
		"a long field":           {"X-Any": {strings.Repeat("x", 17_000)}},
		"many lines":             {"X-Any": strings.Split(strings.Repeat("x,", 1000), ",")},
		"many fields":            many,
	} {
		header := make(http.Header)
		carry(header, visitor)
		size := 0
		for field, values := range header {
			size += len(field) + FieldSize(values)
			if FieldSize(values) > FieldLimit+2 {
				t.Errorf("%s: %s has %d bytes, want %d at most", name, field, FieldSize(values), FieldLimit)
			}
		}
		if size > headerLimit {
			t.Errorf("%s: %d bytes in all, want %d at most", name, size, headerLimit)
		}
	}
	header := make(http.Header)
	carry(header, many)
	if header.Get("User-Agent") != "Firefox" || header.Get("X-Forwarded-For") != "198.51.100.7" {
		t.Errorf("many fields: the call carries %v, want User-Agent and X-Forwarded-For", header)
	}
}
