// What a refusal says: the cause in the log, not on the page.

package handler

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// The operator reads the cause of a refusal in the log. The page does not show it to
// the user.
func TestRefusalLogsItsCause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields string
		cause  string
	}{
		"navigation by a refused user": {navigation, `no entry fits "alice" with the e-mail address "alice@example.com" and the groups ["a" "b"]`},
		"script by a refused user":     {fetch, `no entry fits "alice"`},
		"another host":                 {navigation + " Host=evil.com", "the request came to https://evil.com, and redirect_uri is at https://romm.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, logs := observer.New(zapcore.InfoLevel)
			s := newSite(t, func(cfg *Config) {
				cfg.Policy, cfg.Logger = Policy{Emails: []string{"bob@example.com"}}, zap.New(core)
			})
			w := s.do(t, "/library", append(fields(c.fields), "Cookie", s.ticket(t, alice))...)
			refused := logs.FilterMessage("request refused").All()
			if len(refused) != 1 {
				t.Fatalf("%d log lines say \"request refused\", want 1", len(refused))
			}
			if code, _ := refused[0].ContextMap()["doctor"].(string); (code == "site_host_changed") != (name == "another host") {
				t.Errorf("the log names the doctor's code %q", code)
			}
			cause, _ := refused[0].ContextMap()["cause"].(string)
			if !strings.Contains(cause, c.cause) || strings.Contains(w.Body.String(), "alice@") || strings.Contains(w.Body.String(), c.cause) {
				t.Errorf("logged cause %q, want %q in it; the page must not show it:\n%s", cause, c.cause, w.Body)
			}
		})
	}
}

// A handler before the gate rewrites the path of the callback. Without this check,
// the browser would come back from the provider to the start of another sign-in.
func TestRewrittenCallbackDoesNotLoop(t *testing.T) {
	t.Parallel()
	for original, rewritten := range map[string]bool{
		request.Base + "?code=x&state=y": true, request.Base + "/login": true,
		"/library": false, request.Base + "x": false, "/?next=" + request.Base: false,
	} {
		s := newSite(t, nil)
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/app"+original, nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		s.chain.uri = original
		w := httptest.NewRecorder()
		if err := s.handler.ServeHTTP(w, r, s.chain); err != nil || strings.Contains(w.Body.String(), "rewritten · reference") != rewritten {
			t.Errorf("%s: got %v, want the page \"rewritten\": %v\n%s", original, err, rewritten, w.Body)
		}
	}
}

// While the storage is down, the page does not claim that the user is still signed
// in: the gate cannot know it.
func TestStorageAwayPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.storage.fail(errors.New("permission denied"))
	w := s.do(t, "/library", append(fields(navigation), "Cookie", newSite(t, nil).ticket(t, alice))...)
	if body := w.Body.String(); w.Code != http.StatusServiceUnavailable || strings.Contains(body, "You are still") || !strings.Contains(body, "Caddy&#39;s storage cannot be read or written") {
		t.Errorf("got %d, want 503 with the cause and no claim of a session\n%s", w.Code, body)
	}
}
