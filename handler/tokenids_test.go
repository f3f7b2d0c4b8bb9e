package handler

import (
	"strconv"
	"testing"
	"time"
)

func TestUsedIDsAreRememberedForTheirAge(t *testing.T) {
	t.Parallel()
	ids := usedIDs{Age: 20 * time.Minute}
	now := time.Now()
	if !ids.first("x", now) {
		t.Error("a new identifier was refused")
	}
	if ids.first("x", now.Add(ids.Age-1)) {
		t.Error("an identifier was accepted twice within its age")
	}
	if !ids.first("x", now.Add(ids.Age)) {
		t.Error("an identifier was refused after its age")
	}
	for i := range 3 * usedIDsKept {
		ids.first(strconv.Itoa(i), now)
	}
	if len(ids.known.entries) > usedIDsKept || len(ids.known.order) > usedIDsKept {
		t.Errorf("%d identifiers are remembered, want at most %d", len(ids.known.entries), usedIDsKept)
	}
	if ids.first(strconv.Itoa(3*usedIDsKept-1), now) {
		t.Error("the newest identifier was forgotten")
	}
}
