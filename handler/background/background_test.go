// The outcomes of work beside the requests: counted, and said once.

package background

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A lasting failure is one warning, however often it is met, and its end
// is one line. Work that fails for one user only is a line in ten minutes.
func TestFailuresAreSaidOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		logger := zap.New(core)
		m := New(func() *zap.Logger { return logger })
		counted := map[string]int{}
		m.Count = func(work Work, outcome Outcome) { counted[string(work)+" "+string(outcome)]++ }
		for _, work := range All() {
			m.Done(work, nil)
			for range 100 {
				m.Done(work, errors.New("away"))
			}
			m.Done(work, context.Canceled)
			if failing := m.Failing(); len(failing) != 1 || failing[0].Work != work || failing[0].Err.Error() != "away" {
				t.Errorf("%s: failing is %v", work, failing)
			}
			m.Done(work, nil)
			lines := logs.TakeAll()
			if len(lines) != 2 || lines[0].Message != meanings[work].failing || lines[0].Level != zap.WarnLevel ||
				lines[1].Message != meanings[work].again || lines[1].Level != zap.InfoLevel || lines[0].Message == "" {
				t.Errorf("%s: the log has %v, want a warning and the end of it", work, lines)
			}
			if counted[string(work)+" ok"] != 2 || counted[string(work)+" failed"] != 100 {
				t.Errorf("%s: counted %v", work, counted)
			}
		}
		for range 60 { // one user of two
			m.Done(Recheck, errors.New("one"))
			m.Done(Recheck, nil)
			time.Sleep(time.Minute)
		}
		if n := logs.Len(); n < 8 || n > 12 {
			t.Errorf("an hour of failures for one user is %d lines, want two in ten minutes", n)
		}
	})
}
