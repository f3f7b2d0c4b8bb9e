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

// Whoever runs the site reads in the log what a refusal was about; the visitor
// does not, nor anybody who looks over their shoulder.
func TestRefusalsSayInTheLogWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields string
		cause  string
	}{
		"not allowed": {navigation, `no entry fits "alice" with the e-mail address "alice@example.com" and the groups ["a" "b"]`},
		"a script":    {fetch, `no entry fits "alice"`},
		"misdirected": {navigation + " Host=evil.com", "the request came to https://evil.com, and redirect_uri is at https://romm.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, logs := observer.New(zapcore.InfoLevel)
			f := newFixture(t, func(cfg *Config) {
				cfg.Policy, cfg.Logger = Policy{Emails: []string{"bob@example.com"}}, zap.New(core)
			})
			w := f.do(t, "/library", append(fields(c.fields), "Cookie", f.ticket(t, alice))...)
			refused := logs.FilterMessage("request refused").All()
			if len(refused) != 1 {
				t.Fatalf("%d lines", len(refused))
			}
			cause, _ := refused[0].ContextMap()["cause"].(string)
			if !strings.Contains(cause, c.cause) || strings.Contains(w.Body.String(), "alice") || strings.Contains(w.Body.String(), "evil") {
				t.Errorf("cause %q, and to the visitor\n%s", cause, w.Body)
			}
		})
	}
}

// Where something before the gate rewrites the callback, the way back from the
// provider would begin another sign-in, without end.
func TestRewrittenCallbackIsNoLoop(t *testing.T) {
	t.Parallel()
	for original, rewritten := range map[string]bool{
		request.Base + "?code=x&state=y": true, request.Base + "/login": true,
		"/library": false, request.Base + "x": false, "/?next=" + request.Base: false,
	} {
		f := newFixture(t, nil)
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/app"+original, nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		f.chain.uri = original
		w := httptest.NewRecorder()
		if err := f.handler.ServeHTTP(w, r, f.chain); err != nil || strings.Contains(w.Body.String(), "rewritten · reference") != rewritten {
			t.Errorf("%s: %v\n%s", original, err, w.Body)
		}
	}
}

// Nobody is told that they are signed in who may never have been.
func TestStorageAwaySaysWhatToDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.storage.fail(errors.New("permission denied"))
	w := f.do(t, "/library", append(fields(navigation), "Cookie", newFixture(t, nil).ticket(t, alice))...)
	if body := w.Body.String(); w.Code != http.StatusServiceUnavailable || strings.Contains(body, "You are still") || !strings.Contains(body, "Caddy&#39;s storage cannot be read or written") {
		t.Errorf("%d\n%s", w.Code, body)
	}
}
