// Tests of the memory for codes: bounded, and emptied.

package op

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestRedeemedCodesAreBoundedAndForgotten(t *testing.T) {
	clock := newClock()
	codes := NewCodes(clock.Now)
	content := codeContent{Expires: clock.Now().Add(codeLifetime).UnixMilli()}
	for i := range codesKept {
		if err := codes.redeem(fmt.Sprint(i), content); err != nil {
			t.Fatalf("redeeming code %d: %v, want no error", i, err)
		}
	}
	if err := codes.redeem("one more", content); !errors.Is(err, errUnavailable) {
		t.Errorf("redeeming a code that cannot be remembered: %v, want %v", err, errUnavailable)
	}
	codes.refuse("one more", content, reasonSecret)
	if len(codes.records) != codesKept {
		t.Errorf("%d codes are remembered, want %d", len(codes.records), codesKept)
	}
	if err := codes.redeem("0", content); !errors.Is(err, errUsed) {
		t.Errorf("redeeming the first code again: %v, want %v", err, errUsed)
	}
	clock.add(2*codeLifetime + time.Second)
	if err := codes.redeem("one more", codeContent{Expires: clock.Now().Add(codeLifetime).UnixMilli()}); err != nil {
		t.Errorf("redeeming a code after the others expired: %v, want no error", err)
	}
	if len(codes.records) != 1 {
		t.Errorf("%d codes are remembered after the others expired, want 1", len(codes.records))
	}
}
