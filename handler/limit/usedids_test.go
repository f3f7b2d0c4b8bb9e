// Identifiers that may be used only once.

package limit

import (
	"strconv"
	"testing"
	"time"
)

func TestUsedIDsAreRememberedForTheirAge(t *testing.T) {
	t.Parallel()
	ids := UsedIDs{Age: 20 * time.Minute}
	now := time.Now()
	if !ids.First("x", now) {
		t.Error("a new identifier was refused")
	}
	if ids.First("x", now.Add(ids.Age-1)) {
		t.Error("an identifier was accepted twice within its age")
	}
	if !ids.First("x", now.Add(ids.Age)) {
		t.Error("an identifier was refused after its age")
	}
	for i := range 3 * usedIDsKept {
		ids.First(strconv.Itoa(i), now)
	}
	if len(ids.known.entries) > usedIDsKept || len(ids.known.order) > usedIDsKept {
		t.Errorf("%d identifiers are remembered, want at most %d", len(ids.known.entries), usedIDsKept)
	}
	if ids.First(strconv.Itoa(3*usedIDsKept-1), now) {
		t.Error("the newest identifier was forgotten")
	}
}
