// Changes of accounts that the client leaves.

package handler

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// A client leaves before the application has changed the account. The gate waits
// for the response, within a bound: until then a confirmation may be wrong. Other
// requests end with their client.
func TestLeftAccountChangeIsSeen(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{http.MethodPut: true, http.MethodGet: false} {
		for _, fields := range [][]string{{"/a", "Cookie"}, {"/token", "Authorization"}} {
			s := newSite(t, nil)
			s.app.credentials, s.app.answered = map[string]application.Recognition{"good": application.Recognized}, []string{}
			credential := "good"
			if fields[1] == "Cookie" {
				credential = s.ticket(t, alice)
			}
			ctx, leave := context.WithCancel(t.Context())
			s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
				leave()
				if deadline, ok := r.Context().Deadline(); want && (!ok || time.Until(deadline) > changeTimeout) {
					t.Errorf("%s %s: passed on without a deadline within %v", method, fields[0], changeTimeout)
				}
				if err := r.Context().Err(); err != nil {
					return err
				}
				_, _ = w.Write([]byte("account"))
				return nil
			}
			r := httptest.NewRequestWithContext(ctx, method, "https://romm.example.com"+fields[0], nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set(fields[1], credential)
			w := httptest.NewRecorder()
			_ = s.handler.ServeHTTP(w, r, s.chain)
			if done := w.Body.String() == "account"; done != want {
				t.Errorf("%s %s: carried out = %v after the client left, want %v", method, fields[0], done, want)
			}
			told := slices.ContainsFunc(s.app.answered, func(answer string) bool { return len(answer) > 4 && answer != fields[0]+" 0" })
			if told != want {
				t.Errorf("%s %s: the application was told %q", method, fields[0], s.app.answered)
			}
		}
	}
}
