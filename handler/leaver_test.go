// Clients that leave while other requests wait for the answer to the same question.

package handler

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// attentive is an application whose calls end with their context, as those to a
// storage across the network do.
type attentive struct {
	*fakeApplication

	answer chan struct{} // the calls wait for it
}

func (a attentive) wait(ctx context.Context) error {
	select {
	case <-a.answer:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return problem.StorageUnavailable.Because(ctx.Err())
	}
	return nil
}

func (a attentive) SignIn(ctx context.Context, call application.Caller, identity flow.Identity) (application.Session, error) {
	if err := a.wait(ctx); err != nil {
		return application.Session{}, err
	}
	return a.fakeApplication.SignIn(ctx, call, identity)
}

func (a attentive) Confirm(ctx context.Context, call application.Caller, session application.Session) (bool, string, error) {
	if err := a.wait(ctx); err != nil {
		return false, "", err
	}
	return a.fakeApplication.Confirm(ctx, call, session)
}

func (a attentive) Recognize(ctx context.Context, call application.Caller, authorization string) (application.Recognition, string, error) {
	if err := a.wait(ctx); err != nil {
		return application.Undecided, "", err
	}
	return a.fakeApplication.Recognize(ctx, call, authorization)
}

// A tab is closed, or an app cancels a download, while the gate asks for it what other
// requests wait for, too. These get the answer, and no save is lost.
func TestClientLeavesWhileOthersWait(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		target string
		cookie bool
		before func(*site)
	}{
		"a session that is confirmed":      {"POST /api/saves", true, func(s *site) { s.handler.config.Gate.doubt() }},
		"a session that was forgotten":     {"POST /api/saves", true, func(s *site) { delete(s.app.alive, "app-0"); s.handler.config.Gate.doubt() }},
		"a credential that is looked up":   {"GET /token", false, func(*site) {}},
		"a credential, on a file's route":  {"GET /files/x", false, func(*site) {}},
		"a credential for what it may not": {"GET /vouched", false, func(*site) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, nil)
				s.app.credentials = map[string]application.Recognition{"good": application.Recognized}
				app := attentive{s.app, make(chan struct{})}
				s.handler.config.Application = app
				ticket := s.ticket(t, alice)
				row.before(s)
				method, path, _ := strings.Cut(row.target, " ")
				var requests sync.WaitGroup
				send := func(ctx context.Context) *httptest.ResponseRecorder {
					r := httptest.NewRequest(method, "https://romm.example.com"+path, nil).WithContext(ctx)
					r.TLS.HandshakeComplete = true
					if row.cookie {
						r.Header.Set("Cookie", ticket)
					} else {
						r.Header.Set("Authorization", "good")
					}
					w := httptest.NewRecorder()
					requests.Go(func() { _ = s.handler.ServeHTTP(w, r, &chainFunc{serve: s.chain.serve}) }) //nolint:contextcheck // the request carries it
					synctest.Wait()
					return w
				}
				leaver, leave := context.WithCancel(t.Context())
				send(leaver)
				stays := send(t.Context())
				leave()
				synctest.Wait()
				close(app.answer)
				requests.Wait()
				if stays.Code != http.StatusOK {
					t.Errorf("the request of the client that stays: got %d %s, want 200", stays.Code, stays.Body)
				}
			})
		})
	}
}
