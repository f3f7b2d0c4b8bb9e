// What of a sign-in the operator sees, and for how long.

package watch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
)

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s SignIn
		s.Begin("", "a", Request{}) // nothing is followed yet
		if _, ok := s.Report(""); ok {
			t.Fatal("a gate that follows nothing has a report")
		}
		marker := s.Follow(time.Minute)
		s.Begin("another", "b", Request{})
		s.Begin(marker, "preview", Request{})
		s.Begin(marker, "state", Request{})
		if ctx := s.Came(t.Context(), "preview"); ctx != t.Context() {
			t.Error("a login is followed that another one replaced")
		}
		ctx := s.Came(t.Context(), "state")
		s.Begin(marker, "later", Request{}) // the address begins one sign-in
		_, end := span.Start(ctx, "step")
		time.Sleep(time.Second)
		end(errors.New("refused"))
		s.Knows("state", &Claims{Username: "alice"}, "admin")
		s.Knows("b", &Claims{Username: "bob"}, "user")
		s.Ended("state", nil)
		s.Knows("state", &Claims{Username: "bob"}, "user")
		report, ok := s.Report(marker)
		if !ok || !report.Done || report.Refusal != nil || report.Claims.Username != "alice" || report.Role != "admin" || len(report.Steps) != 4 {
			t.Fatalf("got %+v, %v, want alice's sign-in in four steps", report, ok)
		}
		if step := report.Steps[3]; step.Name != "step" || step.Took != time.Second || !step.Failed {
			t.Errorf("got the step %+v, want one that failed after a second", step)
		}
		if _, ok := s.Report("another"); ok {
			t.Error("a made-up marker shows the report")
		}
		if next := s.Follow(time.Minute); next == marker {
			t.Error("two sign-ins have one marker")
		}
		if _, ok := s.Report(marker); ok {
			t.Error("the former sign-in is still shown")
		}
	})
}

// A marker that lies in a browser's history begins nothing later, and what it showed
// is forgotten.
func TestFollowIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s SignIn
		marker := s.Follow(time.Minute)
		s.Begin(marker, "state", Request{})
		s.Knows("state", &Claims{Username: "alice"}, "admin")
		time.Sleep(time.Minute + time.Second)
		s.Begin(marker, "late", Request{})
		if ctx := s.Came(t.Context(), "late"); ctx != t.Context() {
			t.Error("a sign-in is followed that began after the wait")
		}
		time.Sleep(kept)
		synctest.Wait()
		if report, ok := s.Report(marker); ok {
			t.Errorf("the report is kept: %+v", report)
		}
		s.Follow(1000 * time.Hour)
		if time.Until(s.until) > longest {
			t.Error("a gate waits for longer than an hour")
		}
		time.Sleep(2 * longest)
	})
}

// A login that lost its cookie goes on as the one in its place.
func TestFollowRestarted(t *testing.T) {
	var s SignIn
	marker := s.Follow(time.Minute)
	s.Begin(marker, "state", Request{})
	s.Restarted("another", "b")
	s.Restarted("state", "next")
	s.Came(t.Context(), "next")
	s.Ended("next", &Refusal{Code: "not_allowed"})
	if report, _ := s.Report(marker); !report.Done || report.Refusal.Code != "not_allowed" || len(report.Steps) != 3 {
		t.Errorf("got %+v, want the refusal of the second login in three steps", report)
	}
}
