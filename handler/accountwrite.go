// Requests that can change the application's accounts, and what was answered to them.

package handler

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// watch makes answer keep the body if the request can change accounts. The
// response must then come uncompressed, so that the application can read it.
func (h *Handler) watch(answer *answerWriter, r *http.Request, path string) {
	if h.config.Application.ChangesAccounts(r.Method, path) {
		answer.kept = new(bytes.Buffer)
		delete(r.Header, "Accept-Encoding")
	}
}

// carriedOn is how long a request that can change accounts goes on after its client
// left: the application carries it out, whether or not a client waits for the answer.
const carriedOn = 3 * time.Second

// statusClientLeft is what reverse_proxy answers where the client left before the
// application answered.
const statusClientLeft = 499

// withoutClient returns r with a context that outlives its client for a while. done
// ends it.
func withoutClient(r *http.Request) (carried *http.Request, done func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), func() { time.AfterFunc(carriedOn, cancel) })
	return r.WithContext(ctx), func() {
		stop()
		cancel()
	}
}

// answered tells the application what it answered to a request that can change
// accounts.
func (h *Handler) answered(ctx context.Context, forwarded application.Forwarded, answer *answerWriter) {
	if answer.kept == nil {
		return
	}
	status := answer.status
	if status == statusClientLeft {
		status = 0
	}
	if h.config.Application.AfterResponse(ctx, forwarded, application.Response{Status: status, Body: answer.kept.Bytes()}) {
		h.config.Gate.AccountsChanged(ctx)
	}
}

// keep appends p to the kept body, up to the limit.
func (w *answerWriter) keep(p []byte) {
	if w.status/100 == 2 {
		_, _ = w.kept.Write(p[:min(len(p), application.ResponseLimit-w.kept.Len())])
	}
}

// keeper keeps what is copied by ReadFrom.
type keeper struct{ *answerWriter }

func (k keeper) Write(p []byte) (int, error) {
	k.keep(p)
	return len(p), nil
}
